"""The input of a batch job: its shards streamed into as few files as Bedrock's limit allows."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice

from batchline import cache, submit
from batchline.aws.objects import Work
from batchline.ids import RecordId
from batchline.models import Shard
from batchline.submit import Selection


@dataclass(frozen=True, slots=True)
class Written:
    """What is written by now: files, and the bytes in all of them."""

    files: int = 0
    bytes: int = 0


def write(
    work: Work,
    prefix: str,
    chosen: Selection,
    *,
    max_file_bytes: int,
    keep: Callable[[Iterable[bytes]], Iterator[bytes]],
    done: Written = Written(),
) -> Iterator[Written]:
    """Write `0000.jsonl`, `0001.jsonl` … below a prefix, in memory that does not grow with the job.

    Yields after each file what is written by now; `done` is where an earlier run with the same choice has
    stopped. `keep` is given each file's blocks on their way and passes them on; it keeps the lease.
    """
    groups = submit.files(chosen.shards, max_file_bytes=max_file_bytes)
    for group in islice(groups, done.files, None):
        with closing(_content(work, group, chosen)) as blocks:
            size = work.write_stream(f"{prefix}{done.files:04d}.jsonl", keep(blocks))
        done = Written(done.files + 1, done.bytes + size)
        yield done


def _content(work: Work, shards: Iterable[Shard], chosen: Selection) -> Generator[bytes]:
    """Stream the records of shards: as they are, or line by line where some are left out."""
    for whole, run in groupby(shards, key=chosen.whole):
        if whole:
            with closing(work.read_ahead((one.key, one.bytes) for one in run)) as blocks:
                yield from blocks
            continue
        for shard in run:
            gone = chosen.left_out.get(shard.shard_id, frozenset())
            for line in work.lines(shard.key):
                name, _ = cache.read(line)
                record = RecordId.parse(name)
                if name not in chosen.spared and (record is None or record.document_id not in gone):
                    yield line + b"\n"
