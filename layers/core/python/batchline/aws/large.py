"""Large documents: one shard after the other, by as many runs of the function as it takes.

The row says how far a document has come, and each shard is registered in the transaction that moves it on.
So a run may end at any moment, and two of them at once do no harm: the one that comes second stops.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from batchline import ids
from batchline.aws import clients, dynamo
from batchline.aws.control import Control
from batchline.aws.documents import Documents
from batchline.aws.documents.arriving import Arrival
from batchline.aws.documents.progress import settled
from batchline.aws.dynamo import Row
from batchline.aws.parts import Chosen, Parts
from batchline.aws.queues import Queue
from batchline.chunk import OutOfTime, Part, Progress
from batchline.errors import Code, Refused
from batchline.models import DocumentStatus, Failure
from batchline.money import budgets, overhead

# A fault that makes a document go round without end must end by itself.
MAX_HOPS: Final = 500
# Longer than a message may live in the queue and then among the dead letters.
BEGUN_KEPT_SECONDS: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class LargeDocuments:
    """Begins large documents, registers their shards and seals them."""

    documents: Documents
    control: Control
    parts: Parts
    uploads_queue: Queue
    documents_queue: Queue

    def begin(self, arrival: Arrival, version: str) -> Row | None:
        """Write the row of a large document, and which document the upload has become.

        Returns the row, also when an earlier run of the same upload wrote it. None: the upload has become
        another document, whose pipeline was of another version then, or this one has got further.
        """
        row = self.documents.arriving.large(arrival, version)
        begun = self.control.uploads.begin(
            arrival.upload.name,
            arrival.document_id,
            expires_at=int(datetime.fromisoformat(arrival.received_at).timestamp()) + BEGUN_KEPT_SECONDS,
        )
        try:
            dynamo.transact(self.documents.client, [self.documents.arriving.begin(row), begun])
        except dynamo.Cancelled:
            found = self.documents.get(arrival.document_id)
            # Whoever asks has read the upload from its start, so it cannot go on from further on.
            unread = found and found["status"] == DocumentStatus.CHUNKING and int(found["cursor"]) == 0
            return found if unread else None
        return row

    def write(self, row: Row, chosen: Chosen, parts: Iterator[Part], *, hop: int) -> None:
        """Register parts one by one, then seal the document, or have another run go on with it."""
        document_id, cursor, failure = row["document_id"], int(row["cursor"]), None
        try:
            for part in parts:
                if not self._register(document_id, cursor, part, chosen):
                    return
                cursor += 1
        except OutOfTime:
            self.go_on_later(row, cursor=cursor, hop=hop)
            return
        except Refused as refusal:
            # What came before it is settled all the same.
            failure = Failure(refusal.code, refusal.message)
        self.seal(document_id, cursor, failure)

    def go_on_later(self, row: Row, *, cursor: int, hop: int) -> None:
        """Send a message to go on with a document, unless it has gone round too often."""
        document_id = row["document_id"]
        if hop < MAX_HOPS:
            self.uploads_queue.ring({"document_id": document_id, "hop": hop + 1})
            return
        message = f"It was not done after {MAX_HOPS} runs. Split the file into smaller ones."
        self.seal(document_id, cursor, Failure(Code.FILE_TOO_COMPLEX, message))

    def seal(self, document_id: str, cursor: int, failure: Failure | None) -> None:
        """Seal a document. Its records may all be settled already: then nobody else rings."""
        sealed = self.documents.arriving.seal(document_id, cursor=cursor, failure=failure)
        if settled(sealed.row):
            self.documents_queue.ring({"document_id": document_id})

    def _register(self, document_id: str, cursor: int, part: Part, chosen: Chosen) -> bool:
        """Register one shard. False: another run has got further, or the document has ended."""
        meter = clients.meter()
        # Its end is booked on its first shard, what each further record adds to that on the record's own.
        to_come = overhead.ending(0 if cursor else 1, len(part.records))
        # With a budget for one document nothing is asked before all of it is known.
        guarded = budgets.per_document(chosen.pipeline) is not None
        shard = self.parts.write(
            ids.shard_id(), [part], chosen, guarded=guarded, overhead_usd=meter.lap() + meter.usd(to_come)
        )
        owner = self.documents.arriving.register(
            document_id,
            cursor=cursor,
            records=len(part.records),
            units=part.units,
            estimate=self.parts.estimate(chosen, part),
        )
        try:
            self.parts.register(shard, [owner], chosen.pipeline)
        except dynamo.Cancelled:
            # It may have been ourselves: then only the reply was lost.
            row = self.documents.get(document_id)
            return (
                row is not None
                and row["status"] == DocumentStatus.CHUNKING
                and int(row["cursor"]) == cursor + 1
                and progress(row) == part.progress
            )
        meter.lap()  # what this took was foreseen
        return True


def progress(row: Row) -> Progress:
    """Say how far a document has come."""
    return Progress(int(row.get("units", 0)), int(row["records"]))
