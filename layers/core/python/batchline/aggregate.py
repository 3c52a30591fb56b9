"""Aggregate: the results of a document's records become the document's result."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchline.errors import Code
from batchline.models import DocumentStatus, Failure
from batchline.pipelines import Pipeline


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled record: its answer, or why there is none."""

    record: str
    output: Any
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Combined:
    """How a document ends."""

    status: DocumentStatus
    result: Any
    failure: Failure | None


def combine(settled: Sequence[Settled], pipeline: Pipeline, *, earlier: Failure | None = None) -> Combined:
    """Put answers together in the order of their records.

    `earlier` is what went wrong while the upload was read, if anything did. The result is None when no
    record succeeded.
    """
    good = [one.output for one in settled if one.failure is None]
    bad = [one.failure for one in settled if one.failure is not None]
    failure = earlier or (_records_failed(bad, len(settled)) if bad else None)
    if not good:
        return Combined(DocumentStatus.FAILED, None, failure or _nothing())
    status = DocumentStatus.PARTIAL if failure else DocumentStatus.COMPLETED
    return Combined(status, _together(good, pipeline), failure)


def _together(outputs: Sequence[Any], pipeline: Pipeline) -> Any:
    if pipeline.combine == "concat" and pipeline.output is None:
        return "\n\n".join(text.strip() for text in outputs)
    return outputs[0] if len(outputs) == 1 and pipeline.combine == "concat" else list(outputs)


def _records_failed(failures: Sequence[Failure], total: int) -> Failure:
    codes: Mapping[str, int] = Counter(one.code for one in failures)
    said = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))
    return Failure(
        Code.RECORDS_FAILED,
        f"{len(failures)} of {total} records have no answer: {said}. The first says: {failures[0].message}",
    )


def _nothing() -> Failure:
    return Failure(Code.TEXT_MISSING, "The document had no records.")
