"""A document goes on: its records are answered and paid, asked again, and combined stage by stage."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from batchline.aws import dynamo
from batchline.aws.documents.arriving import Estimated
from batchline.aws.dynamo import Row, Written
from batchline.errors import Code
from batchline.models import Charge, DocumentStatus, Usage

# Nothing is on its way for a document, and it waits for nobody's look.
ALL_SETTLED: Final = (
    "#open = :zero AND #sealed = :yes AND #status IN (:queued, :combining, :held) "
    "AND (attribute_not_exists(#error) OR NOT #error.#code = :needed)"
)


class Progress(dynamo.Table):
    """Rows of the documents table, as collect, aggregate and people's retries count in them."""

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

    def reduce(self, document_id: str, *, stage: int, records: int, estimate: Estimated) -> Row:
        """Begin the stage after this one with so many records; joins the transaction of its shards."""
        return dynamo.update(
            self.table,
            {"document_id": document_id},
            "SET #status = :combining, #stage = :next ADD #records :n, #open :n, #estimate_usd :usd, "
            "#at_most_usd :most, #committed_usd :most REMOVE #error, #problem, #needs_usd",
            when=f"#stage = :stage AND {ALL_SETTLED}",
            values=settled_values()
            | {
                "stage": stage,
                "next": stage + 1,
                "n": records,
                "usd": estimate.usd,
                "most": estimate.at_most_usd,
            },
        )

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


def settled_values() -> Row:
    """Make the values that ALL_SETTLED names."""
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
