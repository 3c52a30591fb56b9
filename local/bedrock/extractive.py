"""The default model: it answers with sentences that stand in the document it was given.

Deterministic and quick. Where JSON is asked, the document's facts fill the schema.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from local.bedrock import ranking, schema_filling, task
from local.bedrock.generation import Draft
from local.bedrock.prompts import Prompt


class ExtractiveWriter:
    """Writes summaries and JSON from the prompt's own document."""

    def write(self, prompt: Prompt) -> Draft:
        asked = task.read(prompt)
        if asked.schema is not None:
            filled = schema_filling.fill(asked.schema, asked.document)
            return Draft(orjson.dumps(filled).decode())
        return Draft(ranking.summarize(asked.document, count=asked.sentences, question=asked.instruction))

    def fill(self, prompt: Prompt, schema: Mapping[str, Any]) -> Any:
        return schema_filling.fill(schema, task.read(prompt).document)
