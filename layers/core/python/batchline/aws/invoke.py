"""Invoke: small jobs answered on demand, one call a record.

A call cannot be undone and Bedrock takes no idempotency token for it, so answers are written down every
few calls: a function that dies repeats at most the answers since then and the calls under way.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final, Self, override

import orjson

from batchline import cache, catalog, dialects, invoke, settings, submit
from batchline.aws import clients, objects
from batchline.aws.cache import Cache
from batchline.aws.control import Control
from batchline.aws.dynamo import Row
from batchline.aws.jobs import RENEW_SECONDS, Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.queues import Queue
from batchline.aws.reuse import Reuse
from batchline.aws.runtime import CallError, Runtime
from batchline.cache import Decision, Fate
from batchline.errors import LostRace
from batchline.ids import RecordId
from batchline.invoke import Request, Schedule, Tally
from batchline.models import Engine, JobStatus, Shard, Tier, Usage, timestamp
from batchline.pacing import Governor, Ticket

CONCURRENCY: Final = 16
CHECKPOINT_RECORDS: Final = 20
CHECKPOINT_SECONDS: Final = 15.0
SHORTEST_PAUSE: Final = 0.01  # a clock has steps
# No call starts unless it can end, and its answer be written, before the function does.
CALL_TIME: Final = timedelta(seconds=330)
# The output is put together in so much time, or by the next run.
FINISH_TIME: Final = timedelta(seconds=120)
# A job that was not done after so many runs ends with what it has; what is missing is asked again as
# the attempts of its pipeline allow.
MAX_HOPS: Final = 500


@dataclass(frozen=True, slots=True)
class Invoker:
    """Answers on-demand jobs."""

    jobs: Jobs
    control: Control
    work: Work
    reuse: Reuse
    runtime: Runtime
    on_demand_queue: Queue
    job_events_queue: Queue
    clock: Callable[[], datetime]
    pause: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    # Kept as long as the process, so that the next job of a model knows what the one before has used.
    governors: dict[str, Governor] = field(default_factory=dict)

    @classmethod
    def connect(cls, env: settings.Invoke, clock: Callable[[], datetime]) -> Self:
        jobs, work = Jobs(clients.dynamodb(), env.jobs_table), Work(clients.s3(), env.work_bucket)
        return cls(
            jobs=jobs,
            control=Control(clients.dynamodb(), env.control_table),
            work=work,
            reuse=Reuse(Cache(clients.dynamodb(), env.control_table), jobs, work, clock),
            runtime=Runtime(clients.bedrock_runtime()),
            on_demand_queue=Queue(clients.sqs(), env.on_demand_queue),
            job_events_queue=Queue(clients.sqs(), env.job_events_queue),
            clock=clock,
        )

    def run(self, job_id: str, owner: str, *, until: datetime, hop: int = 0) -> int:
        """Answer a job's records until the time is up; return how many were answered now."""
        lease = JobLease(self.jobs, job_id, owner, self.clock)
        row = lease.take()
        if row is None:
            return 0
        try:
            if row["status"] == JobStatus.OPEN and row["engine"] == Engine.ON_DEMAND:
                at = timestamp(self.clock())
                row = self.jobs.move(row, JobStatus.RUNNING, owner=owner, at=at)
            if row["status"] != JobStatus.RUNNING or row["engine"] != Engine.ON_DEMAND:
                return 0
            answered, complete = self._answer(row, lease, until, hop)
        except LostRace:
            return 0
        finally:
            lease.give_back()
        # Rung only now: whoever hears it needs the lease.
        if complete:
            self.job_events_queue.ring({"job_id": job_id})
        else:
            self.on_demand_queue.ring({"job_id": job_id, "hop": hop + 1})
        return answered

    def _answer(self, row: Row, lease: JobLease, until: datetime, hop: int) -> tuple[int, bool]:
        """Answer what is open; return how many records that were, and whether the job is done with."""
        job_id = row["job_id"]
        if row.get("answered"):
            return 0, True
        shards = self.work.get_plan(job_id)
        if "reuse" not in row and any(one.cache for one in shards):
            row = self.reuse.choose(row, submit.select(shards, self.control.marks.cancels()), lease)
        decisions = self.reuse.decisions(row)
        with ThreadPoolExecutor(CONCURRENCY) as pool, Checkpoints.open(self.work, lease, pool) as kept:
            requests = self._requests(shards, kept.done, decisions)
            schedule = Schedule(requests, self._governor(row["model"]), self.chance)
            calls = Calls(self, pool, row, schedule)
            while calls.go_on(until, stop="stop" in row or hop > MAX_HOPS):
                for line in calls.ended(kept.due_in(self.clock())):
                    kept.add(line, self.clock())
                lease.keep()
                if kept.due_in(self.clock()) <= 0:
                    kept.save()
                    row = self.jobs.get(job_id) or row  # somebody may want it to stop
        complete = schedule.empty or "stop" in row or hop >= MAX_HOPS
        if not complete or self.clock() + FINISH_TIME > until:
            return kept.answered, False
        self._finish(job_id, lease)
        return kept.answered, True

    def _governor(self, model: str) -> Governor:
        """Keep one pace for all that shares a quota: calls through profiles have one of their own."""
        if model not in self.governors:
            limits = catalog.limits(model)
            self.governors[model] = Governor(
                CONCURRENCY, limits.requests_per_minute, limits.tokens_per_minute
            )
        return self.governors[model]

    def _requests(
        self, shards: Iterable[Shard], done: set[str], decisions: Sequence[Decision]
    ) -> Iterator[Request]:
        """Yield the job's records that are to be sent and are neither answered nor cancelled.

        One whose answer counts for others as well is sent although it was cancelled meanwhile.
        """
        cancels = self.control.marks.cancels()
        spared = {one.record for one in decisions if one.fate is not Fate.SENT}
        leaders = cache.leaders(decisions)
        for shard in shards:
            read = shard.input_tokens // max(1, shard.records)
            for line in self.work.lines(shard.key):
                found = orjson.loads(line)
                record_id, body = found["recordId"], found["modelInput"]
                if record_id in done or record_id in spared:
                    continue
                record = RecordId.parse(record_id)
                if record is None or record_id in leaders or not cancels.covers(shard, record.document_id):
                    written = body.get("inferenceConfig", {}).get("maxTokens", 0)
                    yield Request(record_id, body, read + written)

    def _finish(self, job_id: str, lease: JobLease) -> None:
        """Put the checkpoints together as the job's output and hand it to collect."""
        keys = [one.key for one in self.work.find(objects.checkpoint_prefix(job_id))]
        lines = chain.from_iterable(self.work.lines(key) for key in keys)
        prefix = f"{objects.output_prefix(job_id)}{job_id}/"
        tally = Tally()
        self.work.write_stream(f"{prefix}0000.jsonl.out", lease.keeping(tally.counting(lines)))
        self.work.put(f"{prefix}manifest.json.out", tally.manifest.dump())
        self.jobs.note(job_id, owner=lease.owner, answered=True, unconfirmed=tally.unconfirmed)


