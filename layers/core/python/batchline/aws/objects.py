"""Objects in the work bucket, which only Batchline writes.

    pipelines/<name>/<version>.json        every version of a pipeline that was ever in force
    shards/<shard_id>.jsonl                records that wait for a job
    jobs/<job_id>/plan.json                the shards of a job
    jobs/<job_id>/input/<build>/<n>.jsonl  its input, as Bedrock reads it: the files of the last build
    jobs/<job_id>/checkpoints/<n>.jsonl    answers of an on-demand job, as they come
    jobs/<job_id>/output/<id>/             its output, as Bedrock writes it
    jobs/<job_id>/parts/<n>                what collect has read of it
    jobs/<job_id>/parts/cancels-<n>.json   what was cancelled when the job was closed
    jobs/<job_id>/reuse/<n>/               what of it is not sent because of the cache, and known answers
    jobs/<job_id>/parts/late-<n>.jsonl     answers that another job has brought meanwhile
    jobs/<job_id>/parts/allowed-<n>.json   which retries the budgets of documents covered then
    results/<pipeline>/<document_id>.json  the result of a document
    limits.json, prices.json               what the stack knows of its account, and its own prices

Keys under jobs/ stay inside the pattern that Bedrock allows, whatever the upload was called.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from typing import TYPE_CHECKING, Any, Final, override

import msgspec
import orjson
from boto3.s3.transfer import TransferConfig

from batchline.models import Shard

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_BYTES: Final = 1 << 20
UPLOAD_PART_BYTES: Final = 8 << 20
PIECE_BYTES: Final = 4 << 20
READERS: Final = 24
AHEAD_BYTES: Final = 24 << 20
# Names below `reuse_prefix`.
DECISIONS: Final = "decisions.jsonl"
KNOWN: Final = "known.jsonl"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing tells of it. `etag` pins its content for a later read."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Work:
    """The bucket that only Batchline writes to."""

    client: "S3Client"
    bucket: str

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def put_json(self, key: str, value: Any) -> None:
        self.put(key, orjson.dumps(value))

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def get_json(self, key: str) -> Any:
        return orjson.loads(self.get(key))

    def find(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below a prefix, by key."""
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                yield StoredObject(item["Key"], item["Size"], item["ETag"])

    def lines(self, key: str) -> Iterator[bytes]:
        """Stream the lines of an object, without their line feeds."""
        body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
        yield from body.iter_lines(READ_BYTES)

    def blocks(self, key: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Stream bytes `start` to `stop` (exclusive) of an object, if it is still the same."""
        reply = self.client.get_object(
            Bucket=self.bucket, Key=key, IfMatch=etag, Range=f"bytes={start}-{stop - 1}"
        )
        yield from reply["Body"].iter_chunks(READ_BYTES)

    def slice(self, key: str, offset: int, length: int) -> bytes:
        """Read `length` bytes of an object from `offset` on."""
        until = offset + length - 1
        reply = self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={offset}-{until}")
        return reply["Body"].read()

    def slice_if_there(self, key: str, offset: int, length: int) -> bytes | None:
        """Read bytes of an object. None: somebody has deleted it."""
        try:
            return self.slice(key, offset, length)
        except self.client.exceptions.NoSuchKey:
            return None

    def write_stream(self, key: str, blocks: Iterable[bytes]) -> int:
        """Upload blocks of bytes as one object, in memory that does not grow with it; return its size."""
        reader = _Reader(blocks)
        self.client.upload_fileobj(
            reader,  # type: ignore[arg-type] # a raw stream is all that boto3 reads
            self.bucket,
            key,
            Config=TransferConfig(
                multipart_threshold=UPLOAD_PART_BYTES,
                multipart_chunksize=UPLOAD_PART_BYTES,
                use_threads=False,
            ),
        )
        return reader.given

    def read_ahead(self, sizes: Iterable[tuple[str, int]]) -> Generator[bytes]:
        """Stream the content of objects, each given by key and size in bytes, one after the other.

        A few threads fetch what comes next, small objects whole and large ones in pieces, because
        waiting for S3 costs more than moving the bytes. Not more than `AHEAD_BYTES` are held at once.
        """
        pieces = ((key, size, start) for key, size in sizes for start in range(0, size, PIECE_BYTES))
        upcoming = next(pieces, None)
        ahead: deque[Future[bytes]] = deque()
        lengths: deque[int] = deque()
        pool = ThreadPoolExecutor(READERS)
        try:
            while upcoming or ahead:
                while upcoming and len(ahead) < READERS:
                    length = min(PIECE_BYTES, upcoming[1] - upcoming[2])
                    if sum(lengths) + length > AHEAD_BYTES:
                        break
                    ahead.append(pool.submit(self._piece, *upcoming))
                    lengths.append(length)
                    upcoming = next(pieces, None)
                block = ahead.popleft().result()
                lengths.popleft()
                yield block
        finally:
            pool.shutdown(cancel_futures=True)

    def _piece(self, key: str, size: int, start: int) -> bytes:
        """Read the piece of an object that begins at `start`."""
        if size <= PIECE_BYTES:
            return self.get(key)
        return self.slice(key, start, min(PIECE_BYTES, size - start))

    # plans of jobs

    def put_plan(self, job_id: str, shards: Iterable[Shard]) -> None:
        """Write down of which shards a job is made."""
        self.put_json(plan_key(job_id), {"shards": [one.model_dump(mode="json") for one in shards]})

    def plan(self, job_id: str) -> Iterator[Shard]:
        """Yield the shards of a job; all ranges of a large one at once would take hundreds of megabytes."""
        stored = msgspec.json.decode(self.get(plan_key(job_id)), type=_Plan)
        return (Shard.model_validate_json(bytes(one)) for one in stored.shards)

    def get_plan(self, job_id: str) -> list[Shard]:
        return list(self.plan(job_id))

    # pipelines

    def put_pipeline(self, name: str, version: str, text: str) -> None:
        self.put(_pipeline_key(name, version), text.encode())

    def get_pipeline(self, name: str, version: str) -> str:
        return self.get(_pipeline_key(name, version)).decode()


class _Plan(msgspec.Struct):
    """A plan.json of which every shard is read in its turn."""

    shards: list[msgspec.Raw]


def shard_key(shard_id: str) -> str:
    return f"shards/{shard_id}.jsonl"


def plan_key(job_id: str) -> str:
    return f"jobs/{job_id}/plan.json"


def input_prefix(job_id: str, build: int) -> str:
    """Name the folder of one build of a job's input. A later build never meets what an earlier one left."""
    return f"jobs/{job_id}/input/{build:04d}/"


def output_prefix(job_id: str) -> str:
    return f"jobs/{job_id}/output/"


def checkpoint_prefix(job_id: str) -> str:
    return f"jobs/{job_id}/checkpoints/"


def part_key(job_id: str, part: int) -> str:
    return f"jobs/{job_id}/parts/{part:05d}"


def cancels_key(job_id: str, owner: str) -> str:
    return f"jobs/{job_id}/parts/cancels-{owner}.json"


def reuse_prefix(job_id: str, owner: str) -> str:
    """Name the folder of one choice of what a job sends. The job's row says whose choice holds."""
    return f"jobs/{job_id}/reuse/{owner}/"


def late_key(job_id: str, owner: str) -> str:
    return f"jobs/{job_id}/parts/late-{owner}.jsonl"


def allowed_key(job_id: str, owner: str) -> str:
    return f"jobs/{job_id}/parts/allowed-{owner}.json"


def _pipeline_key(name: str, version: str) -> str:
    return f"pipelines/{name}/{version}.json"


class _Reader(RawIOBase):
    """Lets boto3 read an iterator of blocks as a file."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.given = 0
        self._blocks = iter(blocks)
        self._rest = b""

    @override
    def readable(self) -> bool:
        return True

    @override
    def read(self, size: int = -1, /) -> bytes:
        parts, wanted = [], size
        while size < 0 or wanted > 0:
            if not self._rest:
                self._rest = next(self._blocks, b"")
                if not self._rest:
                    break
            piece = self._rest if size < 0 else self._rest[:wanted]
            self._rest = self._rest[len(piece) :]
            parts.append(piece)
            wanted -= len(piece)
        data = b"".join(parts)
        self.given += len(data)
        return data
