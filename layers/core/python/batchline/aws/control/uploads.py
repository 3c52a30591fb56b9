"""Uploads that have become large documents."""

from batchline.aws import dynamo
from batchline.aws.control.keys import alone
from batchline.aws.dynamo import Row


class Uploads(dynamo.Table):
    """Rows of the control table, by upload."""

    def document(self, upload: str) -> str | None:
        """Name the large document that an upload has become. None: it has not become one."""
        row = dynamo.get(self.client, self.table, _key(upload))
        return row["document_id"] if row else None

    def begin(self, upload: str, document_id: str, *, expires_at: int) -> Row:
        """Note which document an upload has become; joins the transaction that writes it."""
        row = {**_key(upload), "document_id": document_id, "expires_at": expires_at}
        return dynamo.put(
            self.table,
            row,
            when="attribute_not_exists(#pk) OR #document_id = :document",
            values={"document": document_id},
        )


def _key(upload: str) -> dict[str, str]:
    return alone(f"begun#{upload}")
