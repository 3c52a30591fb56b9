"""Invoke: which record is asked next, and the answers of single calls as Bedrock's batch writes them."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import orjson

from batchline import dialects, pacing
from batchline.pacing import Governor, Ticket

# How often a record is asked within one attempt, where the model surely has not answered.
REPETITIONS: Final = 8
UNCONFIRMED: Final = 408
THROTTLED: Final = 429


@dataclass(frozen=True, slots=True)
class Request:
    """A record to ask. `tokens` is the most that the call may use, `asked` how often it was asked."""

    record_id: str
    body: Mapping[str, Any]
    tokens: int
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """The counts that Bedrock puts beside a job's output."""

    totalRecordCount: int = 0  # noqa: N815 - Bedrock's names
    processedRecordCount: int = 0  # noqa: N815
    successRecordCount: int = 0  # noqa: N815
    errorRecordCount: int = 0  # noqa: N815
    inputTokenCount: int = 0  # noqa: N815
    outputTokenCount: int = 0  # noqa: N815

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self))


@dataclass(slots=True)
class Schedule:
    """The records of a job that are still to be asked, paced by the model's governor.

    `requests` are asked in their order. What was refused for now comes again after a while, by
    `chance`, a source of numbers from 0 to 1.
    """

    requests: Iterator[Request]
    governor: Governor
    chance: Callable[[], float]
    _next: Request | None = None
    _again: list[tuple[float, int, Request]] = field(default_factory=list)
    _repeated: int = 0

    def take(self, now: float, under_way: int) -> tuple[Request, Ticket] | None:
        """Take the record that may be asked now, if one may while so many calls are under way."""
        if under_way >= self.governor.room(now) or self.delay(now) > 0:
            return None
        request = self._due(now)
        if request is None:
            return None
        if self._again and self._again[0][2] is request:
            heapq.heappop(self._again)
        else:
            self._next = None
        return replace(request, asked=request.asked + 1), self.governor.admit(now, request.tokens)

    def delay(self, now: float) -> float:
        """Say in how many seconds a record may be asked, as far as the pace goes; 0: now, or none is left."""
        request = self._due(now)
        if request is not None:
            return self.governor.delay(now, request.tokens)
        return self._again[0][0] - now if self._again else 0.0

    @property
    def empty(self) -> bool:
        """Tell whether no record is left but those under way."""
        return self._peek() is None and not self._again

    def refused(self, request: Request, ticket: Ticket, now: float, code: int) -> bool:
        """Note that a call was not answered. Tell whether the record will be asked again."""
        self.governor.settle(ticket, 0)
        if code == THROTTLED:
            self.governor.refused(now)
        if request.asked >= REPETITIONS:
            return False
        due = now + pacing.backoff(request.asked, self.chance())
        self._repeated += 1
        heapq.heappush(self._again, (due, self._repeated, request))
        return True

    def _due(self, now: float) -> Request | None:
        if self._again and self._again[0][0] <= now:
            return self._again[0][2]
        return self._peek()

    def _peek(self) -> Request | None:
        if self._next is None:
            self._next = next(self.requests, None)
        return self._next


def answered(record_id: str, model_input: Mapping[str, Any], output: Mapping[str, Any]) -> bytes:
    """Write the output line of a record that was answered."""
    line = {"recordId": record_id, "modelInput": model_input, "modelOutput": output}
    return orjson.dumps(line) + b"\n"


def failed(record_id: str, model_input: Mapping[str, Any], code: int, message: str) -> bytes:
    """Write the output line of a record that was not answered."""
    error = {"errorCode": code, "errorMessage": message}
    line = {"recordId": record_id, "modelInput": model_input, "error": error}
    return orjson.dumps(line) + b"\n"


def record_ids(lines: Iterable[bytes]) -> set[str]:
    """Name the records that lines of output or of a checkpoint answer."""
    return {orjson.loads(line)["recordId"] for line in lines if line}


@dataclass(slots=True)
class Tally:
    """What an output holds, counted while it is written. `unconfirmed`: nobody knows whether it was paid."""

    good: int = 0
    bad: int = 0
    unconfirmed: int = 0
    read: int = 0
    written: int = 0

    def counting(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Pass lines through, each with its line feed, and count them."""
        for line in lines:
            if line:
                self._add(orjson.loads(line))
                yield line + b"\n"

    def _add(self, line: Mapping[str, Any]) -> None:
        output = line.get("modelOutput")
        if output is None:
            self.bad += 1
            self.unconfirmed += line["error"]["errorCode"] == UNCONFIRMED
            return
        usage = dialects.usage(output)
        self.good += 1
        self.read += usage.input_tokens
        self.written += usage.output_tokens

    @property
    def manifest(self) -> Manifest:
        """The counts as Bedrock writes them."""
        total = self.good + self.bad
        return Manifest(total, total, self.good, self.bad, self.read, self.written)
