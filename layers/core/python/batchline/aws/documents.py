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

Aggregate ends a held document too: a packer that dies while it holds a document may leave it so although
its records were taken by a job, and with the last one settled there is nothing left to wait for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from batchline.aws import dynamo
from batchline.aws.dynamo import Row, Written
from batchline.chunk import Upload
from batchline.errors import Code
from batchline.models import Charge, DocumentStatus, Failure, Usage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ABSENT: Final = "attribute_not_exists(#document_id)"
# Nothing is on its way for a document, and it waits for nobody's look.
ALL_SETTLED: Final = (
    "#open = :zero AND #sealed = :yes AND #status IN (:queued, :combining, :held) "
    "AND (attribute_not_exists(#error) OR NOT #error.#code = :needed)"
)


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


def problem(pipeline: str, code: str) -> str:
    """Key a document under what needs attention."""
    return f"{pipeline}#{code}"


def _error(failure: Failure) -> Row:
    return {"code": failure.code, "message": failure.message}


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents table."""

    client: "DynamoDBClient"
    table: str

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

    # chunk

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
            "error": _error(failure),
            "problem": problem(arrival.pipeline, failure.code),
            "finished_at": arrival.received_at,
        }
        return dynamo.write(self.client, self._arrive(row))

    def hold(self, arrival: Arrival, failure: Failure) -> Written:
        """Write a document that waits for its pipeline. Not done: it has arrived already."""
        row = arrival.row(DocumentStatus.HELD, "-") | {
            "error": _error(failure),
            "problem": problem(arrival.pipeline, failure.code),
        }
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
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET #cursor = :cursor",
            when="#cursor < :cursor AND #status = :chunking",
            values={"cursor": cursor, "chunking": DocumentStatus.CHUNKING},
        )
        return dynamo.write(self.client, request)

    def unpacked(
        self, document_id: str, pipeline: str, *, documents: int, finished_at: str, failure: Failure | None
    ) -> Written:
        """End an archive, of which so many members are documents of their own. Not done: it has ended."""
        good = DocumentStatus.PARTIAL if documents else DocumentStatus.FAILED
        values: Row = {
            "status": good if failure else DocumentStatus.COMPLETED,
            "documents": documents,
            "finished": finished_at,
            "yes": True,
            "chunking": DocumentStatus.CHUNKING,
        }
        expression = (
            "SET #status = :status, #documents = :documents, #finished_at = :finished, #sealed = :yes"
        )
        if failure:
            expression += ", #error = :error, #problem = :problem"
            values |= {"error": _error(failure), "problem": problem(pipeline, failure.code)}
        else:
            expression += " REMOVE #problem"
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            expression,
            when="#status = :chunking",
            values=values,
        )
        return dynamo.write(self.client, request)

    def seal(self, document_id: str, *, cursor: int, failure: Failure | None = None) -> Written:
        """Close the list of a document's records: no more will come.

        With a failure the rest of the upload could not be read; what was registered is still
        settled, and the document cannot end better than PARTIAL.
        """
        values: Row = {
            "cursor": cursor,
            "queued": DocumentStatus.QUEUED,
            "chunking": DocumentStatus.CHUNKING,
            "yes": True,
        }
        expression = "SET #status = :queued, #sealed = :yes"
        if failure:
            # `error` may be replaced by a reason to wait, and is removed with it; `unread` stays.
            expression += ", #error = :error, #unread = :error"
            values["error"] = _error(failure)
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            f"{expression} REMOVE #problem",
            when="#cursor = :cursor AND #status = :chunking",
            values=values,
        )
        return dynamo.write(self.client, request)

    # pack

    def rest(
        self, document_id: str, pipeline: str, failure: Failure, *, needs_usd: Decimal | None = None
    ) -> Written:
        """Hold a document that waits for an answer, for a reason that passes by itself.

        `needs_usd` is what its next step may cost, where none of its records waits.
        """
        expression = "SET #status = :held, #error = :error, #problem = :problem"
        values: Row = {
            "held": DocumentStatus.HELD,
            "queued": DocumentStatus.QUEUED,
            "combining": DocumentStatus.COMBINING,
            "error": _error(failure),
            "problem": problem(pipeline, failure.code),
        }
        if needs_usd is not None:
            expression += ", #needs_usd = :needs"
            values["needs"] = needs_usd
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            expression,
            when="#status IN (:queued, :combining)",
            values=values,
        )
        return dynamo.write(self.client, request)

    def resume(self, document_id: str, code: str) -> Written:
        """Queue a document again that was held for this reason."""
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET #status = :queued REMOVE #error, #problem",
            when="#status = :held AND #error.#code = :code",
            values={
                "held": DocumentStatus.HELD,
                "queued": DocumentStatus.QUEUED,
                "code": code,
            },
        )
        return dynamo.write(self.client, request)

    # collect

    def account(
        self,
        document_id: str,
        job_id: str,
        *,
        succeeded: int,
        failed: int,
        usage: Usage,
        charge: Charge,
        reused: Mapping[str, Any],
        committed: Decimal,
    ) -> Written:
        """Add what one job did for a document, once. Not done: it was added before.

        `reused` is what booking says of the cache, `committed` by how much the job changes what the document
        costs at most, in USD.
        """
        added: Row = {
            "succeeded": succeeded,
            "failed": failed,
            "open": -(succeeded + failed),
            **usage.told(),
            "cost_usd": charge.cost_usd,
            "saved_usd": charge.saved_usd,
            "overhead_usd": charge.overhead_usd,
            **reused,
            "committed_usd": committed,
            "applied": {job_id},
        }
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "ADD " + ", ".join(f"#{name} :{name}" for name in added),
            when="attribute_exists(#document_id) AND NOT contains(#applied, :job_id)",
            values=added | {"job_id": job_id},
        )
        return dynamo.write(self.client, request)

    def grant(self, document_id: str, job_id: str, usd: Decimal, limit: Decimal | None) -> Written:
        """Commit to what a job's retries may cost, once. Not done: it was before, or the limit is too low."""
        values: Row = {"usd": usd, "job": {job_id}, "job_id": job_id}
        when = "attribute_exists(#document_id) AND NOT contains(#granted, :job_id)"
        if limit is not None:
            when += " AND #committed_usd <= :room"
            values["room"] = limit - usd
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "ADD #committed_usd :usd, #granted :job",
            when=when,
            values=values,
        )
        return dynamo.write(self.client, request)

    # aggregate

    def reduce(self, document_id: str, *, stage: int, records: int, estimate: Estimated) -> Row:
        """Begin the stage after this one with so many records; joins the transaction of its shards."""
        return dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET #status = :combining, #stage = :next ADD #records :n, #open :n, #estimate_usd :usd, "
            "#at_most_usd :most, #committed_usd :most REMOVE #error, #problem, #needs_usd",
            when=f"#stage = :stage AND {ALL_SETTLED}",
            values=_settled_values()
            | {
                "stage": stage,
                "next": stage + 1,
                "n": records,
                "usd": estimate.usd,
                "most": estimate.at_most_usd,
            },
        )

    def finish(
        self,
        document_id: str,
        pipeline: str,
        status: DocumentStatus,
        *,
        stage: int,
        counts: Mapping[str, int],
        finished_at: str,
        result: Mapping[str, Any],
        failure: Failure | None,
    ) -> Written:
        """End a document, or hold it for review, when every record of its last stage is settled.

        `counts` are its records, those that succeeded and those that failed, as the result was made of
        them; `result` holds its result attributes. Not done: it has ended, is held, has another stage, or
        its counts are not these.
        """
        values: Row = _settled_values() | {"status": status, "finished": finished_at, "stage": stage}
        values |= {f"{name}_before": number for name, number in counts.items()}
        same = " AND ".join(f"#{name} = :{name}_before" for name in counts)
        sets = ["#status = :status", "#finished_at = :finished"]
        for name, value in result.items():
            sets.append(f"#{name} = :{name}")
            values[name] = value
        if failure:
            sets += ["#error = :error", "#problem = :problem"]
            values |= {"error": _error(failure), "problem": problem(pipeline, failure.code)}
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET " + ", ".join(sets) + ("" if failure else " REMOVE #error, #problem"),
            when=f"#stage = :stage AND {same} AND {ALL_SETTLED}",
            values=values,
        )
        return dynamo.write(self.client, request)

    # reconcile

    def stuck(self, row: Row, failure: Failure) -> Written:
        """Say of a document that nothing moves it any more. Not done: something has happened to it."""
        request = dynamo.update(
            self.table,
            {"document_id": row["document_id"]},
            "SET #error = :error, #problem = :problem, #status = :status",
            when="#status = :was AND #stage = :stage AND #open = :open",
            values={
                "error": _error(failure),
                "problem": problem(row["pipeline"], failure.code),
                # A held document would go on when its reason has passed, and this one cannot.
                "status": DocumentStatus.COMBINING if row["stage"] else DocumentStatus.QUEUED,
                "was": row["status"],
                "stage": row["stage"],
                "open": row["open"],
            },
        )
        return dynamo.write(self.client, request)

    def unstuck(self, document_id: str) -> Written:
        """Take back what `stuck` has said."""
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "REMOVE #error, #problem",
            when="#error.#code = :stuck",
            values={"stuck": Code.STUCK},
        )
        return dynamo.write(self.client, request)

    # people

    def review(
        self,
        document_id: str,
        status: DocumentStatus,
        *,
        pipeline: str,
        finished_at: str,
        review: Mapping[str, Any],
        result: Mapping[str, Any],
        failure: Failure | None,
    ) -> Written:
        """End a document as the person has decided who looked at it. Not done: it waits for nobody."""
        values: Row = {
            "status": status,
            "finished": finished_at,
            "review": dict(review),
            "held": DocumentStatus.HELD,
            "needed": Code.REVIEW_NEEDED,
        }
        sets = ["#status = :status", "#finished_at = :finished", "#review = :review"]
        removes = [name for name, value in result.items() if value is None]
        for name, value in result.items():
            if value is not None:
                sets.append(f"#{name} = :{name}")
                values[name] = value
        if failure:
            sets += ["#error = :error", "#problem = :problem"]
            values |= {"error": _error(failure), "problem": problem(pipeline, failure.code)}
        else:
            removes += ["error", "problem"]
        removed = " REMOVE " + ", ".join(f"#{name}" for name in removes) if removes else ""
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET " + ", ".join(sets) + removed,
            when="#status = :held AND #error.#code = :needed",
            values=values,
        )
        return dynamo.write(self.client, request)

    def retry(self, row: Row, records: int, most_usd: Decimal) -> Row:
        """Open failed records of an ended document again; joins the transaction of their shards."""
        return dynamo.update(
            self.table,
            {"document_id": row["document_id"]},
            "SET #status = :moving, #generation = :next ADD #open :n, #failed :less, "
            "#committed_usd :most REMOVE #error, #problem, #finished_at, #codes, #first_failed",
            when="#status = :was AND (attribute_not_exists(#generation) OR #generation = :generation)",
            values={
                "moving": DocumentStatus.COMBINING if row["stage"] else DocumentStatus.QUEUED,
                "was": row["status"],
                "generation": row.get("generation", 0),
                "next": row.get("generation", 0) + 1,
                "n": records,
                "less": -records,
                "most": most_usd,
            },
        )

    def forget(self, document_id: str) -> Written:
        """Delete a document that was refused before it had a record, so that it can arrive again."""
        request = dynamo.delete(
            self.table,
            {"document_id": document_id},
            when="#status = :failed AND #records = :none",
            values={"failed": DocumentStatus.FAILED, "none": 0},
        )
        return dynamo.write(self.client, request)

    def cancel(self, document_id: str, pipeline: str, *, finished_at: str, failure: Failure) -> Written:
        """End a held document that has no record yet. Not done: it has begun, or has ended."""
        request = dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET #status = :cancelled, #sealed = :yes, #finished_at = :finished, #error = :error, "
            "#problem = :problem",
            when="#status = :held AND #records = :none",
            values={
                "cancelled": DocumentStatus.CANCELLED,
                "held": DocumentStatus.HELD,
                "none": 0,
                "yes": True,
                "finished": finished_at,
                "error": _error(failure),
                "problem": problem(pipeline, failure.code),
            },
        )
        return dynamo.write(self.client, request)


def _settled_values() -> Row:
    return {
        "zero": 0,
        "yes": True,
        "queued": DocumentStatus.QUEUED,
        "combining": DocumentStatus.COMBINING,
        "held": DocumentStatus.HELD,
        "needed": Code.REVIEW_NEEDED,
    }


def settled(row: Row | None) -> bool:
    """Tell whether aggregate should look at a document: sealed, and no record open."""
    return row is not None and row["sealed"] and row["open"] == 0