@dataclass(slots=True)
class Checkpoints(AbstractContextManager["Checkpoints"]):
    """The answers of a job, written down every 20 of them or 15 seconds, and at the end."""

    work: Work
    lease: JobLease
    number: int
    done: set[str]
    answered: int = 0
    _lines: list[bytes] = field(default_factory=list)
    _since: datetime | None = None

    @classmethod
    def open(cls, work: Work, lease: JobLease, pool: ThreadPoolExecutor) -> Self:
        """Read which records earlier runs have answered."""
        keys = [one.key for one in work.find(objects.checkpoint_prefix(lease.job_id))]
        found = pool.map(lambda key: invoke.record_ids(work.lines(key)), keys)
        return cls(work, lease, len(keys), set(chain.from_iterable(found)))

    def add(self, line: bytes, now: datetime) -> None:
        self._lines.append(line)
        self._since = self._since or now
        self.answered += 1

    def due_in(self, now: datetime) -> float:
        """Say in how many seconds there is something to write down; 0: now."""
        if self._since is None:
            return CHECKPOINT_SECONDS
        if len(self._lines) >= CHECKPOINT_RECORDS:
            return 0.0
        return max(0.0, CHECKPOINT_SECONDS - (now - self._since).total_seconds())

    def save(self) -> None:
        """Write down what has been answered since the last time."""
        if self._lines:
            prefix = objects.checkpoint_prefix(self.lease.job_id)
            self.work.put(f"{prefix}{self.number:05d}-{self.lease.owner}.jsonl", b"".join(self._lines))
            self.number += 1
        self._lines, self._since = [], None

    @override
    def __exit__(self, *_error: object) -> None:
        # Also after an error: what was answered was paid for.
        self.save()


@dataclass(slots=True)
class Calls:
    """The calls of a job that are under way."""

    invoker: Invoker
    pool: ThreadPoolExecutor
    job: Row
    schedule: Schedule
    _under_way: dict[Future[dict[str, Any]], tuple[Request, Ticket]] = field(default_factory=dict)

    def go_on(self, until: datetime, *, stop: bool) -> bool:
        """Start the calls that may start. Tell whether there is anything to wait for."""
        now = self.invoker.clock()
        if stop or now + CALL_TIME > until:
            return bool(self._under_way)
        while taken := self.schedule.take(now.timestamp(), len(self._under_way)):
            request, _ = taken
            call = self.pool.submit(self._ask, request)
            self._under_way[call] = taken
        return bool(self._under_way) or not self.schedule.empty

    def _ask(self, request: Request) -> dict[str, Any]:
        kind = self.job["lane"].rpartition("#")[2]
        tier = Tier(self.job["tier"])
        return self.invoker.runtime.ask(self.job["model"], kind, request.body, tier)

    def ended(self, within: float) -> Iterator[bytes]:
        """Wait until a call ends or one may start, at most so many seconds; yield the lines of what ended."""
        delay = self.schedule.delay(self.invoker.clock().timestamp())
        if not self._under_way:
            self.invoker.pause(max(SHORTEST_PAUSE, min(delay, within, RENEW_SECONDS)))
            return
        patience = min(within, RENEW_SECONDS, delay or RENEW_SECONDS)
        finished, _ = wait(set(self._under_way), timeout=patience, return_when=FIRST_COMPLETED)
        for call in finished:
            request, ticket = self._under_way.pop(call)
            if line := self._line(call, request, ticket):
                yield line

    def _line(self, call: Future[dict[str, Any]], request: Request, ticket: Ticket) -> bytes | None:
        """Write what a call has brought as a line of output. None: the record will be asked again."""
        try:
            output = call.result()
        except CallError as error:
            now = self.invoker.clock().timestamp()
            if error.worth_repeating and self.schedule.refused(request, ticket, now, error.code):
                return None
            return invoke.failed(request.record_id, request.body, error.code, error.message)
        self.schedule.governor.settle(ticket, self._charged(dialects.usage(output)))
        return invoke.answered(request.record_id, request.body, output)

    def _charged(self, usage: Usage) -> int:
        """Count the tokens as the quota does.

        https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html
        """
        written = usage.output_tokens * catalog.model(self.job["model"]).burndown
        return usage.input_tokens + usage.cache_write_tokens + written
