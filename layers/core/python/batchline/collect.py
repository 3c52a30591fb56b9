"""Collect: what a line of output says, and what becomes of its record."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any, Final

import jsonschema
import orjson
from referencing import Registry

from batchline.errors import Code
from batchline.ids import RecordId
from batchline.models import Failure, Usage
from batchline.pipelines import Pipeline

SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
RETRY: Final = "retry"

# Answers that the same request may not get a second time.
RETRYABLE: Final = frozenset(
    {
        Code.ANSWER_MISSING,
        Code.ANSWER_EMPTY,
        Code.ANSWER_INVALID,
        Code.ANSWER_TRUNCATED,
        Code.ANSWER_UNREADABLE,
    }
)
RETRYABLE_STATUS: Final = frozenset({408, 424, 429, 500, 502, 503, 504, 529})
STOPPED_BY_LENGTH: Final = frozenset({"max_tokens", "model_context_window_exceeded"})
STOPPED_BY_RULE: Final = frozenset({"guardrail_intervened", "content_filtered"})
# What DynamoDB takes; the rest of an answer's numbers is rounded to it.
NUMBERS: Final = Context(prec=38, Emin=-128, Emax=126, traps=[])
MAX_DEPTH: Final = 30
_FENCE: Final = re.compile(r"\s*```[a-z]*\n(.*)\n\s*```\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of output as it stands. `text` is None where there is no answer."""

    record_id: str
    text: str | None
    stop: str
    usage: Usage
    failure: Failure | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a record: `outcome` is succeeded, failed or retry; `output` its answer."""

    outcome: str
    output: Any = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A line and where it starts in its file, in bytes."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """What collect remembers of a line between reading a part and closing the job."""

    record_id: str
    outcome: str
    code: str
    usage: Usage

    def dump(self) -> bytes:
        values = (
            self.record_id,
            self.outcome,
            self.code,
            self.usage.input_tokens,
            self.usage.output_tokens,
        )
        return orjson.dumps(values) + b"\n"

    @classmethod
    def load(cls, line: bytes) -> "Summary":
        record_id, outcome, code, read, written = orjson.loads(line)
        return cls(record_id, outcome, code, Usage(read, written))


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
        record = orjson.loads(line)
        record_id = str(record["recordId"])
        if error := record.get("error"):
            return _error(record_id, error)
        return _converse(record_id, record["modelOutput"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError) as error:
        found = re.search(rb'"recordId":"([a-z0-9]{25})"', line)
        name = found[1].decode() if found else ""
        message = f"The output line cannot be read: {type(error).__name__}."
        return Answer(name, None, "", Usage(), Failure(Code.ANSWER_UNREADABLE, message), retryable=True)


def _error(record_id: str, error: dict[str, Any]) -> Answer:
    status = int(error.get("errorCode", 0))
    failure = Failure(Code.MODEL_ERROR, f"{status}: {error.get('errorMessage', '')}")
    again = status in RETRYABLE_STATUS or bool(error.get("retryable"))
    return Answer(record_id, None, "error", Usage(), failure, again)


def _converse(record_id: str, output: dict[str, Any]) -> Answer:
    usage = Usage(output["usage"]["inputTokens"], output["usage"]["outputTokens"])
    blocks = output["output"]["message"]["content"]
    text = "".join(block["text"] for block in blocks if "text" in block)
    return Answer(record_id, text, output["stopReason"], usage)


def judge(answer: Answer, pipeline: Pipeline, attempt: int) -> Verdict:
    """Decide what becomes of a record that was answered at this attempt."""
    last = attempt >= pipeline.attempts
    output, failure = None, answer.failure
    again = answer.retryable
    if failure is None:
        output, failure = _value(answer, pipeline)
        again = failure is not None and failure.code in RETRYABLE
    if failure is None:
        return Verdict(SUCCEEDED, output)
    if again and not last:
        return Verdict(RETRY, None, failure)
    if failure.code == Code.ANSWER_TRUNCATED and pipeline.output is None:
        # The answer was paid for and reads well up to its end; its `stop` says that it was cut.
        return Verdict(SUCCEEDED, answer.text)
    return Verdict(FAILED, None, failure)


def _value(answer: Answer, pipeline: Pipeline) -> tuple[Any, Failure | None]:
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
        return None, Failure(Code.ANSWER_EMPTY, f"The model answered nothing ({answer.stop}).")
    if pipeline.output is None:
        return text, None
    return structured(text, pipeline.output.json_schema)


def structured(text: str, schema: dict[str, Any]) -> tuple[Any, Failure | None]:
    """Parse an answer that must satisfy a JSON Schema; numbers become int or Decimal.

    The failure names the path and the rule, never the value.
    """
    fenced = _FENCE.fullmatch(text)
    try:
        plain = orjson.loads(fenced[1] if fenced else text)
    except orjson.JSONDecodeError as error:
        return None, Failure(Code.ANSWER_INVALID, f"The answer is not JSON: {error.msg}.")
    validator = jsonschema.Draft202012Validator(schema, registry=Registry())
    if wrong := next(validator.iter_errors(plain), None):
        rule = f"{wrong.validator}: {_short(wrong.validator_value)}"
        return None, Failure(
            Code.ANSWER_INVALID, f"The answer breaks the schema at {wrong.json_path} ({rule})."
        )
    value = json.loads(fenced[1] if fenced else text, parse_float=NUMBERS.create_decimal)
    return value, None


def _short(rule: Any) -> str:
    return json.dumps(rule, ensure_ascii=False)[:100]


def storable(value: Any, depth: int = 0) -> bool:
    """Tell whether DynamoDB can hold a value as it is."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(name and storable(one, depth + 1) for name, one in value.items())
    if isinstance(value, list):
        return all(storable(one, depth + 1) for one in value)
    if isinstance(value, Decimal):
        return value.is_finite()
    return not isinstance(value, int) or abs(value) < 10**38


@dataclass(slots=True)
class Tally:
    """What one job did for one document, or for one pipeline."""

    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, outcome: str, usage: Usage) -> None:
        self.succeeded += outcome == SUCCEEDED
        self.failed += outcome == FAILED
        self.retried += outcome == RETRY
        self.usage += usage


@dataclass(frozen=True, slots=True)
class Merged:
    """All that a job's output said, once per record."""

    by_record: dict[str, Summary]
    missing: tuple[str, ...]
    duplicates: int
    foreign: int
    unowned: Usage


def merge(summaries: Iterable[Summary], expected: Iterable[str]) -> Merged:
    """Decide which line counts for each expected record: the first one.

    What other lines charged belongs to no document; it is kept apart.
    """
    wanted = dict.fromkeys(expected)
    found: dict[str, Summary] = {}
    duplicates = foreign = 0
    unowned = Usage()
    for one in summaries:
        if one.record_id not in wanted:
            foreign += 1
            unowned += one.usage
        elif one.record_id in found:
            duplicates += 1
            unowned += one.usage
        else:
            found[one.record_id] = one
    missing = tuple(name for name in wanted if name not in found)
    return Merged(found, missing, duplicates, foreign, unowned)


def missing(*, ended: str, message: str, record_id: RecordId, attempts: int) -> Verdict:
    """Decide what becomes of a record that a job has no line for."""
    if ended in {"Failed", "REFUSED"}:
        code = Code.JOB_REFUSED if ended == "REFUSED" else Code.JOB_FAILED
        return Verdict(FAILED, None, Failure(code, message or f"The job ended as {ended}."))
    failure = Failure(Code.ANSWER_MISSING, f"The job ended as {ended} without this record.")
    return Verdict(RETRY if record_id.attempt < attempts else FAILED, None, failure)
