"""Invoke: small jobs answered on demand, one call a record.

A call cannot be undone and Converse takes no idempotency token, so answers are written down every few
calls: a function that dies repeats at most the calls of one checkpoint.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Final, Self

import orjson
import stamina

from batchline import invoke, settings
from batchline.aws import clients, objects
from batchline.aws.dynamo import Row
from batchline.aws.jobs import RENEW_SECONDS, Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.queues import Queue
from batchline.aws.runtime import CallError, Runtime
from batchline.errors import LostRace
from batchline.models import Engine, JobStatus, Tier, timestamp

CONCURRENCY: Final = 8
CHECKPOINT_RECORDS: Final = 24
# A call and its repetitions end within this time, or the next run makes them.
CALL_SECONDS: Final = timedelta(seconds=420)
ATTEMPTS: Final = 6


@dataclass(frozen=True, slots=True)
class Invoker:
    """Answers on-demand jobs."""

    jobs: Jobs
    work: Work
    runtime: Runtime
    on_demand_queue: Queue
    job_events_queue: Queue
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Invoke, clock: Callable[[], datetime]) -> Self:
        return cls(
            jobs=Jobs(clients.dynamodb(), env.jobs_table),
            work=Work(clients.s3(), env.work_bucket),
            runtime=Runtime(clients.bedrock_runtime()),
            on_demand_queue=Queue(clients.sqs(), env.on_demand_queue),
            job_events_queue=Queue(clients.sqs(), env.job_events_queue),
            clock=clock,
        )

    def run(self, job_id: str, owner: str, *, until: datetime) -> int:
        """Answer a job's records until the time is up; return how many were answered now."""
        lease = JobLease(self.jobs, job_id, owner, self.clock)
        row = lease.take()
        if row is None:
            return 0
        try:
            if row["status"] == JobStatus.OPEN and row["engine"] == Engine.ON_DEMAND:
                at = timestamp(self.clock())
                row = self.jobs.move(row, JobStatus.RUNNING, owner=owner, at=at)
            if row["status"] != JobStatus.RUNNING or "arn" in row:
                return 0
            answered, complete = self._answer(row, lease, until)
        except LostRace:
            return 0
        finally:
            lease.give_back()
        # Rung only now: whoever hears it needs the lease.
        (self.job_events_queue if complete else self.on_demand_queue).ring({"job_id": job_id})
        return answered

    def _answer(self, row: Row, lease: JobLease, until: datetime) -> tuple[int, bool]:
        """Answer what is open; return how many records that were, and whether it was all."""
        job_id = row["job_id"]
        checkpoints = [one.key for one in self.work.find(objects.checkpoint_prefix(job_id))]
        done = {rid for key in checkpoints for rid in invoke.record_ids(self.work.lines(key))}
        number, answered = len(checkpoints), 0
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            for batch in batched(self._open_records(job_id, done), CHECKPOINT_RECORDS, strict=False):
                if self.clock() + CALL_SECONDS > until:
                    return answered, False
                lines = self._ask(pool, row, batch, lease)
                key = f"{objects.checkpoint_prefix(job_id)}{number:05d}-{lease.owner}.jsonl"
                self.work.put(key, b"".join(lines))
                number += 1
                answered += len(lines)
        self._finish(job_id, lease)
        return answered, True

    def _ask(
        self, pool: ThreadPoolExecutor, row: Row, batch: Iterable[bytes], lease: JobLease
    ) -> list[bytes]:
        """Ask for some records at once, and keep the lease however long the answers take."""
        lease.keep()
        calls = [pool.submit(self._call, row, line) for line in batch]
        waiting = set(calls)
        while waiting:
            _, waiting = wait(waiting, timeout=RENEW_SECONDS, return_when=FIRST_COMPLETED)
            lease.keep()
        return [one.result() for one in calls]

    def _open_records(self, job_id: str, done: set[str]) -> Iterator[bytes]:
        for shard in self.work.get_plan(job_id):
            for line in self.work.lines(shard.key):
                if orjson.loads(line)["recordId"] not in done:
                    yield line

    def _call(self, row: Row, line: bytes) -> bytes:
        """Ask the model for one record; the answer or the error as a line of output."""
        record = orjson.loads(line)
        record_id, body = record["recordId"], record["modelInput"]
        try:
            for attempt in stamina.retry_context(on=_worth_repeating, attempts=ATTEMPTS, timeout=100):
                with attempt:
                    output = self.runtime.converse(row["model"], body, Tier(row["tier"]))
        except CallError as error:
            return invoke.failed(record_id, body, error.code, error.message)
        return invoke.answered(record_id, body, output)

    def _finish(self, job_id: str, lease: JobLease) -> None:
        """Put the checkpoints together as the job's output and hand it to collect."""
        checkpoints = [one.key for one in self.work.find(objects.checkpoint_prefix(job_id))]
        prefix = f"{objects.output_prefix(job_id)}{job_id}/"
        blocks = self.work.copy_blocks(checkpoints)
        self.work.write_stream(f"{prefix}0000.jsonl.out", lease.keeping(blocks))
        counts = invoke.manifest(self._lines(checkpoints))
        self.work.put(f"{prefix}manifest.json.out", counts.dump())
        self.jobs.note(job_id, owner=lease.owner, answered=True)

    def _lines(self, keys: Iterable[str]) -> Iterator[bytes]:
        for key in keys:
            yield from self.work.lines(key)


def _worth_repeating(error: Exception) -> bool:
    return isinstance(error, CallError) and error.worth_repeating
