"""Amazon Nova's embeddings of text.

https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html
"""

from typing import Any, Literal

from pydantic import Field

from local.bedrock import embeddings
from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model
from local.bedrock.errors import invalid
from local.bedrock.prompts import EmbeddingRequest
from local.bedrock.tokens import TokenCounter

_MOST_TOKENS = 8172


class _Text(Body):
    value: str = Field(min_length=1, max_length=50_000)
    truncationMode: Literal["START", "END", "NONE"]  # noqa: N815


class _Single(Body):
    embeddingPurpose: Literal[  # noqa: N815
        "GENERIC_INDEX",
        "GENERIC_RETRIEVAL",
        "TEXT_RETRIEVAL",
        "IMAGE_RETRIEVAL",
        "VIDEO_RETRIEVAL",
        "DOCUMENT_RETRIEVAL",
        "AUDIO_RETRIEVAL",
        "CLASSIFICATION",
        "CLUSTERING",
    ]
    embeddingDimension: Literal[256, 384, 1024, 3072] = 3072  # noqa: N815
    text: _Text


class _Request(Body):
    schemaVersion: Literal["nova-multimodal-embed-v1"] = "nova-multimodal-embed-v1"  # noqa: N815
    taskType: Literal["SINGLE_EMBEDDING"]  # noqa: N815
    singleEmbeddingParams: _Single  # noqa: N815


def read(body: dict[str, Any], model: Model) -> EmbeddingRequest:
    """Check a body; ValidationException for a text that is too long and may not be cut."""
    asked = read_model(_Request, body).singleEmbeddingParams
    text, counter = asked.text.value, TokenCounter(model.tokens)
    if (tokens := counter.count(text)) > _MOST_TOKENS:
        if asked.text.truncationMode == "NONE":
            raise invalid(f"Input is too long: {tokens} tokens are above the maximum of {_MOST_TOKENS}.")
        kept = len(text) * _MOST_TOKENS // tokens
        text = text[:kept] if asked.text.truncationMode == "END" else text[-kept:]
    cut = len(text) if len(text) < len(asked.text.value) else None
    return EmbeddingRequest((text,), asked.embeddingDimension, normalize=True, kept_characters=cut)


def write(request: EmbeddingRequest, input_tokens: int) -> dict[str, Any]:
    """Write the vector. Nova's answers say nothing of tokens."""
    del input_tokens
    vector = embeddings.embed(request.texts[0], dimensions=request.dimensions, normalize=True)
    made: dict[str, Any] = {"embeddingType": "TEXT", "embedding": vector}
    if request.kept_characters is not None:
        made["truncatedCharLength"] = request.kept_characters
    return {"embeddings": [made]}
