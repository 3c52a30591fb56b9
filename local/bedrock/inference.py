"""One request to one model: what batch records and on-demand calls have in common."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.bedrock import converse, generation
from local.bedrock.catalog import Model
from local.bedrock.dialects import DIALECTS, EmbeddingDialect
from local.bedrock.faults import Distortion
from local.bedrock.generation import Writer
from local.bedrock.prompts import Answer, Prompt
from local.bedrock.tokens import TokenCounter


@dataclass(frozen=True)
class Outcome:
    """A model's output document and what it is metered at."""

    output: dict[str, Any]
    input_tokens: int
    output_tokens: int


@functools.cache
def counter(family: str) -> TokenCounter:
    return TokenCounter(family)


def invoke(
    model: Model, body: dict[str, Any], writer: Writer, distortion: Distortion | None = None
) -> Outcome:
    """Answer an InvokeModel body in the model's own dialect; ApiError where it is malformed."""
    dialect = DIALECTS[model.dialect]
    tokens = counter(model.tokens)
    if isinstance(dialect, EmbeddingDialect):
        request = dialect.read(body, model)
        count = tokens.count(request.text)
        return Outcome(dialect.write(request, count), count, 0)
    answer = generation.generate(dialect.read(body, model), writer, tokens, distortion)
    return Outcome(dialect.write(answer, model), answer.input_tokens, answer.output_tokens)


def invoke_input_tokens(model: Model, body: dict[str, Any]) -> int:
    """Return the input tokens of an InvokeModel body without answering it."""
    dialect = DIALECTS[model.dialect]
    tokens = counter(model.tokens)
    if isinstance(dialect, EmbeddingDialect):
        return tokens.count(dialect.read(body, model).text)
    return generation.count_input(dialect.read(body, model), tokens)


def converse_answer(
    model: Model, prompt: Prompt, writer: Writer, distortion: Distortion | None = None
) -> Answer:
    """Answer a prompt that `converse.read` has taken from its request."""
    return generation.generate(prompt, writer, counter(model.tokens), distortion)


def converse_record(
    model: Model, body: Mapping[str, Any], writer: Writer, distortion: Distortion | None = None
) -> Outcome:
    """Answer one record of a Converse batch job."""
    converse.check_record(body)
    answer = converse_answer(model, converse.read(body, model), writer, distortion)
    return Outcome(converse.write(answer, latency_ms=None), answer.input_tokens, answer.output_tokens)
