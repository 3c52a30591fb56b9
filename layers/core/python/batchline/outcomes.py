"""Outcomes: what became of every record of a job, in memory that does not grow with objects.

A job's plan says which records are expected, as ranges. Sorted, they give every record a position, and
everything that is known of a record stands at its position in a few arrays: 24 bytes a record, and 33 a
range to find it by. The records of a document are neighbours.
"""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate, islice
from struct import Struct
from typing import Final, NamedTuple, Self

import orjson

from batchline.cache import Decision, Fates
from batchline.errors import Code
from batchline.ids import RecordId
from batchline.models import TOLD_TOKENS, Range, Shard, Usage

NOT_READ: Final = 0xFFFF  # the part of a record without a line
FOREIGN: Final = 0xFFFFFFFF  # the position of a record that the job was not asked for
EXAMPLES: Final = 5
# The first record's id with the attempt before the index, so that ids sort as their records do; how many
# follow it; the number of the shard.
_RANGE: Final = Struct(">25sII")
_SUMMARY: Final = Struct("<IBB?5I")
_SAME: Final = 18  # bytes of a key that are the same for all records of a range
_ID_LENGTH: Final = 25


class Outcome(IntEnum):
    """What becomes of a record. From RETRY on it is asked for again."""

    NONE = 0  # not known yet
    SUCCEEDED = 1
    FAILED = 2
    RETRY = 3  # by the same model, at the next attempt
    ESCALATE = 4  # by the next model, at the next attempt
    REPEAT = 5  # by the same model, at the same attempt: it was never answered
    AWAIT = 6  # like REPEAT, but later: another job asks the same right now


# What costs no attempt.
SAME_ATTEMPT: Final = frozenset({Outcome.REPEAT, Outcome.AWAIT})


class Summary(NamedTuple):
    """What collect remembers of a line between reading a part and closing the job.

    `outcome` is NONE for a line that is not looked at: a second one of a record that is settled. What was
    `reused` is an answer to another request for the same; its `usage` was not charged again.
    """

    position: int
    outcome: int
    code: str
    usage: Usage
    reused: bool = False


class Summaries:
    """Summaries of a part's lines as bytes: the codes that occur, then 27 bytes for each line."""

    def __init__(self) -> None:
        self._codes = {"": 0}
        self._lines = bytearray()

    def add(self, one: Summary) -> None:
        code = self._codes.setdefault(one.code, len(self._codes))
        self._lines += _SUMMARY.pack(one.position, one.outcome, code, one.reused, *_told(one.usage))

    def dump(self) -> bytes:
        return orjson.dumps(list(self._codes)) + b"\n" + self._lines

    @staticmethod
    def load(data: bytes) -> Iterator[Summary]:
        head, _, lines = data.partition(b"\n")
        codes = orjson.loads(head)
        for position, outcome, code, reused, *numbers in _SUMMARY.iter_unpack(lines):
            yield Summary(position, outcome, codes[code], Usage(*numbers), reused)


def _told(usage: Usage) -> Iterator[int]:
    """Yield what an answer tells of its tokens; which of them are those of a long prompt follows from it."""
    return islice(usage, len(TOLD_TOKENS))


class Stretch(NamedTuple):
    """Neighbouring positions `start` to `stop` of one document, one attempt and one shard."""

    document_id: str
    attempt: int
    shard: Shard
    start: int
    stop: int


class _Keys:
    """The keys of the ranges as a sequence, for bisect."""

    def __init__(self, ranges: bytearray) -> None:
        self._ranges = ranges

    def __len__(self) -> int:
        return len(self._ranges) // _RANGE.size

    def __getitem__(self, index: int) -> bytearray:
        at = index * _RANGE.size
        return self._ranges[at : at + _ID_LENGTH]


