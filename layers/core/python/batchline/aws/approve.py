"""Approve: somebody lets documents be spent on whatever their pipeline's budgets say.

Only rows are written here, and doorbells rung. Pack opens what was held, collect lets its retries be asked,
aggregate takes the next step of what waited for one. The stack's budget of the month is not approved away.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from batchline.aws.control import Control
from batchline.aws.documents import Documents
from batchline.aws.documents.progress import settled
from batchline.aws.documents.waiting import is_held
from batchline.aws.dynamo import Row
from batchline.aws.queues import Queue
from batchline.errors import Code
from batchline.models import DocumentStatus


@dataclass(frozen=True, slots=True)
class Approver:
    """Approves documents, and all that pipelines hold for their budgets."""

    documents: Documents
    control: Control
    wake_queue: Queue
    documents_queue: Queue
    clock: Callable[[], datetime]

    def approve_documents(self, rows: Iterable[Row]) -> list[Row]:
        """Approve documents that have not ended, and return them. Doing it again changes nothing."""
        going = [row for row in rows if not DocumentStatus(row["status"]).terminal]
        for row in going:
            self.control.marks.approve_document(row["document_id"], self.clock())
        self._ring(going)
        return going

    def approve_pipeline(self, name: str) -> list[Row]:
        """Approve all documents of a pipeline that came until now; return those that its budgets hold."""
        self.control.marks.approve_pipeline(name, self.clock())
        held = list(self.held(name))
        self._ring(held)
        return held

    def held(self, pipeline: str) -> Iterator[Row]:
        """Yield the documents of a pipeline that are held for a budget, in no order."""
        ids = self.documents.with_problem(pipeline, Code.BUDGET_EXCEEDED)
        for row in self.documents.get_many(ids):
            if is_held(row, Code.BUDGET_EXCEEDED):
                yield row

    def _ring(self, rows: Iterable[Row]) -> None:
        """Have aggregate look at what waits for its next step, and pack at all else."""
        waiting = [row for row in rows if is_held(row, Code.BUDGET_EXCEEDED) and settled(row)]
        self.documents_queue.ring_all({"document_id": row["document_id"]} for row in waiting)
        self.wake_queue.ring({"hop": 0})


def amount(row: Row) -> Decimal:
    """Say what may still be spent on a document's records on their way or, without any, on its next step."""
    if settled(row):
        return Decimal(row.get("needs_usd", 0))
    return Decimal(row.get("committed_usd", 0)) - Decimal(row["cost_usd"])
