"""Cohere's embeddings of text, versions 3 and 4.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v4.html
"""

import uuid
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from local.bedrock import embeddings
from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model
from local.bedrock.errors import invalid
from local.bedrock.prompts import EmbeddingRequest
from local.bedrock.tokens import TokenCounter

type _Purpose = Literal["search_document", "search_query", "classification", "clustering"]

_V3_DIMENSIONS: Final = 1024
_V3_TOKENS: Final = 512


class _V3(Body):
    texts: list[Annotated[str, Field(max_length=2048)]] = Field(min_length=1, max_length=96)
    input_type: _Purpose
    truncate: Literal["NONE", "START", "END"] = "NONE"
    embedding_types: list[Literal["float"]] | None = Field(default=None, min_length=1)


class _V4(Body):
    texts: list[str] = Field(min_length=1, max_length=96)
    input_type: _Purpose
    truncate: Literal["NONE", "LEFT", "RIGHT"] = "NONE"
    embedding_types: list[Literal["float"]] | None = Field(default=None, min_length=1)
    output_dimension: Literal[256, 512, 1024, 1536] = 1536
    max_tokens: Annotated[int, Field(ge=1, le=128_000)] = 128_000


def read_v3(body: dict[str, Any], model: Model) -> EmbeddingRequest:
    request = read_model(_V3, body)
    cut_start = None if request.truncate == "NONE" else request.truncate == "START"
    texts = tuple(_fitting(text, model, _V3_TOKENS, cut_start=cut_start) for text in request.texts)
    return _request(texts, _V3_DIMENSIONS, request.embedding_types)


def read_v4(body: dict[str, Any], model: Model) -> EmbeddingRequest:
    request = read_model(_V4, body)
    cut_start = None if request.truncate == "NONE" else request.truncate == "LEFT"
    texts = tuple(_fitting(text, model, request.max_tokens, cut_start=cut_start) for text in request.texts)
    return _request(texts, request.output_dimension, request.embedding_types)


def _request(
    texts: tuple[str, ...], dimensions: int, kinds: list[Literal["float"]] | None
) -> EmbeddingRequest:
    return EmbeddingRequest(texts, dimensions, normalize=True, kinds=tuple(kinds or ()))


def _fitting(text: str, model: Model, most: int, *, cut_start: bool | None) -> str:
    """Cut a text to what the model reads; ValidationException where it may not be cut."""
    tokens = TokenCounter(model.tokens).count(text)
    if tokens <= most:
        return text
    if cut_start is None:
        raise invalid(f"too many tokens: {tokens} tokens are above the limit of {most}")
    kept = len(text) * most // tokens
    return text[-kept:] if cut_start else text[:kept]


def write(request: EmbeddingRequest, input_tokens: int) -> dict[str, Any]:
    """Write the vectors: by type where types were asked for. They say nothing of tokens."""
    del input_tokens
    vectors = [
        embeddings.embed(text, dimensions=request.dimensions, normalize=True) for text in request.texts
    ]
    by_type = bool(request.kinds)
    return {
        "id": str(uuid.uuid4()),
        "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
        "embeddings": {"float": vectors} if by_type else vectors,
        "texts": list(request.texts),
    }
