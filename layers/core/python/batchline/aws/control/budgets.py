"""Budgets: what a pipeline spends in a day, and all of a stack in a month. Rows of the control table.

`committed` is what is reserved or spent, in USD: a condition cannot add, so one number is held against the
limit. `spent` stands beside it for people, and `approved` is what was let go whatever the limit said, so
`committed` never exceeds the limit by more than that. Rows are kept where nothing is limited, too: a limit
that is set later counts what came before it.
"""

from dataclasses import dataclass
from decimal import Decimal

from batchline.aws import dynamo
from batchline.aws.control.keys import alone
from batchline.aws.dynamo import Row

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Booked:
    """What a budget's row holds, in USD."""

    committed: Decimal = NOTHING
    spent: Decimal = NOTHING
    approved: Decimal = NOTHING

    @property
    def reserved(self) -> Decimal:
        """What jobs that are not closed may still cost."""
        return self.committed - self.spent


class Budgets(dynamo.Table):
    """Budgets by name (a pipeline's, or budgets.STACK) and period (`2026-11-22`, or `2026-11`)."""

    def reserve(
        self,
        name: str,
        period: str,
        usd: Decimal,
        limit: Decimal | None,
        *,
        approved: Decimal = NOTHING,
    ) -> Row:
        """Reserve money of a budget; joins the transaction "open job".

        So much of it is `approved`: the limit does not stop that part.
        """
        values: Row = {"usd": usd}
        expression = "ADD #committed :usd"
        if approved:
            expression += ", #approved :approved"
            values["approved"] = approved
        when = ""
        if limit is not None and (asking := usd - approved) > 0:
            values["room"] = limit - asking
            when = "#committed <= :room"
            if asking <= limit:
                when = f"attribute_not_exists(#committed) OR {when}"
        return dynamo.update(self.table, _key(name, period), expression, when=when, values=values)

    def settle(self, name: str, period: str, *, reserved: Decimal, spent: Decimal) -> Row:
        """Replace a reservation by what was spent; joins the transaction that closes a job."""
        return dynamo.update(
            self.table,
            _key(name, period),
            "ADD #committed :difference, #spent :spent",
            values={"difference": spent - reserved, "spent": spent},
        )

    def get(self, name: str, period: str) -> Booked:
        """Read what is booked on a budget."""
        row = dynamo.get(self.client, self.table, _key(name, period)) or {}
        return Booked(*(Decimal(row.get(one, 0)) for one in ("committed", "spent", "approved")))


def _key(name: str, period: str) -> dict[str, str]:
    return alone(f"budget#{name}#{period}")
