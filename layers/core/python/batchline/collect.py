"""Collect: what a line of output says, and what becomes of its record."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from batchline import catalog, dialects
from batchline.errors import Code
from batchline.models import Engine, Failure, Stop, Usage
from batchline.outcomes import Outcome, Outcomes, Tally
from batchline.pipelines import Pipeline

# Our words for the end of a job that did not run, beside Bedrock's own for those that did.
REFUSED: Final = "REFUSED"
NOT_SENT: Final = "NOT_SENT"

RETRYABLE_STATUS: Final = frozenset({"408", "424", "429", "500", "502", "503", "504", "529"})
STOPPED_BY_LENGTH: Final = frozenset({"max_tokens", "model_context_window_exceeded"})
STOPPED_BY_RULE: Final = frozenset({"guardrail_intervened", "content_filtered"})
# A model that answers so says nothing about whether jobs of its lane can succeed.
ANSWERED: Final = frozenset(
    {
        Code.ANSWER_BLOCKED,
        Code.ANSWER_EMPTY,
        Code.ANSWER_INVALID,
        Code.ANSWER_TRUNCATED,
        Code.ANSWER_UNSURE,
    }
)
# Fewer records may all be hopeless by themselves, while the lane is fine.
TELLING_RECORDS: Final = 10
# A failure of the whole job costs no attempt, but something in the records may be what fails it.
MAX_FAILED_JOBS: Final = 5
MESSAGE_CHARACTERS: Final = 500
CANCELLED: Final = Failure(Code.CANCELLED, "The record was cancelled before it was answered.")
_RECORD_ID: Final = re.compile(rb'"recordId"\s*:\s*"([a-z0-9]{25})"')


class _Text(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    content: list[_Text]


class _Output(msgspec.Struct):
    message: _Message


class _Usage(dialects.Reported, kw_only=True):
    inputTokens: dialects.Tokens  # noqa: N815 - Bedrock's names
    outputTokens: dialects.Tokens  # noqa: N815


class _Converse(msgspec.Struct):
    """An answer, as far as it is read.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    """

    output: _Output
    stopReason: str  # noqa: N815
    usage: _Usage


class _Line(msgspec.Struct):
    recordId: str  # noqa: N815
    modelOutput: _Converse | None = None  # noqa: N815
    error: dict[str, Any] | None = None


# Skips what it is not asked for, so that the echo of the input costs next to nothing.
_read_line = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of output as it stands. `text` is None where there is no answer in words; `vector` is one."""

    record_id: str
    text: str | None
    stop: str
    usage: Usage
    failure: Failure | None = None
    retryable: bool = False
    vector: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a record; `output` is its answer, `failure` why there is none or no good one."""

    outcome: Outcome
    output: Any = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A line and where it starts in its file, in bytes."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended: Bedrock's word for it or ours, its sentence, and why we had stopped it."""

    status: str
    message: str = ""
    stop: Stop | None = None


def lines(blocks: Iterable[bytes], *, start: int, stop: int) -> Iterator[Located]:
    """Yield the lines that begin in bytes `start` to `stop` of a file.

    `blocks` are the file's bytes from `start - 1` (from 0 if start is 0) to its end: a line belongs to
    the range in which it begins, so neighbours neither share nor lose one.
    """
    position = max(0, start - 1)
    rest = b""
    skipping = start > 0
    for block in blocks:
        rest += block
        *whole, rest = rest.split(b"\n")
        for data in whole:
            if skipping:
                skipping = False
            elif position >= stop:
                return
            elif data.strip():
                yield Located(position, data)
            position += len(data) + 1
    if rest.strip() and not skipping and position < stop:
        yield Located(position, rest)


