"""What a document may cost, by the version of its pipeline in force, unless somebody has approved it."""

from dataclasses import dataclass
from decimal import Decimal

from batchline.aws.control import Control
from batchline.aws.dynamo import Row
from batchline.aws.pipelines import Pipelines
from batchline.errors import BatchlineError
from batchline.money import budgets
from batchline.money.budgets import BEYOND, Lack, Scope


class Unaffordable(BatchlineError):
    """A document's budget does not cover what comes next. Do not retry: it waits for money."""

    def __init__(self, model: str, most_usd: Decimal, lack: Lack) -> None:
        super().__init__(f"{model} may cost {most_usd} USD, and {lack.left} are left")
        self.model, self.most_usd, self.lack = model, most_usd, lack


@dataclass(frozen=True, slots=True)
class DocumentBudgets:
    """Asks whether a document can afford more."""

    control: Control
    pipelines: Pipelines

    def lack(self, row: Row, most: Decimal, model: str) -> Lack | None:
        """Say what a document lacks for records that may cost so much, in USD. None: nothing."""
        limit = budgets.per_document(self.pipelines.in_force(row["pipeline"]))
        if limit is None:
            return None
        lack = document_lack(row, most, model, limit)
        if lack is None:
            return None
        approvals = self.control.marks.approvals()
        return None if approvals.covers(row["document_id"], row["pipeline"], row["received_at"]) else lack


def document_lack(row: Row, most: Decimal, model: str, limit: Decimal) -> Lack | None:
    """Say what a document lacks for records that may cost so much more than what its row has committed."""
    left = limit - Decimal(row.get("committed_usd", 0))
    needs = most if budgets.is_priced(model) else BEYOND
    return Lack(Scope.DOCUMENT, needs, left, limit) if needs > left else None
