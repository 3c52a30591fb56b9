"""Records: what the model is asked about one chunk, as the body of a request in its dialect."""

import base64
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from batchline import catalog, dialects, prompts
from batchline.errors import Code, Refused
from batchline.formats.content import Image
from batchline.pipelines import Pipeline
from batchline.tokens import estimate_tokens

# Tokens that a chat format adds around system text and message; measured 6 to 7 for Claude.
FRAME_TOKENS: Final = 12
# The most that a picture costs with Claude: a larger one is scaled down to 1.15 megapixels, and
# width * height / 750 tokens are charged. https://docs.claude.com/en/docs/build-with-claude/vision
IMAGE_TOKENS: Final = 1600


@dataclass(frozen=True, slots=True)
class Record:
    """A request without its id: the id also says the attempt, which is not decided here."""

    index: int
    model_input: bytes
    input_tokens: int

    def line(self, record_id: str) -> bytes:
        """Write the record as a line of a batch job's input."""
        return b'{"recordId":"%b","modelInput":%b}\n' % (record_id.encode(), self.model_input)


def record(
    pipeline: Pipeline, index: int, variables: Mapping[str, Any], *, image: Image | None = None
) -> Record:
    """Render the prompt for one chunk, or for a picture, which stands before it.

    Raises Refused with PROMPT_FAILED, MODEL_CANNOT_SEE, or with PROMPT_TOO_LONG and the numbers.
    """
    if image and not catalog.model(pipeline.model).vision:
        raise Refused(
            Code.MODEL_CANNOT_SEE,
            f"The file holds pictures, and {pipeline.model} reads text only. Name a model that sees in the "
            "pipeline, or upload the text.",
        )
    try:
        prompt = prompts.render(pipeline.template, variables)
        prompt.encode()
    except prompts.ERRORS as error:
        raise Refused(
            Code.PROMPT_FAILED,
            f"The prompt cannot be rendered for record {index}: {_said(error)}. Correct the pipeline's "
            "prompt or the document.",
        ) from error
    model = catalog.model(pipeline.model)
    content = [*([_picture(image)] if image else []), {"text": prompt}]
    body = dialects.body(pipeline, content, pipeline.model, max_tokens=pipeline.inference.max_tokens)
    asked = "".join(part.get("text", "") for part in (*dialects.instructions(pipeline, model), *content))
    if model.structured_output:
        asked += pipeline.schema_text or ""
    tokens = estimate_tokens(asked, pipeline.model) + FRAME_TOKENS + (IMAGE_TOKENS if image else 0)
    if tokens + pipeline.answer_tokens > model.context:
        raise Refused(
            Code.PROMPT_TOO_LONG,
            f"Record {index} has about {tokens} tokens and may answer {pipeline.answer_tokens}; "
            f"{pipeline.model} takes {model.context} in all. Lower chunk.max_tokens in the pipeline.",
        )
    return Record(index, orjson.dumps(body), tokens)


def _picture(image: Image) -> dict[str, Any]:
    """Write a picture as the content block of a JSON request, where bytes are Base64."""
    data = base64.b64encode(image.data).decode("ascii")
    return {"image": {"format": image.format, "source": {"bytes": data}}}


def _said(error: Exception) -> str:
    """Say what went wrong in a template, without the characters that cannot be written."""
    if isinstance(error, UnicodeEncodeError):
        return "the text holds half of a character"
    return str(error)[:200].rstrip(".")


def for_model(body: Mapping[str, Any], pipeline: Pipeline, model_id: str) -> dict[str, Any]:
    """Write a request anew for another model of the pipeline's list: the same content, in its words.

    The room for the answer stays as it is, within what the model has.
    """
    told = (pipeline.system, dialects.SCHEMA_REQUEST + (pipeline.schema_text or ""))
    asked = body["messages"][0]["content"]
    content = [block for block in asked if "text" not in block or block["text"] not in told]
    most = body["inferenceConfig"]["maxTokens"]
    model = catalog.model(model_id)
    if model.known:
        most = min(most, model.max_output)
    return dialects.body(pipeline, content, model_id, max_tokens=most)


def with_more_room(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Double the answer's limit of a request whose answer was cut off, up to the model's own.

    Never lower it: the limit of an unknown model is a guess.
    """
    longer = copy.deepcopy(dict(body))
    config = longer["inferenceConfig"]
    now = config["maxTokens"]
    config["maxTokens"] = max(now, min(now * 2, catalog.model(model).max_output))
    return longer
