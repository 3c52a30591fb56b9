"""The results table: the answer to each settled record."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from batchline.aws import dynamo
from batchline.aws.dynamo import Row
from batchline.ids import RecordId
from batchline.models import Engine, Tier, Usage
from batchline.money import prices

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


# More at once would only be throttled: the results of one document are one partition of the table.
WRITERS: Final = 4
GROUPS: Final = 5  # requests a writer makes before the next rows are read


def result_row(
    job: Row, record: RecordId, *, usage: Usage, days: int, stop: str | None = None, **stored: Any
) -> Row:
    """Shape the row of a record that a job has settled; `stored` is its answer or its error.

    The row is kept as many days as the job's output, into which it may point.
    """
    engine, tier = Engine(job["engine"]), Tier(job["tier"])
    usage = usage.parted(prices.long_above(job["model"], at=job["created_at"]))
    charge = prices.charge(usage, job["model"], engine, tier, at=job["created_at"])
    opened = datetime.fromisoformat(job["created_at"])
    return {
        "document_id": record.document_id,
        "record": record.record,
        "stop": stop,
        **usage.told(),
        "cost_usd": charge.cost_usd,
        "model": job["model"],
        "job_id": job["job_id"],
        "attempt": record.attempt,
        "expires_at": int((opened + timedelta(days=days)).timestamp()),
        **stored,
    }


@dataclass(frozen=True, slots=True)
class Results:
    """The results table. Only the attempt that settles a record writes its row."""

    client: "DynamoDBClient"
    table: str

    def put(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows, a few requests at once; the same row twice is the same row."""
        put = partial(dynamo.put_many, self.client, self.table)
        with ThreadPoolExecutor(WRITERS) as pool:
            for group in batched(rows, WRITERS * dynamo.BATCH_WRITES * GROUPS, strict=False):
                # Consumed, so that an error is raised here.
                list(pool.map(put, batched(group, dynamo.BATCH_WRITES, strict=False)))

    def forget(self, document_id: str, records: Iterable[str]) -> None:
        """Delete results of records that are asked again."""
        keys = ({"document_id": document_id, "record": one} for one in records)
        dynamo.delete_many(self.client, self.table, keys)

    def of(self, document_id: str, stage: str = "") -> Iterator[Row]:
        """Yield a document's results, of all stages or of one, in the order of its records."""
        condition, values = "#document_id = :id", {"id": document_id}
        if stage:
            condition, values = f"{condition} AND begins_with(#record, :stage)", values | {"stage": stage}
        return dynamo.query(self.client, self.table, condition, values)
