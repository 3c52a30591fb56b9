"""Records: what the model is asked about one chunk, as the body of a Converse request."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from batchline import catalog, prompts
from batchline.errors import Code, Refused
from batchline.pipelines import Pipeline
from batchline.tokens import estimate_tokens

# Tokens that a chat format adds around system text and message; measured 6 to 7 for Claude.
FRAME_TOKENS: Final = 12
INVOCATION_TYPE: Final = "Converse"


@dataclass(frozen=True, slots=True)
class Record:
    """A request without its id: the id also says the attempt, which is not decided here."""

    index: int
    model_input: bytes
    input_tokens: int

    def line(self, record_id: str) -> bytes:
        """Write the record as a line of a batch job's input."""
        return b'{"recordId":"%b","modelInput":%b}\n' % (record_id.encode(), self.model_input)


def record(pipeline: Pipeline, index: int, variables: Mapping[str, Any]) -> Record:
    """Render the prompt for one chunk.

    Raises Refused with PROMPT_FAILED, or with PROMPT_TOO_LONG and the numbers.
    """
    try:
        prompt = prompts.render(pipeline.template, variables)
        prompt.encode()
    except prompts.ERRORS as error:
        raise Refused(
            Code.PROMPT_FAILED,
            f"The prompt cannot be rendered for record {index}: {_said(error)}. Correct the pipeline's "
            "prompt or the document.",
        ) from error
    body = request(pipeline, prompt)
    asked = "".join([prompt, *(part["text"] for part in body.get("system", ()))])
    if "outputConfig" in body:
        asked += pipeline.schema_text or ""
    tokens = estimate_tokens(asked, pipeline.model) + FRAME_TOKENS
    context = catalog.model(pipeline.model).context
    if tokens + pipeline.inference.max_tokens > context:
        raise Refused(
            Code.PROMPT_TOO_LONG,
            f"Record {index} has about {tokens} tokens and may answer {pipeline.inference.max_tokens}; "
            f"{pipeline.model} takes {context} in all. Lower chunk.max_tokens in the pipeline.",
        )
    return Record(index, orjson.dumps(body), tokens)


def _said(error: Exception) -> str:
    """Say what went wrong in a template, without the characters that cannot be written."""
    if isinstance(error, UnicodeEncodeError):
        return "the text holds half of a character"
    return str(error)[:200].rstrip(".")


def request(pipeline: Pipeline, prompt: str) -> dict[str, Any]:
    """Build the body of a Converse request.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    """
    system = [pipeline.system] if pipeline.system else []
    config: dict[str, Any] = {"maxTokens": pipeline.inference.max_tokens}
    if pipeline.inference.temperature is not None:
        config["temperature"] = pipeline.inference.temperature
    if pipeline.inference.top_p is not None:
        config["topP"] = pipeline.inference.top_p
    if pipeline.inference.stop_sequences:
        config["stopSequences"] = list(pipeline.inference.stop_sequences)
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        "inferenceConfig": config,
    }
    if schema := pipeline.schema_text:
        if catalog.model(pipeline.model).structured_output:
            definition = {"name": "answer", "schema": schema}
            body["outputConfig"] = {
                "textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}
            }
        else:
            system.append(
                f"Answer with one JSON value that satisfies this JSON Schema, and nothing else:\n{schema}"
            )
    if system:
        body["system"] = [{"text": text} for text in system]
    return body


def with_more_room(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Double the answer's limit of a request whose answer was cut off, up to the model's own.

    Never lower it: the limit of an unknown model is a guess.
    """
    longer = copy.deepcopy(dict(body))
    config = longer["inferenceConfig"]
    now = config["maxTokens"]
    config["maxTokens"] = max(now, min(now * 2, catalog.model(model).max_output))
    return longer
