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

from batchline import catalog
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
RETRYABLE_STATUS: Final = frozenset({"408", "424", "429", "500", "502", "503", "504", "529"})
STOPPED_BY_LENGTH: Final = frozenset({"max_tokens", "model_context_window_exceeded"})
STOPPED_BY_RULE: Final = frozenset({"guardrail_intervened", "content_filtered"})
# What DynamoDB takes: 38 digits, magnitudes from 1E-130 to 9.9…E+125, 32 levels of maps and lists.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
NUMBERS: Final = Context(prec=38, traps=[])
SMALLEST: Final = -130
LARGEST: Final = 125
MAX_DEPTH: Final = 30
# What orjson writes as an int, and how deep it writes; below both, everything else works as well.
INTEGERS: Final = range(-(2**63), 2**64)
ANSWER_DEPTH: Final = 100
MESSAGE_CHARACTERS: Final = 500
_RECORD_ID: Final = re.compile(rb'"recordId"\s*:\s*"([a-z0-9]{25})"')


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
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        found = _RECORD_ID.search(line)
        name = found[1].decode() if found else ""
        message = f"The output line cannot be read: {type(error).__name__}."
        return Answer(name, None, "", Usage(), Failure(Code.ANSWER_UNREADABLE, message), retryable=True)


def _error(record_id: str, error: dict[str, Any]) -> Answer:
    said = str(error.get("errorMessage", ""))[:MESSAGE_CHARACTERS]
    status = str(error.get("errorCode", 0))
    failure = Failure(Code.MODEL_ERROR, f"{status[:MESSAGE_CHARACTERS]}: {said}")
    again = status in RETRYABLE_STATUS or bool(error.get("retryable"))
    return Answer(record_id, None, "error", Usage(), failure, again)


def _converse(record_id: str, output: dict[str, Any]) -> Answer:
    usage = Usage(_tokens(output["usage"]["inputTokens"]), _tokens(output["usage"]["outputTokens"]))
    blocks = output["output"]["message"]["content"]
    text = "".join(block["text"] for block in blocks if "text" in block)
    return Answer(record_id, text, str(output["stopReason"]), usage)


def _tokens(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        message = "not a count of tokens"
        raise TypeError(message)
    return value


def judge(answer: Answer, pipeline: Pipeline, attempt: int) -> Verdict:
    """Decide what becomes of a record that was answered at this attempt."""
    last = attempt >= pipeline.attempts
    output, failure = None, answer.failure
    again = answer.retryable
    if failure is None:
        output, failure = _value(answer, pipeline)
        again = failure is not None and failure.code in RETRYABLE and not _has_no_more_room(answer, pipeline)
    if failure is None:
        return Verdict(SUCCEEDED, output)
    if again and not last:
        return Verdict(RETRY, None, failure)
    if failure.code == Code.ANSWER_TRUNCATED and pipeline.output is None and (answer.text or "").strip():
        # The answer was paid for and reads well up to its end; its `stop` says that it was cut.
        return Verdict(SUCCEEDED, answer.text)
    return Verdict(FAILED, None, failure)


def _has_no_more_room(answer: Answer, pipeline: Pipeline) -> bool:
    """Tell whether an answer was cut where the model itself ends, so that no repetition is longer."""
    longest = catalog.model(pipeline.model).max_output
    too_long = answer.stop == "max_tokens" and answer.usage.output_tokens >= longest
    return too_long or answer.stop == "model_context_window_exceeded"


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
    bare = _without_fence(text)
    try:
        plain = orjson.loads(bare)
    except orjson.JSONDecodeError as error:
        return None, _invalid(f"is not JSON: {error.msg}")
    if _deeper(plain, ANSWER_DEPTH):
        return None, _invalid(f"is nested more than {ANSWER_DEPTH} levels deep")
    validator = jsonschema.Draft202012Validator(schema, registry=Registry())
    try:
        wrong = next(validator.iter_errors(plain), None)
    except RecursionError:
        return None, _invalid("is nested too deeply for its schema")
    if wrong:
        rule = f"{wrong.validator}: {_short(wrong.validator_value)}" if wrong.validator else "false"
        return None, _invalid(f"breaks the schema at {_place(wrong.absolute_path, schema)} ({rule})")
    return json.loads(bare, parse_float=_decimal, parse_int=_integer), None


def _invalid(what: str) -> Failure:
    return Failure(Code.ANSWER_INVALID, f"The answer {what}.")


def _without_fence(text: str) -> str:
    """Take an answer out of the Markdown code block that models like to put it in."""
    bare = text.strip()
    first, newline, rest = bare.partition("\n")
    if newline and first.startswith("```") and rest.endswith("```"):
        return rest.removesuffix("```")
    return bare


def _deeper(value: Any, limit: int) -> bool:
    """Tell whether lists and objects nest deeper than a limit, without recursion."""
    level = [value]
    for _ in range(limit + 1):
        containers = [one for one in level if isinstance(one, dict | list)]
        level = [inner for one in containers for inner in (one.values() if isinstance(one, dict) else one)]
    return bool(level)


def _place(path: Iterable[str | int], schema: dict[str, Any]) -> str:
    """Write a path as JSONPath. Keys that only the answer has are part of its text: they become `*`."""
    known = set(_names(schema))
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" if step in known else ".*" for step in path)
    return "$" + "".join(steps)


def _names(schema: Any) -> Iterator[str]:
    """Yield the keys that stand anywhere in a schema; names of properties are among them."""
    if isinstance(schema, dict):
        yield from schema
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from _names(inner)


def _integer(digits: str) -> int | Decimal:
    return value if (value := int(digits)) in INTEGERS else _decimal(digits)


def _decimal(digits: str) -> Decimal:
    return NUMBERS.create_decimal(digits) or Decimal(0)  # DynamoDB takes no exponent of a zero


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
    if isinstance(value, int):
        return abs(value) < 10**38
    if isinstance(value, Decimal):
        digits = len(value.as_tuple().digits)
        return value.is_finite() and digits <= NUMBERS.prec and SMALLEST <= value.adjusted() <= LARGEST
    return value is None or isinstance(value, str)


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
