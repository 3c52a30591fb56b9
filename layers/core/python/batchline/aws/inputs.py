"""The input of a batch job: its shards streamed into as few files as Bedrock's limit allows."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

import orjson

from batchline import submit
from batchline.aws.objects import Work
from batchline.ids import RecordId
from batchline.models import Shard
from batchline.submit import Selection


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: files, and the bytes in all of them."""

    files: int
    bytes: int


def write(
    work: Work,
    prefix: str,
    chosen: Selection,
    *,
    max_file_bytes: int,
    keep: Callable[[Iterable[bytes]], Iterator[bytes]],
) -> Written:
    """Write `0000.jsonl`, `0001.jsonl` … below a prefix, in memory that does not grow with the job.

    `keep` is given each file's blocks on their way and passes them on; it keeps the lease.
    """
    count = size = 0
    for group in submit.files(chosen.shards, max_file_bytes=max_file_bytes):
        with closing(_content(work, group, chosen.left_out)) as blocks:
            size += work.write_stream(f"{prefix}{count:04d}.jsonl", keep(blocks))
        count += 1
    return Written(count, size)


def _content(work: Work, shards: Iterable[Shard], left_out: Mapping[str, frozenset[str]]) -> Generator[bytes]:
    """Stream the records of shards: as they are, or line by line where some are left out."""
    for whole, run in groupby(shards, key=lambda one: one.shard_id not in left_out):
        if whole:
            with closing(work.read_ahead((one.key, one.bytes) for one in run)) as blocks:
                yield from blocks
            continue
        for shard in run:
            for line in work.lines(shard.key):
                record = RecordId.parse(orjson.loads(line)["recordId"])
                if record is None or record.document_id not in left_out[shard.shard_id]:
                    yield line + b"\n"
