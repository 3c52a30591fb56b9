"""Submit: which records of a job are sent and in which files, decided from values alone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from batchline.cache import Decision, Fate
from batchline.cancel import Cancels, documents_of
from batchline.models import Range, Shard


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a job is sent.

    `shards` are those that hold at least one record to send, in their order; `left_out` names, by shard
    id, the documents whose records are not sent; `records` and `cancelled` count both. `spared` are the
    records, and `sparing` the shards, of which the cache need not have everything sent.
    """

    shards: tuple[Shard, ...]
    left_out: Mapping[str, frozenset[str]]
    records: int
    cancelled: int
    spared: frozenset[str] = frozenset()
    sparing: frozenset[str] = frozenset()

    def whole(self, shard: Shard) -> bool:
        """Tell whether all records of a shard are sent."""
        return shard.shard_id not in self.left_out and shard.shard_id not in self.sparing

    def cancelled_of(self, shard: Shard) -> int:
        """Count a shard's cancelled records."""
        gone = self.left_out.get(shard.shard_id)
        ranges = map(Range.parse, shard.ranges) if gone else ()
        return sum(part.count for part in ranges if gone and part.document_id in gone)

    def sparing_those(self, decisions: Sequence[Decision]) -> "Selection":
        """Leave out what need not be sent because of the cache."""
        spared = [one for one in decisions if one.fate is not Fate.SENT]
        lost = Counter(one.shard for one in spared)
        shards = [one for one in self.shards if self.cancelled_of(one) + lost[one.shard_id] < one.records]
        return replace(
            self,
            shards=tuple(shards),
            records=self.records - len(spared),
            spared=frozenset(one.record for one in spared),
            sparing=frozenset(lost),
        )

    def too_few(self, minimum: int) -> str:
        """Say why so few records are left for a batch."""
        reasons = []
        if self.cancelled:
            reasons.append(f"{self.cancelled} of its records were cancelled")
        if self.spared:
            reasons.append(f"{len(self.spared)} of its records need not be sent")
        return f"{' and '.join(reasons)}; {self.records} are left and a batch needs {minimum}"


def select(shards: Iterable[Shard], cancels: Cancels) -> Selection:
    """Leave the records of cancelled documents out of a job."""
    kept: list[Shard] = []
    left_out: dict[str, frozenset[str]] = {}
    records = cancelled = 0
    for one in shards:
        gone = frozenset(name for name in documents_of(one) if cancels.covers(one, name)) if cancels else ()
        ranges = map(Range.parse, one.ranges) if gone else ()
        lost = sum(part.count for part in ranges if part.document_id in gone)
        if gone:
            left_out[one.shard_id] = frozenset(gone)
        if lost < one.records:
            kept.append(one)
        records += one.records - lost
        cancelled += lost
    return Selection(tuple(kept), left_out, records, cancelled)


def common(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Keep the tags that all pipelines of a job have alike: a job has one value of each."""
    first, *others = map(dict, tags)
    return {key: value for key, value in first.items() if all(one.get(key) == value for one in others)}


def files(shards: Iterable[Shard], *, max_file_bytes: int) -> Iterator[tuple[Shard, ...]]:
    """Put shards into as few input files as the limit allows, in their order."""
    group: list[Shard] = []
    size = 0
    for one in shards:
        if group and size + one.bytes > max_file_bytes:
            yield tuple(group)
            group, size = [], 0
        group.append(one)
        size += one.bytes
    if group:
        yield tuple(group)
