"""Dialects: how a question is written for a model, and how a vector is read from its answer.

Models that chat are asked in Converse's words, whichever company made them. Embeddings have no place in
Converse: each family has a body of its own for InvokeModel.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from batchline import catalog
from batchline.catalog import Model
from batchline.models import Usage
from batchline.pipelines import Pipeline

type Body = dict[str, Any]
type Block = dict[str, Any]

SCHEMA_REQUEST: Final = "Answer with one JSON value that satisfies this JSON Schema, and nothing else:\n"


def body(pipeline: Pipeline, content: Iterable[Block], model_id: str, *, max_tokens: int) -> Body:
    """Write a request. `content` is what is asked, as Converse's content blocks."""
    model = catalog.model(model_id)
    if model.dialect == catalog.CONVERSE:
        return _converse(pipeline, content, model, max_tokens)
    text = "".join(block["text"] for block in content)
    return _EMBEDDINGS[model.dialect](text, pipeline.inference.dimensions, model)


def _converse(pipeline: Pipeline, content: Iterable[Block], model: Model, max_tokens: int) -> Body:
    """Write a request for a model that chats.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    """
    inference = pipeline.inference
    config: Body = {"maxTokens": max_tokens}
    if inference.temperature is not None:
        config["temperature"] = inference.temperature
    if inference.top_p is not None:
        config["topP"] = inference.top_p
    if inference.stop_sequences:
        config["stopSequences"] = list(inference.stop_sequences)
    system = instructions(pipeline, model)
    before = () if model.system else system
    made: Body = {
        "messages": [{"role": "user", "content": [*before, *content]}],
        "inferenceConfig": config,
    }
    if pipeline.schema_text and model.structured_output:
        definition = {"name": "answer", "schema": pipeline.schema_text}
        made["outputConfig"] = {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}
        }
    if system and model.system:
        made["system"] = list(system)
    return made


def instructions(pipeline: Pipeline, model: Model) -> tuple[Block, ...]:
    """Say what a model is told beside the prompt: the system text, and the schema where it must be told.

    A model without a place for it gets it before the prompt.
    """
    texts = [pipeline.system] if pipeline.system else []
    if pipeline.schema_text and not model.structured_output:
        texts.append(SCHEMA_REQUEST + pipeline.schema_text)
    return tuple({"text": text} for text in texts)


def texts(made: Body) -> Iterator[str]:
    """Yield what a request gives its model to read, the schema of an answer included."""
    for block in (
        *made.get("system", ()),
        *(one for said in made.get("messages", ()) for one in said["content"]),
    ):
        if "text" in block:
            yield block["text"]
    if "outputConfig" in made:
        yield made["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    if "inputText" in made:
        yield made["inputText"]
    if "singleEmbeddingParams" in made:
        yield made["singleEmbeddingParams"]["text"]["value"]
    yield from made.get("texts", ())


def pictures(made: Body) -> int:
    """Count the pictures in a request."""
    return sum("image" in block for said in made.get("messages", ()) for block in said["content"])


def _titan_text(text: str, dimensions: int | None, model: Model) -> Body:
    """Write a request for Titan Text Embeddings.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
    """
    if "dimensions" not in model.parameters:
        return {"inputText": text}
    return {"inputText": text, "dimensions": dimensions or model.dimensions[0], "normalize": True}


def _titan_image(text: str, dimensions: int | None, model: Model) -> Body:
    """Write a request for Titan Multimodal Embeddings.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html
    """
    length = dimensions or model.dimensions[0]
    return {"inputText": text, "embeddingConfig": {"outputEmbeddingLength": length}}


def _cohere(text: str, dimensions: int | None, model: Model) -> Body:
    """Write a request for Cohere Embed.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
    """
    made: Body = {"texts": [text], "input_type": "search_document", "truncate": "NONE"}
    if "dimensions" in model.parameters:
        made |= {"embedding_types": ["float"], "output_dimension": dimensions or model.dimensions[0]}
    return made


def _nova(text: str, dimensions: int | None, model: Model) -> Body:
    """Write a request for Nova's embeddings.

    https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html
    """
    return {
        "schemaVersion": "nova-multimodal-embed-v1",
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": "GENERIC_INDEX",
            "embeddingDimension": dimensions or model.dimensions[0],
            "text": {"truncationMode": "NONE", "value": text},
        },
    }


