"""One request to one model: what batch records and on-demand calls have in common."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.bedrock import converse, generation
from local.bedrock.catalog import Model
from local.bedrock.dialects import DIALECTS, Dialect, EmbeddingDialect
from local.bedrock.faults import Distortion
from local.bedrock.generation import Writer
from local.bedrock.prompts import Answer, EmbeddingRequest, Prompt
from local.bedrock.tokens import TokenCounter


@dataclass(frozen=True)
class Outcome:
    """A model's output document and what it is metered at."""

    output: dict[str, Any]
    input_tokens: int
    output_tokens: int


@functools.cache
def _counter(family: str) -> TokenCounter:
    return TokenCounter(family)


def read_body(model: Model, body: dict[str, Any]) -> Prompt | EmbeddingRequest:
    """Read an InvokeModel body in the model's own dialect; ApiError where it is malformed."""
    return DIALECTS[model.dialect].read(body, model)


def write_body(model: Model, answer: Answer) -> dict[str, Any]:
    """Write an answer in the model's own dialect."""
    dialect = DIALECTS[model.dialect]
    if not isinstance(dialect, Dialect):
        raise TypeError(f"{model.model_id} writes no text")
    return dialect.write(answer, model)


def write_embedding(model: Model, request: EmbeddingRequest, input_tokens: int) -> dict[str, Any]:
    """Embed texts and write their vectors in the model's own dialect."""
    dialect = DIALECTS[model.dialect]
    if not isinstance(dialect, EmbeddingDialect):
        raise TypeError(f"{model.model_id} embeds no text")
    return dialect.write(request, input_tokens)


def input_tokens(model: Model, request: Prompt | EmbeddingRequest) -> int:
    """Return the tokens that a request is metered at before it is answered."""
    if isinstance(request, EmbeddingRequest):
        return sum(map(_counter(model.tokens).count, request.texts))
    return generation.count_input(request, _counter(model.tokens))


def answer(model: Model, prompt: Prompt, writer: Writer, distortion: Distortion | None = None) -> Answer:
    """Answer a prompt; ApiError where a real model behind the writer fails."""
    return generation.generate(prompt, writer, _counter(model.tokens), distortion)


def invoke_record(
    model: Model, body: dict[str, Any], writer: Writer, distortion: Distortion | None = None
) -> Outcome:
    """Answer one record of an InvokeModel batch job; ApiError becomes the record's error."""
    request = read_body(model, body)
    if isinstance(request, EmbeddingRequest):
        tokens = input_tokens(model, request)
        return Outcome(write_embedding(model, request, tokens), tokens, 0)
    made = answer(model, request, writer, distortion)
    return Outcome(write_body(model, made), made.input_tokens, made.output_tokens)


def converse_record(
    model: Model, body: Mapping[str, Any], writer: Writer, distortion: Distortion | None = None
) -> Outcome:
    """Answer one record of a Converse batch job; ApiError becomes the record's error."""
    converse.check_record(body)
    made = answer(model, converse.read(body, model), writer, distortion)
    return Outcome(converse.write(made, latency_ms=None), made.input_tokens, made.output_tokens)
