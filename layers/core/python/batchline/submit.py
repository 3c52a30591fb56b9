"""Submit: which records of a job are sent and in which files, decided from values alone."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from batchline.cancel import Cancels, documents_of
from batchline.models import Range, Shard


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a job is sent.

    `shards` are those that hold at least one record to send, in their order; `left_out` names, by shard
    id, the documents whose records are not sent; `records` and `cancelled` count both.
    """

    shards: tuple[Shard, ...]
    left_out: Mapping[str, frozenset[str]]
    records: int
    cancelled: int


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