class Expected:
    """The records that a job was opened for, each at a position.

    `shards` are the job's, without their ranges, in the order of the plan; `fates` says what was decided
    about the records of pipelines with a cache.
    """

    def __init__(self, shards: Iterable[Shard], decisions: Iterable[Decision] = ()) -> None:
        self.shards: list[Shard] = []
        # Sorted in parts by their first byte: a list of all keys would be larger than all else together.
        parts: dict[int, bytearray] = {}
        for number, shard in enumerate(shards):
            self.shards.append(shard.model_copy(update={"ranges": ()}))
            for one in map(Range.parse, shard.ranges):
                key = f"{one.document_id}{one.stage}{one.attempt}{one.first:07d}".encode()
                parts.setdefault(key[0], bytearray()).extend(_RANGE.pack(key, one.count, number))
        whole = bytearray()
        for first in sorted(parts):
            part = parts.pop(first)
            size = _RANGE.size
            whole += b"".join(sorted(bytes(part[at : at + size]) for at in range(0, len(part), size)))
        self._ranges = whole
        self._keys = _Keys(self._ranges)
        counts = (count for _, count, _ in _RANGE.iter_unpack(self._ranges))
        self._starts: array[int] = array("I", accumulate(counts, initial=0))
        self.fates = Fates(decisions, self.find)

    def __len__(self) -> int:
        return self._starts[-1]

    def find(self, record_id: str) -> int | None:
        """Say the position of a record. None: the job was not asked for it."""
        if len(record_id) != _ID_LENGTH or not record_id.isascii():
            return None
        key = (record_id[:17] + record_id[24] + record_id[17:24]).encode()
        at = bisect_right(self._keys, key) - 1
        if at < 0 or not key[_SAME:].isdigit():
            return None
        first: bytes
        first, count, _ = _RANGE.unpack_from(self._ranges, at * _RANGE.size)
        beyond = int(key[_SAME:]) - int(first[_SAME:])
        return self._starts[at] + beyond if first[:_SAME] == key[:_SAME] and beyond < count else None

    def record(self, position: int) -> RecordId:
        """Name the record at a position."""
        at = bisect_right(self._starts, position) - 1
        key = _RANGE.unpack_from(self._ranges, at * _RANGE.size)[0].decode()
        index = int(key[_SAME:]) + position - self._starts[at]
        return RecordId(key[:16], key[16], index, int(key[17]))

    def shard(self, position: int) -> Shard:
        """Name the shard of the record at a position."""
        at = bisect_right(self._starts, position) - 1
        number: int = _RANGE.unpack_from(self._ranges, at * _RANGE.size)[2]
        return self.shards[number]

    def stretches(self, start: int = 0) -> Iterator[Stretch]:
        """Yield the ranges from a position on, which begins one, in order."""
        for at in range(bisect_right(self._starts, start) - 1, len(self._keys)):
            key, _, number = _RANGE.unpack_from(self._ranges, at * _RANGE.size)
            yield Stretch(
                key[:16].decode(),
                int(key[17:18]),
                self.shards[number],
                self._starts[at],
                self._starts[at + 1],
            )


@dataclass(slots=True)
class Tally:
    """What one job did for one document, or for one pipeline.

    `retried` records will be asked again: `unsettled` is what was charged for them all the same, a part of
    `usage`. `further` is how many of all the records had been asked before. `cached` of those that succeeded
    have the answer to another request for the same, and `spared` is what their own would have used.
    """

    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    usage: Usage = field(default_factory=Usage)
    unsettled: Usage = field(default_factory=Usage)
    further: int = 0
    cached: int = 0
    spared: Usage = field(default_factory=Usage)

    def __iadd__(self, other: "Tally") -> Self:
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.retried += other.retried
        self.usage += other.usage
        self.unsettled += other.unsettled
        self.further += other.further
        self.cached += other.cached
        self.spared += other.spared
        return self

    @property
    def records(self) -> int:
        return self.succeeded + self.failed + self.retried


