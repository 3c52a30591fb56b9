"""Aggregate: the results of a document's records become the document's result.

Answers pass through one by one, so that a document of a million records takes no more memory than one
of ten.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from batchline.errors import Code
from batchline.models import DocumentStatus, Failure
from batchline.pipelines import Pipeline

# A shorter repetition at a joint may be chance: "and the", a name, a full stop.
LEAST_OVERLAP: Final = 16
CHARACTERS_PER_TOKEN: Final = 8  # more than any language has; bounds how far back a repetition can reach
SEPARATOR: Final = "\n\n"
COUNTS: Final = ("records", "succeeded", "failed")


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled record: its answer, or why there is none. `index` counts from 0 in its stage."""

    record: str
    output: Any
    failure: Failure | None

    @property
    def stage(self) -> str:
        return self.record[0]

    @property
    def index(self) -> int:
        return int(self.record[1:])


@dataclass(frozen=True, slots=True)
class Ending:
    """How a document ends, or that it is held for a person's look."""

    status: DocumentStatus
    failure: Failure | None


@dataclass(slots=True)
class Tally:
    """What became of a document's records, of all stages."""

    of_stage: Counter[str] = field(default_factory=Counter)  # how many of each stage were answered
    codes: Counter[str] = field(default_factory=Counter)
    first: Failure | None = None
    first_record: str = ""
    unsure: int = 0

    @property
    def answered(self) -> int:
        return self.of_stage.total()

    def add(self, settled: Settled, pipeline: Pipeline) -> None:
        if settled.failure is None:
            self.of_stage[settled.stage] += 1
            self.unsure += is_unsure(settled.output, pipeline)
        else:
            self.codes[settled.failure.code] += 1
            if self.first is None:
                self.first, self.first_record = settled.failure, settled.record


def unequal(tally: Tally, counts: Mapping[str, int]) -> str:
    """Say how a document's counts differ from its results; empty when they do not."""
    found = dict(
        zip(COUNTS, (tally.answered + tally.codes.total(), tally.answered, tally.codes.total()), strict=True)
    )
    said = [
        f"{name} is {counts[name]}, but {found[name]} results"
        for name in COUNTS
        if counts[name] != found[name]
    ]
    return "; ".join(said)


def is_unsure(output: Any, pipeline: Pipeline) -> bool:
    """Tell whether an answer says that it is less sure than the pipeline asks for."""
    return pipeline.output is not None and not pipeline.output.is_sure(output)


def ending(tally: Tally, pipeline: Pipeline, *, result: bool, earlier: Failure | None = None) -> Ending:
    """Decide how a document ends.

    `result` tells whether there is an answer to give; `earlier` is what went wrong while the upload was
    read, if anything did.
    """
    bad, total = tally.codes.total(), tally.codes.total() + tally.answered
    if stopped := tally.codes[Code.CANCELLED]:
        message = f"Cancelled: {stopped} of {total} records were not asked any more."
        return Ending(DocumentStatus.CANCELLED, Failure(Code.CANCELLED, message))
    if reasons := _review(tally, pipeline):
        message = f"{reasons}. Settle it with `batchline review`: --accept, --correct or --reject."
        return Ending(DocumentStatus.HELD, Failure(Code.REVIEW_NEEDED, message))
    failure = earlier or (_records_failed(tally, bad, total) if bad else None)
    if not result:
        return Ending(DocumentStatus.FAILED, failure or _nothing())
    return Ending(DocumentStatus.PARTIAL if failure else DocumentStatus.COMPLETED, failure)


def _review(tally: Tally, pipeline: Pipeline) -> str:
    """Say why a person must look at a document; empty when nobody must."""
    when = pipeline.review.when if pipeline.review else ()
    reasons = []
    if "invalid" in when and (count := tally.codes[Code.ANSWER_INVALID]):
        reasons.append(f"{count} answer{'s are' if count > 1 else ' is'} invalid")
    if "confidence" in when and (count := tally.unsure):
        reasons.append(f"{count} answer{'s are' if count > 1 else ' is'} below the pipeline's confidence")
    return " and ".join(reasons)


def _records_failed(tally: Tally, bad: int, total: int) -> Failure:
    said = ", ".join(f"{code} {count}" for code, count in sorted(tally.codes.items()))
    first = tally.first.message if tally.first else ""
    return Failure(
        Code.RECORDS_FAILED,
        f"{bad} of {total} records have no answer: {said}. The first says: {first}",
    )


def _nothing() -> Failure:
    return Failure(Code.TEXT_MISSING, "The document had no records.")


