"""A document arrives: it is refused, held or written, at once or shard by shard."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from batchline.aws import dynamo
from batchline.aws.documents.attention import problem, said, told
from batchline.aws.dynamo import Row, Written
from batchline.chunk import Upload
from batchline.errors import Code
from batchline.models import DocumentStatus, Failure

ABSENT: Final = "attribute_not_exists(#document_id)"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a document when it arrives."""

    document_id: str
    pipeline: str
    upload: Upload
    received_at: str

    def row(self, status: DocumentStatus, version: str) -> Row:
        return {
            "document_id": self.document_id,
            "pipeline": self.pipeline,
            "pipeline_version": version,
            "source": {
                "bucket": self.upload.bucket,
                "key": self.upload.key,
                "version_id": self.upload.version_id,
                "size": self.upload.size,
                "sequencer": self.upload.sequencer,
                **({"member": self.upload.member} if self.upload.member else {}),
            },
            "received_at": self.received_at,
            "day_key": f"{self.pipeline}#{self.received_at[:10]}",
            "day_order": f"{self.received_at}#{self.document_id}",
            "status": status,
            "sealed": False,
            "cursor": 0,
            "stage": 0,
            "records": 0,
            "succeeded": 0,
            "failed": 0,
            "open": 0,
            "input_tokens": 0,
            "output_tokens": 0,
            "cost_usd": Decimal(0),
            "saved_usd": Decimal(0),
            "overhead_usd": Decimal(0),
            "estimate_usd": Decimal(0),
            "at_most_usd": Decimal(0),
            # What it has cost, and what its records on their way may still cost at most.
            "committed_usd": Decimal(0),
        }


@dataclass(frozen=True, slots=True)
class Estimated:
    """What records will cost at their first attempt, in USD: as expected, and at most."""

    usd: Decimal
    at_most_usd: Decimal


class Arriving(dynamo.Table):
    """Rows of the documents table, as chunk writes them."""

    def queued(self, arrival: Arrival, version: str, *, records: int, estimate: Estimated) -> Row:
        """Write a small document with all its records at once; joins the shard's transaction."""
        row = arrival.row(DocumentStatus.QUEUED, version) | {
            "sealed": True,
            "cursor": 1,
            "records": records,
            "open": records,
            "estimate_usd": estimate.usd,
            "at_most_usd": estimate.at_most_usd,
            "committed_usd": estimate.at_most_usd,
        }
        return self._arrive(row)

    def large(self, arrival: Arrival, version: str) -> Row:
        """Make the row of a document that is written shard by shard."""
        return arrival.row(DocumentStatus.CHUNKING, version) | {
            # Reconcile finds it there, should whoever chunks it die for good.
            "problem": problem(arrival.pipeline, DocumentStatus.CHUNKING),
        }

    def begin(self, row: Row) -> Row:
        """Write what `large` has made, before its first shard; joins a transaction."""
        return self._arrive(row)

    def refuse(self, arrival: Arrival, failure: Failure, version: str = "-") -> Written:
        """Write a document that ends on arrival. Not done: it has arrived already."""
        row = arrival.row(DocumentStatus.FAILED, version) | {
            "sealed": True,
            "finished_at": arrival.received_at,
            **said(arrival.pipeline, failure),
        }
        return dynamo.write(self.client, self._arrive(row))

    def hold(self, arrival: Arrival, failure: Failure) -> Written:
        """Write a document that waits for its pipeline. Not done: it has arrived already."""
        row = arrival.row(DocumentStatus.HELD, "-") | said(arrival.pipeline, failure)
        return dynamo.write(self.client, dynamo.put(self.table, row, when=ABSENT))

    def _arrive(self, row: Row) -> Row:
        """Put a row that is new, or that has waited for its pipeline."""
        return dynamo.put(
            self.table,
            row,
            when=f"{ABSENT} OR (#status = :held AND #error.#code = :unknown)",
            values={"held": DocumentStatus.HELD, "unknown": Code.PIPELINE_UNKNOWN},
        )

    def register(
        self, document_id: str, *, cursor: int, records: int, units: int, estimate: Estimated
    ) -> Row:
        """Count one more shard of a large document; joins the shard's transaction.

        `units` is how much of the upload has been read with it, counted from its start.
        """
        return dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET #cursor = :next, #units = :units ADD #records :n, #open :n, #estimate_usd :usd, "
            "#at_most_usd :most, #committed_usd :most",
            when="#cursor = :cursor AND #status = :chunking",
            values={
                "next": cursor + 1,
                "cursor": cursor,
                "units": units,
                "n": records,
                "usd": estimate.usd,
                "most": estimate.at_most_usd,
                "chunking": DocumentStatus.CHUNKING,
            },
        )

    def advance(self, document_id: str, *, cursor: int) -> Written:
        """Note how many members of an archive are documents by now. Not done: it has got further."""
        request = dynamo.change(
            self.table,
            {"document_id": document_id},
            {"cursor": cursor},
            when="#cursor < :cursor AND #status = :chunking",
            values={"cursor": cursor, "chunking": DocumentStatus.CHUNKING},
        )
        return dynamo.write(self.client, request)

    def seal(self, document_id: str, *, cursor: int, failure: Failure | None = None) -> Written:
        """Close the list of a document's records: no more will come.

        With a failure the rest of the upload could not be read; what was registered is still
        settled, and the document cannot end better than PARTIAL.
        """
        changes: Row = {"status": DocumentStatus.QUEUED, "sealed": True, "problem": None}
        if failure:
            # `error` may be replaced by a reason to wait, and is removed with it; `unread` stays.
            changes |= dict.fromkeys(("error", "unread"), told(failure))
        request = dynamo.change(
            self.table,
            {"document_id": document_id},
            changes,
            when="#cursor = :cursor AND #status = :chunking",
            values={"cursor": cursor, "chunking": DocumentStatus.CHUNKING},
        )
        return dynamo.write(self.client, request)
