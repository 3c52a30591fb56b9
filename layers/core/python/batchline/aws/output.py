"""The output of an ended job, read in parts, each a range of bytes.

Reading a part has no effect but the rows of the records that it settles, which are the same every time,
and a summary of its lines for the closing of the job. Any part may be read by anybody, twice or at once.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson

from batchline import cache, collect
from batchline.aws import dynamo, objects
from batchline.aws.cache import Cache, answer_row
from batchline.aws.dynamo import Row
from batchline.aws.objects import StoredObject, Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.results import Results, result_row
from batchline.collect import Located, Verdict
from batchline.models import Failure, Shard, Usage
from batchline.outcomes import FOREIGN, Expected, Outcome, Summaries, Summary
from batchline.structured import storable

PART_BYTES: Final = 64_000_000
INLINE_BYTES: Final = 4_096  # longer answers stay in the output; the row points to them


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` to `stop` of an output file. `etag` pins its content, `size` is the whole file's."""

    key: str
    etag: str
    size: int
    start: int
    stop: int


def pinned(files: Iterable[StoredObject]) -> Row:
    """Write down which output a job has, as attributes of its row."""
    found = [{"key": one.key, "etag": one.etag, "size": one.size} for one in files]
    row: Row = {"files": found, "part_bytes": PART_BYTES}
    return row | {"parts": len(parts(row))}


def parts(row: Row) -> list[Part]:
    """Cut a job's output into its parts: always the same ones, in the order of files and bytes."""
    return [
        Part(one["key"], one["etag"], one["size"], start, min(start + row["part_bytes"], one["size"]))
        for one in row["files"]
        for start in range(0, one["size"], row["part_bytes"])
    ]


def is_small(row: Row) -> bool:
    """Tell whether all of a job's output is read as quickly as one part."""
    return sum(int(one["size"]) for one in row["files"]) <= int(row["part_bytes"])


@dataclass(frozen=True, slots=True)
class OutputReader:
    """Reads parts. `kept_days` is how long the rows of records are kept."""

    results: Results
    work: Work
    pipelines: Pipelines
    cache: Cache
    clock: Callable[[], datetime]
    kept_days: int

    def read(self, row: Row, number: int, expected: Expected, keep: Callable[[], None]) -> None:
        """Settle the records of a part and write its summary. `keep` is called while it goes on."""
        summaries = Summaries()
        part = parts(row)[number]
        self.results.put(self._rows(row, part, expected, keep, summaries))
        self.work.put(objects.part_key(row["job_id"], number), summaries.dump())

    def rewrite(
        self, row: Row, number: int, expected: Expected, positions: AbstractSet[int], keep: Callable[[], None]
    ) -> None:
        """Write the rows of some records again, as this part says them."""
        part = parts(row)[number]
        self.results.put(self._rows(row, part, expected, keep, Summaries(), positions))

    def summaries(self, job_id: str, number: int) -> Iterator[Summary]:
        """Yield what a part that was read has said."""
        return Summaries.load(self.work.get(objects.part_key(job_id, number)))

    def _rows(
        self,
        row: Row,
        part: Part,
        expected: Expected,
        keep: Callable[[], None],
        summaries: Summaries,
        only: AbstractSet[int] | None = None,
    ) -> Iterator[Row]:
        """Yield the rows of the records that a part settles; of all, or of those at some positions."""
        settled = bytearray(len(expected))
        known = not part.key.startswith(objects.output_prefix(row["job_id"]))
        fresh: list[Row] = []
        blocks = self.work.blocks(part.key, etag=part.etag, start=max(0, part.start - 1), stop=part.size)
        for line in collect.lines(blocks, start=part.start, stop=part.stop):
            keep()
            answer = collect.read(line.data)
            position = expected.find(answer.record_id)
            if position is None or settled[position]:
                code = answer.failure.code if answer.failure else ""
                place = FOREIGN if position is None else position
                summaries.add(Summary(place, Outcome.NONE, code, answer.usage, known))
                continue
            for place in (position, *expected.fates.copies(position)):
                if settled[place] or (only is not None and place not in only):
                    continue
                reused = known or place != position
                shard, record = expected.shard(place), expected.record(place)
                pipeline = self.pipelines.asking(shard.pipeline, shard.version, record.stage)
                verdict = collect.judge(answer, pipeline, model=row["model"], attempt=record.attempt)
                code = verdict.failure.code if verdict.failure else ""
                summaries.add(Summary(place, verdict.outcome, code, answer.usage, reused))
                if verdict.outcome < Outcome.RETRY:
                    settled[place] = True
                    stored = _stored(verdict, part.key, line, reused=reused)
                    usage = Usage() if reused else answer.usage
                    days = self.kept_days
                    yield result_row(row, record, usage=usage, days=days, stop=answer.stop, **stored)
                if not reused and collect.reusable(answer, verdict) and place in expected.fates.digests:
                    fresh.append(self._fresh(row, shard, expected.fates.digests[place], part, line))
            if len(fresh) >= dynamo.BATCH_WRITES:
                self.cache.store(fresh)
                fresh.clear()
        self.cache.store(fresh)

    def _fresh(self, row: Row, shard: Shard, digest: str, part: Part, line: Located) -> Row:
        """Shape the row of the cache for the answer in a line, on which it may not outlive."""
        now = int(self.clock().timestamp())
        gone = datetime.fromisoformat(row["created_at"]) + timedelta(days=self.kept_days)
        answered = cache.output(line.data)
        return answer_row(
            shard.pipeline,
            digest,
            row["job_id"],
            at=now,
            expires_at=min(now + (shard.cache or 0), int(gone.timestamp())),
            held={"output": answered.decode()}
            if len(answered) <= INLINE_BYTES
            else {"output_ref": _place(part.key, line)},
        )


def error(failure: Failure) -> Row:
    """Shape a failure as rows hold it."""
    return {"code": failure.code, "message": failure.message}


def _stored(verdict: Verdict, key: str, line: Located, *, reused: bool) -> Row:
    """Say how a row holds its answer: in itself, or by where it lies in the job's output."""
    if verdict.failure:
        return {"error": error(verdict.failure)}
    output = verdict.output
    size = len(output.encode()) if isinstance(output, str) else len(orjson.dumps(output, default=str))
    whose = {"cached": True} if reused else {}
    if size <= INLINE_BYTES and storable(output):
        return {"output": output, **whose}
    return {"output_ref": _place(key, line), **whose}


def _place(key: str, line: Located) -> Row:
    return {"key": key, "offset": line.offset, "length": len(line.data)}
