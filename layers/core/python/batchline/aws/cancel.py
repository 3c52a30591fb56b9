"""Cancel: what nobody wants any more is left out, stopped, and settled by the stages themselves.

Only rows are written here, and doorbells rung. Pack settles what is pending, submit and invoke stop what
runs, collect keeps what was paid for, and aggregate ends the documents.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from batchline import audit
from batchline.aws.control import Control
from batchline.aws.documents import Documents
from batchline.aws.documents.waiting import is_held
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.objects import Work
from batchline.aws.queues import Queue
from batchline.errors import Code
from batchline.models import DocumentStatus, Engine, Failure, JobStatus, Stop, timestamp

STOPPABLE: Final = (
    JobStatus.OPEN,
    JobStatus.BUILDING,
    JobStatus.READY,
    JobStatus.WAITING,
    JobStatus.RUNNING,
)
BEFORE_ITS_RECORDS: Final = Failure(Code.CANCELLED, "Cancelled before anything was asked.")


@dataclass(frozen=True, slots=True)
class Canceller:
    """Cancels documents, pipelines and jobs."""

    documents: Documents
    jobs: Jobs
    control: Control
    work: Work
    wake_queue: Queue
    jobs_queue: Queue
    on_demand_queue: Queue
    documents_queue: Queue
    clock: Callable[[], datetime]

    def cancel_documents(self, rows: Iterable[Row]) -> list[str]:
        """Cancel documents that have not ended, and return their ids. Doing it again changes nothing."""
        asked: set[str] = set()
        ended: list[str] = []
        for row in rows:
            if DocumentStatus(row["status"]).terminal or is_held(row, Code.REVIEW_NEEDED):
                continue
            if self._end(row):
                ended.append(row["document_id"])
                continue
            self.control.marks.cancel_document(row["document_id"], self.clock())
            asked.add(row["document_id"])
        if asked:
            self._stop(lambda job: self._is_of(job, asked))
        return [*ended, *sorted(asked)]

    def cancel_pipeline(self, name: str) -> int:
        """Cancel all that a pipeline has on its way until now; return how many jobs were stopped."""
        self.control.marks.cancel_pipeline(name, self.clock())
        for document_id in list(self.documents.with_problem(name, Code.PIPELINE_UNKNOWN)):
            if row := self.documents.get(document_id):
                self._end(row)
        return self._stop(lambda job: set(job["pipelines"]) == {name})

    def cancel_job(self, row: Row) -> bool:
        """Stop a job; its records that are not answered end as cancelled. False: it has ended."""
        if not self.jobs.stop(row["job_id"], Stop.CANCELLED):
            return False
        self._ring(row)
        return True

    def _end(self, row: Row) -> bool:
        """End a document that has no record yet."""
        if row["status"] != DocumentStatus.HELD or row["records"]:
            return False
        at = timestamp(self.clock())
        document_id = row["document_id"]
        ended = self.documents.ending.cancel(
            document_id, row["pipeline"], finished_at=at, failure=BEFORE_ITS_RECORDS
        )
        if ended.done:
            self.documents_queue.ring({"document_id": document_id})
        return ended.done

    def _stop(self, meant: Callable[[Row], bool]) -> int:
        """Stop the jobs in which nothing else is, and have pack look at what is pending."""
        stopped = [row for row in self._unfinished() if meant(row) and self.cancel_job(row)]
        self.wake_queue.ring({"hop": 0})
        return len(stopped)

    def _unfinished(self) -> Iterator[Row]:
        for status in STOPPABLE:
            yield from self.jobs.get_many(self.jobs.with_status(status))

    def _is_of(self, job: Row, document_ids: set[str]) -> bool:
        return audit.touched(self.work.plan(job["job_id"])).issubset(document_ids)

    def _ring(self, row: Row) -> None:
        queue = self.jobs_queue if row["engine"] == Engine.BATCH else self.on_demand_queue
        queue.ring({"job_id": row["job_id"]})
