"""A document waits: for a budget, for more records, for its lane; or for nothing that will ever come."""

from decimal import Decimal

from batchline.aws import dynamo
from batchline.aws.documents.attention import said
from batchline.aws.dynamo import Row, Written
from batchline.errors import Code
from batchline.models import DocumentStatus, Failure


def is_held(row: Row, code: Code) -> bool:
    """Tell whether a document is held for this reason."""
    return bool(row["status"] == DocumentStatus.HELD and row["error"]["code"] == code)


class Waiting(dynamo.Table):
    """Rows of the documents table, as pack, aggregate and reconcile hold them and let them go on."""

    def rest(
        self, document_id: str, pipeline: str, failure: Failure, *, needs_usd: Decimal | None = None
    ) -> Written:
        """Hold a document that waits for an answer, for a reason that passes by itself.

        `needs_usd` is what its next step may cost, where none of its records waits.
        """
        changes: Row = {"status": DocumentStatus.HELD, **said(pipeline, failure)}
        if needs_usd is not None:
            changes["needs_usd"] = needs_usd
        request = dynamo.change(
            self.table,
            {"document_id": document_id},
            changes,
            when="#status IN (:queued, :combining)",
            values={"queued": DocumentStatus.QUEUED, "combining": DocumentStatus.COMBINING},
        )
        return dynamo.write(self.client, request)

    def resume(self, document_id: str, code: str) -> Written:
        """Queue a document again that was held for this reason."""
        request = dynamo.change(
            self.table,
            {"document_id": document_id},
            {"status": DocumentStatus.QUEUED, "error": None, "problem": None},
            when="#status = :held AND #error.#code = :code",
            values={"held": DocumentStatus.HELD, "code": code},
        )
        return dynamo.write(self.client, request)

    def stuck(self, row: Row, failure: Failure) -> Written:
        """Say of a document that nothing moves it any more. Not done: something has happened to it."""
        # A held document would go on when its reason has passed, and this one cannot.
        moving = DocumentStatus.COMBINING if row["stage"] else DocumentStatus.QUEUED
        request = dynamo.change(
            self.table,
            {"document_id": row["document_id"]},
            {"status": moving, **said(row["pipeline"], failure)},
            when="#status = :status AND #stage = :stage AND #open = :open",
            values={name: row[name] for name in ("status", "stage", "open")},
        )
        return dynamo.write(self.client, request)

    def unstuck(self, document_id: str) -> Written:
        """Take back what `stuck` has said."""
        request = dynamo.change(
            self.table,
            {"document_id": document_id},
            {"error": None, "problem": None},
            when="#error.#code = :stuck",
            values={"stuck": Code.STUCK},
        )
        return dynamo.write(self.client, request)
