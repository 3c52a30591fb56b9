"""The documents table: every shape and every legal transition of a document's row.

–         → CHUNKING · QUEUED · HELD · FAILED         chunk
CHUNKING  → QUEUED                                    chunk, when the last shard is registered
CHUNKING  → COMPLETED · PARTIAL · FAILED              chunk, an archive whose members are documents
HELD      → CHUNKING · QUEUED · FAILED                chunk, when the pipeline has arrived
QUEUED    ⇄ HELD                                      pack, for budget or too few records
QUEUED · COMBINING → HELD                             aggregate, when its budget does not cover the next stage
QUEUED    → COMBINING → COMBINING …                   aggregate, a stage of a reduce prompt each
QUEUED · COMBINING · HELD → COMPLETED · PARTIAL · FAILED · CANCELLED · HELD for review
                                                      aggregate, when sealed and open = 0
HELD      → COMPLETED · PARTIAL · FAILED              a person's review
HELD      → CANCELLED                                 cancel, while it has no record
HELD      → QUEUED · COMBINING                        reconcile, when nothing moves it any more
PARTIAL · FAILED · CANCELLED → QUEUED · COMBINING     a person's retry of failed records
FAILED    → –                                         a person's retry, while it has no record

Aggregate ends a held document too: a packer that dies while it holds a document may leave it so although
its records were taken by a job, and with the last one settled there is nothing left to wait for.
"""

from collections.abc import Iterable, Iterator

from batchline.aws import dynamo
from batchline.aws.documents.arriving import Arriving
from batchline.aws.documents.attention import problem
from batchline.aws.documents.ending import Ending
from batchline.aws.documents.progress import Progress
from batchline.aws.documents.waiting import Waiting
from batchline.aws.dynamo import Row


class Documents(dynamo.Table):
    """The documents table: what is read of it, and by subject what is written."""

    @property
    def arriving(self) -> Arriving:
        """From an upload to a document whose records are all registered."""
        return Arriving(self.client, self.table)

    @property
    def waiting(self) -> Waiting:
        """Documents that rest for a reason, and that go on."""
        return Waiting(self.client, self.table)

    @property
    def progress(self) -> Progress:
        """Records that are answered, paid, and asked again or further."""
        return Progress(self.client, self.table)

    @property
    def ending(self) -> Ending:
        """Documents that end, or leave the table."""
        return Ending(self.client, self.table)

    def get(self, document_id: str) -> Row | None:
        return dynamo.get(self.client, self.table, {"document_id": document_id})

    def all(self) -> Iterator[Row]:
        """Yield every document, in no order. The whole table is read."""
        return dynamo.scan(self.client, self.table)

    def get_many(self, document_ids: Iterable[str]) -> Iterator[Row]:
        keys = ({"document_id": one} for one in document_ids)
        return dynamo.get_many(self.client, self.table, keys)

    def with_problem(self, pipeline: str, code: str) -> Iterator[str]:
        """Yield the ids of documents that have this problem, oldest first, as far as the index is."""
        rows = dynamo.query(
            self.client,
            self.table,
            "#problem = :problem",
            {"problem": problem(pipeline, code)},
            index="attention",
        )
        return (row["document_id"] for row in rows)

    def of_day(self, pipeline: str, day: str) -> Iterator[tuple[str, str]]:
        """Yield when each document of a pipeline came on a day (`2026-11-22`), and its id, newest first."""
        rows = dynamo.query(
            self.client,
            self.table,
            "#day_key = :day",
            {"day": f"{pipeline}#{day}"},
            index="by_day",
            newest_first=True,
        )
        for row in rows:
            received_at, _, document_id = row["day_order"].partition("#")
            yield received_at, document_id

    def received(self, pipeline: str, day: str, after: str) -> Iterator[tuple[str, str]]:
        """Yield order and id of a pipeline's documents of a day, oldest first, from beyond an order on."""
        rows = dynamo.query(
            self.client,
            self.table,
            "#day_key = :day AND #day_order > :after",
            {"day": f"{pipeline}#{day}", "after": after or " "},
            index="by_day",
        )
        for row in rows:
            yield row["day_order"], row["document_id"]

    def problems(self, since: str) -> Iterator[str]:
        """Yield `<pipeline>#<code>` of every document with a problem that came since then, in no order.

        Reads the whole index, which is sparse and holds keys alone.
        """
        rows = dynamo.scan(
            self.client, self.table, "#received_at >= :since", {"since": since}, index="attention"
        )
        return (row["problem"] for row in rows)
