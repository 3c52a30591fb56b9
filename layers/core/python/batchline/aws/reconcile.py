"""Reconcile: trusts no event to arrive. It rings again, frees what leaked, and does no work itself.

Each run does a bounded part in bounded memory; bookmarks in the control table say where the next goes on.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched, islice
from typing import Final, Self

from batchline import catalog, ids, reconcile, settings
from batchline.aws import clients
from batchline.aws.bedrock import Bedrock, Listed, Unanswered
from batchline.aws.control import Control
from batchline.aws.control.lanes import Lane
from batchline.aws.costs import Costs
from batchline.aws.documents import Documents
from batchline.aws.dynamo import BATCH_READS, Row
from batchline.aws.jobs import Jobs
from batchline.aws.objects import Work
from batchline.aws.queues import Queue
from batchline.aws.stuck import UNFINISHED, Watch
from batchline.errors import Code
from batchline.models import DocumentStatus, Engine, JobStatus, timestamp
from batchline.money import ledger
from batchline.reconcile import Bell

BOOKMARK: Final = "jobs"
JOBS_PER_RUN: Final = 2_000
HELD_PER_RUN: Final = 1_000
# Longer than the chunk function may run, so nobody works on such a document any more.
CHUNKING_LIMIT: Final = timedelta(minutes=20)
# Jobs that Bedrock took longer ago have been seen by a run before.
LATELY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one run has found.

    `jobs` and `documents` were rung for, `freed` slots given back; `stopped` jobs were past their
    deadline; `orphans` ran at Bedrock although no row wants them, and were stopped. `waiting` jobs are
    too long without Bedrock, `paused` lanes open no job, `stuck` documents cannot end: each has an alarm.
    """

    jobs: int = 0
    documents: int = 0
    freed: int = 0
    stopped: int = 0
    orphans: int = 0
    waiting: int = 0
    paused: int = 0
    stuck: int = 0


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Finds what has stopped moving."""

    documents: Documents
    jobs: Jobs
    control: Control
    bedrock: Bedrock
    costs: Costs
    watch: Watch
    uploads_queue: Queue
    wake_queue: Queue
    queues: dict[Bell, Queue]
    job_prefix: str
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Reconcile, clock: Callable[[], datetime]) -> Self:
        sqs = clients.sqs()
        documents = Documents(clients.dynamodb(), env.documents_table)
        jobs = Jobs(clients.dynamodb(), env.jobs_table)
        control = Control(clients.dynamodb(), env.control_table)
        return cls(
            documents=documents,
            jobs=jobs,
            control=control,
            bedrock=Bedrock(clients.bedrock()),
            costs=Costs(clients.dynamodb(), env.costs_table),
            watch=Watch(
                documents=documents,
                jobs=jobs,
                control=control,
                work=Work(clients.s3(), env.work_bucket),
                documents_queue=Queue(sqs, env.documents_queue),
                clock=clock,
            ),
            uploads_queue=Queue(sqs, env.uploads_queue),
            wake_queue=Queue(sqs, env.wake_queue),
            queues={
                Bell.SUBMIT: Queue(sqs, env.jobs_queue),
                Bell.INVOKE: Queue(sqs, env.on_demand_queue),
                Bell.COLLECT: Queue(sqs, env.job_events_queue),
            },
            job_prefix=env.job_prefix,
            clock=clock,
        )

    def run(self) -> Reconciled:
        """Look at everything once, as far as one run goes."""
        now = self.clock()
        if self.control.pack_lease.unfinished(now.timestamp()):
            self.wake_queue.ring({"hop": 0})  # the next packer finishes it first
        stopped, rung, waiting = self._ring_jobs()
        orphans = self._adopt()
        lanes = self.control.lanes.all()
        freed = self._free_slots(lanes)
        documents = self._ring_documents()
        watched = self.watch.run()
        self.control.marks.forget_old(now)
        self.costs.roll_up(ledger.last_settled_month(now), timestamp(now))
        return Reconciled(
            jobs=rung,
            documents=documents + watched.rung,
            freed=freed,
            stopped=stopped,
            orphans=orphans,
            waiting=waiting,
            paused=sum(lane.paused for lane in lanes),
            stuck=watched.stuck,
        )

    def _ring_jobs(self) -> tuple[int, int, int]:
        """Ring for jobs; return how many are stopped now, were rung for, and wait for too long."""
        now = self.clock()
        stopped = rung = waiting = 0
        for rows in batched(self._unfinished(), BATCH_READS, strict=False):
            found: dict[Bell, list[str]] = {one: [] for one in Bell}
            for row in rows:
                waiting += reconcile.waits_too_long(row, now=now)
                if (why := reconcile.overdue(row, now=now)) and self.jobs.stop(row["job_id"], why):
                    row["stop"] = why
                    stopped += 1
                age = (now - datetime.fromisoformat(row["created_at"])).total_seconds()
                if bell := reconcile.bell(row, now=now.timestamp(), age_seconds=age):
                    found[bell].append(row["job_id"])
            for bell, job_ids in found.items():
                self.queues[bell].ring_all({"job_id": one} for one in job_ids)
                rung += len(job_ids)
        return stopped, rung, waiting

    def _unfinished(self) -> Iterator[Row]:
        """Yield the jobs that are not closed, from the bookmark on and as many as a run may look at."""
        mark = self.control.bookmarks.get(BOOKMARK)
        begin = UNFINISHED.index(mark["status"]) if mark else 0
        left = JOBS_PER_RUN
        for status in UNFINISHED[begin:]:
            since = mark["since"] if mark and status == mark["status"] else " "
            for batch in batched(islice(self.jobs.created(status, since), left), BATCH_READS, strict=False):
                left -= len(batch)
                since = batch[-1][0]
                yield from self.jobs.get_many(job_id for _, job_id in batch)
            if left == 0:
                self.control.bookmarks.set(BOOKMARK, {"status": status, "since": since})
                return
        if mark:
            self.control.bookmarks.set(BOOKMARK, {})

    def _adopt(self) -> int:
        """Ring for jobs of ours that Bedrock runs and whose rows know no ARN; stop those nobody wants."""
        after = self.clock() - LATELY
        orphans = 0
        mine = ((ids.job_of(one.name, prefix=self.job_prefix), one) for one in self._listed(after))
        for batch in batched(((name, one) for name, one in mine if name), BATCH_READS, strict=False):
            rows = {row["job_id"]: row for row in self.jobs.get_many({name for name, _ in batch})}
            known = [(rows[name], one) for name, one in batch if name in rows]
            adoptable = {row["job_id"] for row, _ in known if _adoptable(row)}
            self.queues[Bell.SUBMIT].ring_all({"job_id": one} for one in adoptable)
            unwanted = (one for row, one in known if not _adoptable(row) and row.get("arn") != one.arn)
            orphans += sum(map(self._stop, unwanted))
        return orphans

    def _listed(self, after: datetime) -> Iterable[Listed]:
        return self.bedrock.listed(self.job_prefix, after=after)

    def _stop(self, orphan: Listed) -> bool:
        try:
            return self.bedrock.stop(orphan.arn)
        except Unanswered:
            return False  # the next run tries again

    def _ring_documents(self) -> int:
        """Ring for documents whose pipeline is there by now, and for those whose chunking broke off."""
        begun_before = timestamp(self.clock() - CHUNKING_LIMIT)
        rung = 0
        for name in self.control.versions.pipelines():
            waiting = list(islice(self.documents.with_problem(name, Code.PIPELINE_UNKNOWN), HELD_PER_RUN))
            chunking = self.documents.with_problem(name, DocumentStatus.CHUNKING)
            waiting += (
                row["document_id"]
                for row in self.documents.get_many(islice(chunking, HELD_PER_RUN))
                if row["received_at"] < begun_before
            )
            self.uploads_queue.ring_all({"document_id": one} for one in waiting)
            rung += len(waiting)
        return rung

    def _free_slots(self, lanes: Iterable[Lane]) -> int:
        """Free the slots of jobs that are closed, or not Bedrock's any more."""
        freed = 0
        for base in {catalog.base_id(lane.name.partition("#")[0]) for lane in lanes}:
            holders = self.control.slots.get(base).holders
            needed = {row["job_id"] for row in self.jobs.get_many(holders) if _needs_slot(row)}
            for job_id in holders - needed:
                self.control.slots.free(base, job_id)
                freed += 1
        return freed


def _adoptable(row: Row) -> bool:
    return "arn" not in row and row["engine"] == Engine.BATCH and row["status"] in reconcile.AHEAD_OF_BEDROCK


def _needs_slot(row: Row) -> bool:
    return JobStatus(row["status"]) is not JobStatus.CLOSED and Engine(row["engine"]) is Engine.BATCH
