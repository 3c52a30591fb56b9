"""The costs table: the ledger. Every entry is an absolute row at a key of its own.

document#<id> / <job_id>             what one job charged for one document
document#-    / <job_id>             what a job charged and no document owns
day#<date>    / <pipeline>#<job_id>  what one job charged for one pipeline
job#<job_id>  / total                the manifest, what was booked, and the difference
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchline.aws import dynamo
from batchline.aws.dynamo import Row

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

UNATTRIBUTED = "-"


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs table."""

    client: "DynamoDBClient"
    table: str

    def book(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write entries; booking the same entry again changes nothing."""
        dynamo.put_many(self.client, self.table, rows)

    def of_document(self, document_id: str) -> Iterator[Row]:
        return self._scope(f"document#{document_id}")

    def of_day(self, day: str) -> Iterator[Row]:
        return self._scope(f"day#{day}")

    def totals(self, job_ids: Iterable[str]) -> Iterator[Row]:
        """Yield the total entries of jobs, in no order; a job that is not closed has none."""
        keys = ({"scope": f"job#{one}", "entry": "total"} for one in job_ids)
        return dynamo.get_many(self.client, self.table, keys)

    def shares(self, job_id: str, document_ids: Iterable[str]) -> Iterator[Row]:
        """Yield what a job charged for these documents, and what nobody owns, in no order."""
        scopes = (*document_ids, UNATTRIBUTED)
        keys = ({"scope": f"document#{one}", "entry": job_id} for one in scopes)
        return dynamo.get_many(self.client, self.table, keys)

    def _scope(self, scope: str) -> Iterator[Row]:
        return dynamo.query(self.client, self.table, "#scope = :scope", {"scope": scope})
