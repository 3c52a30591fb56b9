"""Submit: how a job's shards become input files, decided from values alone."""

from collections.abc import Iterable, Iterator

from batchline.models import Shard


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