class Shape(StrEnum):
    """What the parts of a result make together."""

    TEXT = "text"
    VALUE = "value"
    LIST = "list"


def shape(pipeline: Pipeline, answers: int) -> Shape:
    """Say what so many answers make together.

    Texts are concatenated; values cannot be, so one stands alone and more are a list.
    """
    if pipeline.combine == "list":
        return Shape.LIST
    if pipeline.output is None:
        return Shape.TEXT
    return Shape.VALUE if answers == 1 else Shape.LIST


def parts(outputs: Iterable[Any], pipeline: Pipeline, shape: Shape) -> Iterator[Any]:
    """Yield the parts of a result in the order of their records.

    Neighbouring chunks that overlap have answers that repeat each other: texts lose at their start what
    the text before them ends with; a list holds each item once, and answers that are lists are joined.
    Rows are not chunks of one text, so two rows may well have the same answer.
    """
    if shape is Shape.TEXT:
        yield from _joined(outputs, CHARACTERS_PER_TOKEN * pipeline.chunk.overlap_tokens)
    elif shape is Shape.LIST and pipeline.combine == "list" and pipeline.chunk.by != "row":
        yield from _distinct(outputs)
    else:
        yield from outputs


def _joined(texts: Iterable[str], reach: int) -> Iterator[str]:
    before = ""
    for number, text in enumerate(texts):
        new = text.strip()
        kept = new[_repeated(before[-reach:], new[:reach]) if reach else 0 :].lstrip()
        yield SEPARATOR + kept if number and kept else kept
        before = new


def _repeated(end: str, start: str) -> int:
    """Count the characters that `start` begins with and `end` ends with; 0 for few of them.

    The last value of the prefix function of both, put one after the other (Knuth, Morris, Pratt 1977).
    """
    joint = f"{start}\0{end}"
    lengths = [0] * len(joint)
    for position in range(1, len(joint)):
        length = lengths[position - 1]
        while length and joint[position] != joint[length]:
            length = lengths[length - 1]
        lengths[position] = length + (joint[position] == joint[length])
    return lengths[-1] if end and lengths[-1] >= LEAST_OVERLAP else 0


def _distinct(outputs: Iterable[Any]) -> Iterator[Any]:
    seen: set[bytes] = set()
    for output in outputs:
        for item in output if isinstance(output, list) else [output]:
            text = json.dumps(item, sort_keys=True, default=str)
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if key not in seen:
                seen.add(key)
                yield item


def together(found: Iterable[Any], shape: Shape) -> Any:
    """Put the parts of a result together."""
    if shape is Shape.TEXT:
        return "".join(found)
    return next(iter(found), None) if shape is Shape.VALUE else list(found)


def written(found: Iterable[Any], shape: Shape) -> Iterator[str]:
    """Write the parts of a result as one JSON value, piece by piece."""
    if shape is Shape.TEXT:
        yield '"'
        for text in found:
            yield dumps(text)[1:-1]
        yield '"'
    elif shape is Shape.VALUE:
        yield dumps(next(iter(found), None))
    else:
        opening = "["
        for item in found:
            yield f"{opening}\n{dumps(item)}"
            opening = ","
        yield "[]" if opening == "[" else "\n]"


def dumps(value: Any) -> str:
    """Write a value as JSON. A model may answer with integers beyond 64 bits, which orjson does not write."""
    return json.dumps(value, ensure_ascii=False, default=float)


# tables: a line per input row, in its order, also for rows without an answer


def jsonl(settled: Iterable[Settled]) -> Iterator[str]:
    """Write the rows of a table as JSON lines: `row` from 0, and `output` or `error`."""
    for one in settled:
        line: dict[str, Any] = {"row": one.index}
        if one.failure:
            line["error"] = {"code": one.failure.code, "message": one.failure.message}
        else:
            line["output"] = one.output
        yield dumps(line) + "\n"


def comma_separated(settled: Iterable[Settled], pipeline: Pipeline) -> Iterator[str]:
    """Write the rows of a table as CSV: `row` from 0, a column per property of the schema, `error`.

    An answer without properties stands in one column, `output`. What is no plain value is written as JSON.
    """
    schema = pipeline.output.json_schema if pipeline.output else {}
    properties = schema.get("properties", {}) if schema.get("type") == "object" else {}
    names = list(properties) or ["output"]
    yield _csv_line(["row", *names, "error"])
    for one in settled:
        values = one.output if properties else {"output": one.output}
        given = [""] * len(names) if one.failure else [_cell(values.get(name)) for name in names]
        yield _csv_line([str(one.index), *given, one.failure.code if one.failure else ""])


def _csv_line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value)
