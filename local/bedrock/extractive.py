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
        thought = _reasoning(asked) if prompt.reasons_aloud else ""
        if asked.schema is not None:
            filled = schema_filling.fill(asked.schema, asked.document)
            return Draft(thought + orjson.dumps(filled).decode())
        summary = ranking.summarize(asked.document, count=asked.sentences, question=asked.instruction)
        return Draft(thought + summary)

    def fill(self, prompt: Prompt, schema: Mapping[str, Any]) -> Any:
        return schema_filling.fill(schema, task.read(prompt).document)


def _reasoning(asked: task.Task) -> str:
    """Return what a reasoning model says before it answers; it costs output tokens like the rest."""
    form = "a JSON value" if asked.schema is not None else f"{asked.sentences} sentences"
    words = len(asked.document.split())
    return f"<reasoning>A text of {words} words is given and {form} wanted.</reasoning>"
