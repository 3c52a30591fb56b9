"""The results table: the answer to each settled record."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchline.aws import dynamo
from batchline.aws.dynamo import Row

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Results:
    """The results table. Only the attempt that settles a record writes its row."""

    client: "DynamoDBClient"
    table: str

    def put(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows; the same row twice is the same row."""
        dynamo.put_many(self.client, self.table, rows)

    def of(self, document_id: str) -> Iterator[Row]:
        """Yield a document's results in the order of its records."""
        return dynamo.query(self.client, self.table, "#document_id = :id", {"id": document_id})