class Outcomes:
    """What became of the expected records, and what else a job's output has charged.

    A prompt of more than `long_above` tokens is a long one. None: the model's prompts cost all the same.
    """

    def __init__(self, expected: Expected, *, long_above: int | None = None) -> None:
        count = len(expected)
        self.expected = expected
        self._long_above = long_above
        self.outcome = bytearray(count)
        self.duplicates = self.foreign = self.unreadable = 0
        self.unowned = Usage()
        self._code = bytearray(count)
        self._codes = {"": 0}
        self._tokens: tuple[array[int], ...] = tuple(array("I", bytes(4 * count)) for _ in TOLD_TOKENS)
        # Only there when something was reused.
        self._cached = bytearray()
        self._spared: tuple[array[int], ...] = ()
        self._part: array[int] = array("H", b"\xff" * (2 * count))
        self._again: set[int] = set()

    def merge(self, part: int, summaries: Iterable[Summary]) -> None:
        """Add what a part's lines say; parts come in the order of their bytes.

        Of several lines of a record the first one counts that settles it, else the first. What the
        others have charged belongs to no document.
        """
        for one in summaries:
            self.unreadable += one.code == Code.ANSWER_UNREADABLE
            charged = Usage() if one.reused else one.usage.parted(self._long_above)
            if one.position == FOREIGN:
                self.foreign += 1
                self.unowned += charged
                continue
            before = self.outcome[one.position]
            if before == Outcome.NONE:
                self._set(part, one)
                continue
            self.duplicates += not one.reused
            settles = one.outcome in {Outcome.SUCCEEDED, Outcome.FAILED}
            if settles and before >= Outcome.RETRY:
                self.unowned += self.usage(one.position)
                self._set(part, one)
                continue
            self.unowned += charged
            if settles and self._part[one.position] != part:
                self._again.add(one.position)

    def _set(self, part: int, one: Summary) -> None:
        self.decide(one.position, one.outcome, one.code)
        charged = Usage() if one.reused else one.usage
        for column, number in zip(self._tokens, _told(charged), strict=True):
            column[one.position] = number
        if one.reused and one.outcome == Outcome.SUCCEEDED:
            self._spare(one.position, one.usage)
        self._part[one.position] = part

    def _spare(self, position: int, usage: Usage) -> None:
        """Note that a record has succeeded without being asked, and what that would have used."""
        if not self._cached:
            count = len(self.expected)
            self._cached = bytearray(count)
            self._spared = tuple(array("I", bytes(4 * count)) for _ in TOLD_TOKENS)
        self._cached[position] = 1
        for column, number in zip(self._spared, _told(usage), strict=True):
            column[position] = number

    def decide(self, position: int, outcome: int, code: str) -> None:
        """Set what becomes of a record."""
        self.outcome[position] = outcome
        self._code[position] = self._codes.setdefault(code, len(self._codes))

    def rewritten(self) -> dict[int, set[int]]:
        """Name by part the records whose row may hold the answer of a later part's line."""
        found: dict[int, set[int]] = {}
        for position in self._again:
            found.setdefault(self._part[position], set()).add(position)
        return found

    @property
    def missing(self) -> int:
        """Count the records that no line has told of, but those that another job asks."""
        return self._part.count(NOT_READ) - self.outcome.count(Outcome.AWAIT)

    def without_line(self, start: int, stop: int) -> Iterator[int]:
        """Yield the positions that no line has told of."""
        while (start := self.outcome.find(Outcome.NONE, start, stop)) >= 0:
            yield start
            start += 1

    def usage(self, position: int) -> Usage:
        return self._usage(self._tokens, position)

    def _usage(self, columns: Iterable[array[int]], position: int) -> Usage:
        return Usage(*(column[position] for column in columns)).parted(self._long_above)

    def _sum(self, columns: Iterable[array[int]], start: int, stop: int) -> Usage:
        if self._long_above is None:
            return Usage(*(sum(column[start:stop]) for column in columns))
        return sum((self._usage(columns, position) for position in range(start, stop)), Usage())

    def code(self, position: int) -> str:
        return list(self._codes)[self._code[position]]

    def tally(self, start: int, stop: int, *, attempt: int = 1) -> Tally:
        """Sum up neighbouring records of one attempt."""
        seen = self.outcome
        good, bad = seen.count(Outcome.SUCCEEDED, start, stop), seen.count(Outcome.FAILED, start, stop)
        again = sum(seen.count(one, start, stop) for one in Outcome if one >= Outcome.RETRY)
        usage = self._sum(self._tokens, start, stop)
        tally = Tally(good, bad, again, usage, further=stop - start if attempt > 1 else 0)
        if again:
            unsettled = (position for position in range(start, stop) if seen[position] >= Outcome.RETRY)
            tally.unsettled = sum(map(self.usage, unsettled), Usage())
        if self._cached:
            tally.cached = self._cached.count(1, start, stop)
            tally.spared = self._sum(self._spared, start, stop)
        return tally

    def codes(self) -> Counter[str]:
        """Count the records by their code; those without one are left out."""
        return Counter(
            {name: n for name, number in self._codes.items() if name and (n := self._code.count(number))}
        )

    def examples(self) -> dict[str, list[str]]:
        """Name the first records of each code, by id."""
        found: dict[str, list[str]] = {}
        for name in self.codes():
            at, names = -1, found.setdefault(name, [])
            while len(names) < EXAMPLES and (at := self._code.find(self._codes[name], at + 1)) >= 0:
                names.append(str(self.expected.record(at)))
        return found
