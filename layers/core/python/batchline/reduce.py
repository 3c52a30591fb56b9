"""Reduce: many answers become the requests whose answers are fewer, until one is left."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from batchline import catalog, chunk
from batchline.errors import Code, Refused
from batchline.pipelines import Pipeline
from batchline.records import Record, record
from batchline.tokens import estimate_tokens

SEPARATOR: Final = "\n\n"


def requests(answers: Iterable[str], reducing: Pipeline, document: Mapping[str, Any]) -> Iterator[Record]:
    """Yield requests that hold all answers in their order, as many to a request as its model takes.

    `reducing` is `Pipeline.reducing`. There are fewer requests than answers, or just one. Raises
    Refused(PROMPT_TOO_LONG), also after some requests, when that is not so.
    """
    room = _room(reducing, document)
    seen = index = 0
    for index, group in enumerate(_groups(answers, reducing.model, room)):
        seen += len(group)
        yield record(reducing, index, _variables(group, document))
    if index and index + 1 == seen:
        raise Refused(
            Code.PROMPT_TOO_LONG,
            f"No two answers fit together into a request of {reducing.model}, which has room for about "
            f"{room:,} tokens of them. Name a model with a larger context in combine.model, or lower "
            "inference.max_tokens.",
        )


def _groups(answers: Iterable[str], model: str, room: int) -> Iterator[list[str]]:
    between = estimate_tokens(SEPARATOR, model)
    group: list[str] = []
    used = 0
    for answer in answers:
        tokens = estimate_tokens(answer, model) + between
        if group and used + tokens > room:
            yield group
            group, used = [], 0
        group.append(answer)
        used += tokens
    if group:
        yield group


def _room(reducing: Pipeline, document: Mapping[str, Any]) -> int:
    """Count the tokens that are left for answers in a request."""
    empty = record(reducing, 0, _variables([], document))
    return catalog.model(reducing.model).context - reducing.inference.max_tokens - empty.input_tokens


def _variables(answers: list[str], document: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": SEPARATOR.join(answers), "parts": answers, "document": document}


def parts(found: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    """Cut records into parts of a shard's size."""
    part: list[Record] = []
    size = 0
    for one in found:
        if part and not chunk.fits(len(part) + 1, size + len(one.model_input)):
            yield tuple(part)
            part, size = [], 0
        part.append(one)
        size += len(one.model_input)
    if part:
        yield tuple(part)