def read(line: bytes) -> Answer:
    """Read a line of output, of a batch job or of invoke. A broken line is an answer as well."""
    try:
        found = _read_line(line)
    except msgspec.ValidationError:
        return _embedded(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _unreadable(line, type(error).__name__)
    if found.error:
        return _error(found.recordId, found.error)
    if found.modelOutput is None:
        return _unreadable(line, "neither answer nor error")
    said = found.modelOutput
    content = said.output.message.content
    text = content[0].text if len(content) == 1 else "".join(block.text for block in content)
    return Answer(found.recordId, text, said.stopReason, said.usage.tokens)


def _embedded(line: bytes) -> Answer:
    """Read a line that is none of Converse's: a vector, or nothing."""
    try:
        found = dialects.embedded(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _unreadable(line, type(error).__name__)
    return Answer(found.record_id, None, "", Usage(found.input_tokens, 0), vector=found.value)


def _unreadable(line: bytes, why: str) -> Answer:
    found = _RECORD_ID.search(line)
    name = found[1].decode() if found else ""
    failure = Failure(Code.ANSWER_UNREADABLE, f"The output line cannot be read: {why}.")
    return Answer(name, None, "", Usage(), failure, retryable=True)


def _error(record_id: str, error: dict[str, Any]) -> Answer:
    said = str(error.get("errorMessage", ""))[:MESSAGE_CHARACTERS]
    status = str(error.get("errorCode", 0))
    failure = Failure(Code.MODEL_ERROR, f"{status[:MESSAGE_CHARACTERS]}: {said}")
    again = status in RETRYABLE_STATUS or bool(error.get("retryable"))
    return Answer(record_id, None, "error", Usage(), failure, again)


def judge(answer: Answer, pipeline: Pipeline, *, model: str, attempt: int) -> Verdict:
    """Decide what becomes of a record that this model has answered at this attempt."""
    output, failure = (None, answer.failure) if answer.failure else _value(answer, pipeline)
    if failure is None:
        return Verdict(Outcome.SUCCEEDED, output)
    if attempt < pipeline.attempts and (again := _again(answer, failure, pipeline, model)):
        return Verdict(again, None, failure)
    if failure.code == Code.ANSWER_UNSURE:
        # The last model knows no better.
        return Verdict(Outcome.SUCCEEDED, output)
    if failure.code == Code.ANSWER_TRUNCATED and pipeline.output is None and (answer.text or "").strip():
        # The answer was paid for and reads well up to its end; its `stop` says that it was cut.
        return Verdict(Outcome.SUCCEEDED, answer.text)
    return Verdict(Outcome.FAILED, None, failure)


def _again(answer: Answer, failure: Failure, pipeline: Pipeline, model: str) -> Outcome | None:
    """Say who is asked again, if there is anybody to ask who may answer better."""
    following = Outcome.ESCALATE if pipeline.next_model(model) else None
    match failure.code:
        case Code.ANSWER_INVALID:
            return following or Outcome.RETRY
        case Code.ANSWER_UNSURE:
            return following
        case Code.ANSWER_TRUNCATED:
            return following if _has_no_more_room(answer, model) else Outcome.RETRY
        case Code.ANSWER_EMPTY:
            return Outcome.RETRY
        case _:
            return Outcome.RETRY if answer.retryable else None


def _has_no_more_room(answer: Answer, model: str) -> bool:
    """Tell whether an answer was cut where the model itself ends, so that no repetition is longer."""
    longest = catalog.model(model).max_output
    too_long = answer.stop == "max_tokens" and answer.usage.output_tokens >= longest
    return too_long or answer.stop == "model_context_window_exceeded"


def _value(answer: Answer, pipeline: Pipeline) -> tuple[Any, Failure | None]:
    if answer.vector is not None:
        return answer.vector, None
    text = answer.text or ""
    if answer.stop in STOPPED_BY_RULE:
        return None, Failure(Code.ANSWER_BLOCKED, f"The model stopped: {answer.stop}.")
    if answer.stop in STOPPED_BY_LENGTH:
        message = (
            f"The answer was cut after {answer.usage.output_tokens} tokens ({answer.stop}). "
            "Raise inference.max_tokens or lower chunk.max_tokens."
        )
        return None, Failure(Code.ANSWER_TRUNCATED, message)
    if not text.strip():
        return None, Failure(Code.ANSWER_EMPTY, f"The model answered nothing ({answer.stop[:50]}).")
    if pipeline.output is None:
        return text, None
    value, failure = pipeline.output.reader.read(text)
    if failure is None and not pipeline.output.is_sure(value):
        failure = Failure(Code.ANSWER_UNSURE, "The answer is less sure than output.confidence asks for.")
    return value, failure


def reusable(answer: Answer, verdict: Verdict) -> bool:
    """Tell whether the same request may have this answer again: a good one, and whole."""
    return verdict.outcome is Outcome.SUCCEEDED and answer.stop not in STOPPED_BY_LENGTH


def missing(
    ending: Ending,
    pipeline: Pipeline,
    *,
    model: str,
    attempt: int,
    failures: int,
    cancelled: bool,
    elsewhere: bool = False,
) -> Verdict:
    """Decide what becomes of a record that a job has no line for.

    `failures` is how many jobs have failed as a whole with it before this one; `elsewhere` tells that
    another job asks the same, so that this one has not.
    """
    if cancelled or ending.stop is Stop.CANCELLED:
        return Verdict(Outcome.FAILED, None, CANCELLED)
    if elsewhere:
        return Verdict(Outcome.AWAIT)
    said = ending.message[:MESSAGE_CHARACTERS] or f"The job ended as {ending.status}."
    if ending.status == REFUSED:
        failure = Failure(Code.JOB_REFUSED, said)
        more = attempt < pipeline.attempts and pipeline.next_model(model)
        return Verdict(Outcome.ESCALATE if more else Outcome.FAILED, None, failure)
    if ending.status == "Failed":
        last = failures + 1 >= MAX_FAILED_JOBS
        return Verdict(Outcome.FAILED if last else Outcome.REPEAT, None, Failure(Code.JOB_FAILED, said))
    failure = Failure(Code.ANSWER_MISSING, f"The job ended as {ending.status} without this record.")
    if ending.status == NOT_SENT or ending.stop is Stop.DEADLINE:
        return Verdict(Outcome.REPEAT, None, failure)
    return Verdict(Outcome.RETRY if attempt < pipeline.attempts else Outcome.FAILED, None, failure)


def lane_works(
    *, engine: Engine, stopped: bool, tally: Tally, codes: Mapping[str, int], left_out: int = 0
) -> bool | None:
    """Tell what a job says of its lane: that jobs succeed there, or that they do not. None: nothing.

    `left_out` counts the records that were not sent because of the cache: they say nothing.
    """
    if tally.succeeded > tally.cached:
        return True
    sent = tally.records - codes.get(Code.CANCELLED, 0) - left_out
    if engine is Engine.NOBODY or stopped or sent <= 0:
        return None
    answered = any(codes.get(one) for one in ANSWERED)
    return None if answered and sent < TELLING_RECORDS else False


def difference(outcomes: Outcomes, *, records: int, booked: Usage, manifest: Usage | None) -> dict[str, int]:
    """Say by how much a job's sums do not add up; empty when they do.

    `records` is how many the job was opened with, `booked` what its documents are charged. Tokens that
    the manifest has beyond all lines were charged for lines that are missing or damaged; anything else
    is a difference.
    """
    found = {"records": records - len(outcomes.expected)}
    if manifest is not None:
        rest = manifest - booked - outcomes.unowned
        lost = outcomes.missing or outcomes.unreadable
        for name, tokens in (("input_tokens", rest.input_tokens), ("output_tokens", rest.output_tokens)):
            found[name] = 0 if lost and tokens > 0 else tokens
    return {name: number for name, number in found.items() if number}
