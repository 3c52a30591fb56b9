"""Review: a person's decision ends a document that was held for it, and stays beside the model's answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batchline import aggregate, review
from batchline.aws.documents import Documents
from batchline.aws.dynamo import Row
from batchline.aws.objects import Work
from batchline.aws.output import INLINE_BYTES
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.errors import BatchlineError
from batchline.models import timestamp
from batchline.review import Decision
from batchline.structured import storable


class NotInReview(BatchlineError):
    """The document waits for nobody's look; the message says what it is."""


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Settles reviews. `by` names the person in the row."""

    documents: Documents
    work: Work
    pipelines: Pipelines
    documents_queue: Queue
    by: str
    clock: Callable[[], datetime]

    def settle(self, row: Row, decision: Decision, *, note: str = "", correction: str | None = None) -> Row:
        """End a document as decided and return its row; `correction` is JSON text.

        Raises NotInReview, or review.CorrectionInvalid.
        """
        outcome = review.outcome(decision, row, note)
        at = timestamp(self.clock())
        said: Row = {"decision": decision, "by": self.by, "at": at, "note": note or None}
        result: Row = {}
        if correction is not None:
            pipeline = self.pipelines.get(row["pipeline"], row["pipeline_version"])
            value = review.corrected(correction, pipeline, row["succeeded"])
            result = self._keep(row, correction, value)
            said["model_result_key"] = row["result_key"]
        written = self.documents.ending.review(
            row["document_id"],
            outcome.status,
            pipeline=row["pipeline"],
            finished_at=at,
            review={name: one for name, one in said.items() if one is not None},
            result=result,
            failure=outcome.failure,
        )
        if not written.done or written.row is None:
            status = written.row["status"] if written.row else "gone"
            raise NotInReview(f"Document {row['document_id']} does not wait for a review: it is {status}.")
        self.documents_queue.ring({"document_id": row["document_id"]})  # aggregate tells of its end
        return written.row

    def _keep(self, row: Row, text: str, value: Any) -> Row:
        """Write a correction beside the model's result; return the attributes that lead to it."""
        key = row["result_key"].removesuffix(".json") + ".corrected.json"
        self.work.put(key, text.encode())
        fits = len(aggregate.dumps(value).encode()) <= INLINE_BYTES and storable(value)
        return {"result_key": key, "result": value if fits else None}
