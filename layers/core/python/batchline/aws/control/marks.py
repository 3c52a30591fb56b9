"""What people have cancelled or approved: a row `document#<id>` or `pipeline#<name>` each."""

from datetime import datetime, timedelta
from typing import Final

from batchline.aws import dynamo
from batchline.cancel import Cancels
from batchline.models import timestamp
from batchline.money.approvals import Approvals

CANCELS: Final = "cancels"
APPROVALS: Final = "approvals"
# By then every record that was on its way has been settled.
MARKS_KEPT: Final = timedelta(days=30)


class Marks(dynamo.Table):
    """Rows of the control table, by what has been done."""

    def cancel_document(self, document_id: str, now: datetime) -> None:
        """Have all records of a document left out that are not answered yet."""
        self._mark(CANCELS, f"document#{document_id}", now)

    def cancel_pipeline(self, pipeline: str, now: datetime) -> None:
        """Have all records of a pipeline left out that were registered until now."""
        self._mark(CANCELS, f"pipeline#{pipeline}", now)

    def cancels(self) -> Cancels:
        """Read what is cancelled."""
        return Cancels(*self._marked(CANCELS))

    def forget_cancel(self, document_id: str) -> None:
        """Let a document's records be asked that are registered from now on."""
        dynamo.delete_many(self.client, self.table, [{"pk": CANCELS, "sk": f"document#{document_id}"}])

    def approve_document(self, document_id: str, now: datetime) -> None:
        """Let a document be spent on whatever its pipeline's budgets say."""
        self._mark(APPROVALS, f"document#{document_id}", now)

    def approve_pipeline(self, pipeline: str, now: datetime) -> None:
        """Let all documents of a pipeline be spent on that came until now."""
        self._mark(APPROVALS, f"pipeline#{pipeline}", now)

    def approvals(self) -> Approvals:
        """Read what is approved."""
        return Approvals(*self._marked(APPROVALS))

    def forget_old(self, now: datetime) -> None:
        """Delete what was cancelled or approved so long ago that none of its records is on its way."""
        for what in (CANCELS, APPROVALS):
            rows = dynamo.query(self.client, self.table, "#pk = :pk", {"pk": what})
            old = [{"pk": row["pk"], "sk": row["sk"]} for row in rows if row["until"] <= timestamp(now)]
            dynamo.delete_many(self.client, self.table, old)

    def _mark(self, what: str, scope: str, now: datetime) -> None:
        row = {"pk": what, "sk": scope, "at": timestamp(now), "until": timestamp(now + MARKS_KEPT)}
        dynamo.write(self.client, dynamo.put(self.table, row))

    def _marked(self, what: str) -> tuple[frozenset[str], dict[str, str]]:
        """Read documents, and pipelines with the time until which they are meant."""
        rows = list(dynamo.query(self.client, self.table, "#pk = :pk", {"pk": what}))
        scopes = [(*row["sk"].split("#", 1), row["at"]) for row in rows]
        return (
            frozenset(name for kind, name, _ in scopes if kind == "document"),
            {name: at for kind, name, at in scopes if kind == "pipeline"},
        )
