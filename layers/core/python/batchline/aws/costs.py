"""The costs table: the ledger. Every entry is an absolute row at a key of its own.

document#<id> / <job_id>             what one job charged for one document
document#-    / <job_id>             what a job charged and no document owns
day#<date>    / <pipeline>#<job_id>  what one job charged for one pipeline
job#<job_id>  / total                the manifest, what was booked, and the difference
month#<month> / <pipeline>#<model>#… the days of a month that is over, added up
month#<month> / -                    that they are, and by when
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batchline.aws import dynamo
from batchline.aws.dynamo import Row
from batchline.money import ledger
from batchline.money.ledger import UNATTRIBUTED, Month

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROLLED_UP: Final = "-"


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs table."""

    client: "DynamoDBClient"
    table: str

    @property
    def region(self) -> str:
        """Name the Region of the stack, in which its jobs are charged."""
        return self.client.meta.region_name

    def book(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write entries; booking the same entry again changes nothing."""
        dynamo.put_many(self.client, self.table, rows)

    def of_document(self, document_id: str) -> Iterator[Row]:
        return self._scope(f"document#{document_id}")

    def of_day(self, day: str) -> Iterator[Row]:
        return self._scope(f"day#{day}")

    def of_month(self, month: str) -> Iterator[Row]:
        """Yield a month added up, or its days' entries when it is not over yet."""
        rows = list(self._scope(f"month#{month}"))
        if any(one["entry"] == ROLLED_UP for one in rows):
            return (one for one in rows if one["entry"] != ROLLED_UP)
        return self._days_of(month)

    def roll_up(self, month: str, at: str) -> bool:
        """Add up a month that is over, once. False: it is already.

        The mark is written last, so a run that breaks off is repeated, and writes the same again.
        """
        mark = {"scope": f"month#{month}", "entry": ROLLED_UP}
        if any(True for _ in dynamo.get_many(self.client, self.table, [mark])):
            return False
        self.book(ledger.roll_up(month, self._days_of(month)))
        self.book([mark | {"rolled_up_at": at}])
        return True

    def month(self, month: str) -> Month | None:
        """Hold a month that was added up against its days. None: it was not yet."""
        rows = {one["entry"]: one for one in self._scope(f"month#{month}")}
        mark = rows.pop(ROLLED_UP, None)
        if mark is None:
            return None
        return ledger.month(month, mark["rolled_up_at"], rows.values(), self._days_of(month))

    def _days_of(self, month: str) -> Iterator[Row]:
        return (row for day in ledger.days_of(month) for row in self.of_day(day))

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