_EMBEDDINGS: Final[dict[str, Callable[[str, int | None, Model], Body]]] = {
    "titan_text_embedding": _titan_text,
    "titan_image_embedding": _titan_image,
    "cohere_embedding": _cohere,
    "nova_embedding": _nova,
}


type _Numbers = list[Decimal]
type Tokens = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class _Typed(msgspec.Struct):
    """Cohere's vectors by type; only floats are asked for."""

    float: list[_Numbers]


class _Single(msgspec.Struct):
    """One of Nova's vectors."""

    embedding: _Numbers


class _Details(msgspec.Struct):
    cached_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0


class Reported(msgspec.Struct, kw_only=True):
    """The tokens of an answer in the words of Converse, of Anthropic's messages and of OpenAI's chat.

    The first two count cached tokens beside those of the input, the third among them. Converse does not
    tell reasoning from the rest of the output.
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
    """

    inputTokens: Tokens = 0  # noqa: N815 - Bedrock's names
    outputTokens: Tokens = 0  # noqa: N815
    cacheReadInputTokens: Tokens = 0  # noqa: N815
    cacheWriteInputTokens: Tokens = 0  # noqa: N815
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_read_input_tokens: Tokens = 0
    cache_creation_input_tokens: Tokens = 0
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    prompt_tokens_details: _Details = msgspec.field(default_factory=_Details)
    completion_tokens_details: _Details = msgspec.field(default_factory=_Details)

    @property
    def tokens(self) -> Usage:
        cached = self.prompt_tokens_details.cached_tokens
        return Usage(
            self.inputTokens + self.input_tokens + max(0, self.prompt_tokens - cached),
            self.outputTokens + self.output_tokens + self.completion_tokens,
            self.cacheReadInputTokens + self.cache_read_input_tokens + cached,
            self.cacheWriteInputTokens + self.cache_creation_input_tokens,
            self.completion_tokens_details.reasoning_tokens,
        )


class _Output(msgspec.Struct):
    """What an embedding model answers: `embedding` is Titan's, `embeddings` Nova's and Cohere's."""

    embedding: _Numbers | None = None
    embeddings: list[_Numbers | _Single] | _Typed | None = None
    inputTextTokenCount: Tokens | None = None  # noqa: N815
    usage: Reported = msgspec.field(default_factory=Reported)


class _Line(msgspec.Struct):
    recordId: str  # noqa: N815
    modelOutput: _Output  # noqa: N815


_read_line = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class Embedded:
    """A record's vector, and the tokens that were read for it: 0 where the answer does not say it."""

    record_id: str
    vector: tuple[Decimal, ...]
    input_tokens: int

    @property
    def value(self) -> Body:
        """The answer as results show it."""
        return {"dimensions": len(self.vector), "vector": list(self.vector)}


def embedded(line: bytes) -> Embedded:
    """Read a line of output that holds a vector. Raises msgspec.DecodeError for any other line."""
    found = _read_line(line)
    output = found.modelOutput
    vector = output.embedding or _first(output.embeddings)
    if not vector:
        raise msgspec.ValidationError("the answer holds no vector")
    tokens = output.inputTextTokenCount
    read = output.usage.tokens.input_tokens if tokens is None else tokens
    return Embedded(found.recordId, tuple(vector), read)


def _first(embeddings: list[_Numbers | _Single] | _Typed | None) -> _Numbers:
    vectors = embeddings.float if isinstance(embeddings, _Typed) else embeddings or []
    if not vectors:
        return []
    return vectors[0].embedding if isinstance(vectors[0], _Single) else vectors[0]


def usage(output: Mapping[str, Any]) -> Usage:
    """Say which tokens an answer was charged for, in whichever dialect it says it; 0 where it does not."""
    if "inputTextTokenCount" in output:
        return Usage(output["inputTextTokenCount"])
    return msgspec.convert(output.get("usage", {}), Reported).tokens
