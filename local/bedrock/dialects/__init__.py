"""The bodies of InvokeModel: one module per provider, one table that names them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from local.bedrock.catalog import Model
from local.bedrock.dialects import (
    amazon,
    claude,
    cohere,
    cohere_embeddings,
    meta,
    mistral,
    nova,
    nova_embeddings,
    openai,
)
from local.bedrock.prompts import Answer, EmbeddingRequest, Prompt


@dataclass(frozen=True)
class Dialect:
    """How one family's bodies are read and its answers written.

    `read` raises ApiError for a body that the provider would refuse.
    """

    read: Callable[[dict[str, Any], Model], Prompt]
    write: Callable[[Answer, Model], dict[str, Any]]


@dataclass(frozen=True)
class EmbeddingDialect:
    """How an embedding family's bodies are read and its vectors written."""

    read: Callable[[dict[str, Any], Model], EmbeddingRequest]
    write: Callable[[EmbeddingRequest, int], dict[str, Any]]


DIALECTS: Final[Mapping[str, Dialect | EmbeddingDialect]] = {
    "claude": Dialect(claude.read, claude.write),
    "cohere": Dialect(cohere.read, cohere.write),
    "cohere_embedding_v3": EmbeddingDialect(cohere_embeddings.read_v3, cohere_embeddings.write),
    "cohere_embedding_v4": EmbeddingDialect(cohere_embeddings.read_v4, cohere_embeddings.write),
    "llama": Dialect(meta.read, meta.write),
    "mistral_chat": Dialect(mistral.read_chat, mistral.write_chat),
    "mistral_text": Dialect(mistral.read_text, mistral.write_text),
    "nova": Dialect(nova.read, nova.write),
    "nova_embedding": EmbeddingDialect(nova_embeddings.read, nova_embeddings.write),
    "openai": Dialect(openai.read, openai.write),
    "titan_embedding": EmbeddingDialect(amazon.read_embedding, amazon.write_embedding),
    "titan_embedding_v1": EmbeddingDialect(amazon.read_embedding_v1, amazon.write_plain_embedding),
    "titan_picture_embedding": EmbeddingDialect(amazon.read_picture_embedding, amazon.write_plain_embedding),
    "titan_text": Dialect(amazon.read_titan, amazon.write_titan),
}
