"""Reconcile: trusts no event to arrive. It rings again, frees what leaked, and does no work itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from batchline import catalog, reconcile, settings
from batchline.aws import clients
from batchline.aws.control import Control
from batchline.aws.documents import Documents
from batchline.aws.jobs import Jobs
from batchline.aws.queues import Queue
from batchline.errors import Code
from batchline.models import DocumentStatus, JobStatus, timestamp
from batchline.reconcile import Bell

# Longer than the chunk function may run, so nobody works on such a document any more.
CHUNKING_LIMIT: Final = timedelta(minutes=20)
UNFINISHED: Final = tuple(one for one in JobStatus if one is not JobStatus.CLOSED)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one run has found: doorbells rung for jobs and for documents, slots freed."""

    jobs: int = 0
    documents: int = 0
    freed: int = 0


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Finds what has stopped moving."""

    documents: Documents
    jobs: Jobs
    control: Control
    uploads_queue: Queue
    queues: dict[Bell, Queue]
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Reconcile, clock: Callable[[], datetime]) -> Self:
        sqs = clients.sqs()
        return cls(
            documents=Documents(clients.dynamodb(), env.documents_table),
            jobs=Jobs(clients.dynamodb(), env.jobs_table),
            control=Control(clients.dynamodb(), env.control_table),
            uploads_queue=Queue(sqs, env.uploads_queue),
            queues={
                Bell.SUBMIT: Queue(sqs, env.jobs_queue),
                Bell.INVOKE: Queue(sqs, env.on_demand_queue),
                Bell.COLLECT: Queue(sqs, env.job_events_queue),
            },
            clock=clock,
        )

    def run(self) -> Reconciled:
        return Reconciled(self._ring_jobs(), self._ring_documents(), self._free_slots())

    def _ring_jobs(self) -> int:
        now = self.clock()
        rung = 0
        for status in UNFINISHED:
            for row in self.jobs.get_many(self.jobs.with_status(status)):
                age = (now - datetime.fromisoformat(row["created_at"])).total_seconds()
                if bell := reconcile.bell(row, now=now.timestamp(), age_seconds=age):
                    self.queues[bell].ring({"job_id": row["job_id"]})
                    rung += 1
        return rung

    def _ring_documents(self) -> int:
        """Ring for documents whose pipeline is there by now, and for those whose chunking broke off."""
        begun_before = timestamp(self.clock() - CHUNKING_LIMIT)
        waiting: list[str] = []
        for name in self.control.pipelines():
            waiting += self.documents.with_problem(name, Code.PIPELINE_UNKNOWN)
            chunking = self.documents.with_problem(name, DocumentStatus.CHUNKING)
            waiting += (
                row["document_id"]
                for row in self.documents.get_many(chunking)
                if row["received_at"] < begun_before
            )
        self.uploads_queue.ring_all({"document_id": one} for one in waiting)
        return len(waiting)

    def _free_slots(self) -> int:
        """Free the slots of jobs that are closed."""
        freed = 0
        models = {catalog.base_id(lane.name.partition("#")[0]) for lane in self.control.lanes()}
        for base in models:
            for job_id in self.control.slots(base).holders:
                row = self.jobs.get(job_id)
                if row is None or row["status"] == JobStatus.CLOSED:
                    self.control.free_slot(base, job_id)
                    freed += 1
        return freed
