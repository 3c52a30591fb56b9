"""`batchline limits budgets`, and what `batchline status` says of a document that a budget holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

import typer

from batchline import clock
from batchline.aws.approve import amount
from batchline.aws.control.budgets import Booked
from batchline.aws.documents.waiting import is_held
from batchline.aws.dynamo import Row
from batchline.aws.stack import Stack
from batchline.cli import tables
from batchline.cli.session import session
from batchline.cli.tables import Column
from batchline.errors import Code
from batchline.models import timestamp
from batchline.money import budgets
from batchline.money.budgets import STACK, Scope
from batchline.money.estimate import Estimate
from batchline.pipelines import Pipeline

COLUMNS = (
    Column("budget", least=16),
    Column("period"),
    Column("limit\nUSD", "right"),
    Column("spent\nUSD", "right"),
    Column("reserved\nUSD", "right"),
    Column("left\nUSD", "right"),
    Column("approved\nUSD", "right", drop=1),
)
ALL_PIPELINES = "all pipelines"


@dataclass(frozen=True, slots=True)
class State:
    """A budget now: of a pipeline's day or, with the name STACK, of the stack's month."""

    name: str
    period: str
    limit: Decimal | None
    booked: Booked

    @property
    def left(self) -> Decimal | None:
        """What may still be reserved, in USD. None: there is no limit."""
        return None if self.limit is None else max(Decimal(0), self.limit - self.booked.committed)

    def __str__(self) -> str:
        if self.limit is None:
            return f"no limit; {budgets.up(self.booked.committed)} USD spent or reserved"
        return (
            f"{budgets.down(self.left or Decimal(0))} of {budgets.down(self.limit)} USD left; "
            f"{budgets.up(self.booked.spent)} spent, {budgets.up(self.booked.reserved)} reserved"
        )

    def json(self) -> dict[str, Any]:
        return {
            "pipeline": None if self.name == STACK else self.name,
            "period": self.period,
            "limit_usd": self.limit,
            "spent_usd": self.booked.spent,
            "reserved_usd": self.booked.reserved,
            "left_usd": self.left,
            "approved_usd": self.booked.approved,
        }

    def row(self) -> tuple[str, ...]:
        name = ALL_PIPELINES if self.name == STACK else self.name
        limits = [None if one is None else budgets.down(one) for one in (self.limit, self.left)]
        limit, left = (one or "–" for one in limits)
        used = self.booked.spent, self.booked.reserved
        spent, reserved = map(budgets.up, used)
        return (name, self.period, limit, spent, reserved, left, budgets.up(self.booked.approved))


def listed(context: typer.Context) -> None:
    """Show the budgets of today (UTC) by pipeline, and that of the month for all of them together.

    What is reserved is the most that jobs under way may cost; it is settled when they close. What was
    approved over a budget counts in it as well.
    """
    run = session(context)
    now = clock.now()
    names = run.stack.control.versions.pipelines()
    states = [of_month(run.stack, now), *(of_day(run.stack, one, now) for one in names)]
    if run.as_json:
        run.write_json({"budgets": [one.json() for one in states]})
        return
    run.console.print(tables.table(COLUMNS, [one.row() for one in states], width=run.width))


def of_month(stack: Stack, now: datetime) -> State:
    """Read the stack's budget of this month."""
    month = timestamp(now)[:7]
    return State(STACK, month, stack.per_month, stack.control.budgets.get(STACK, month))


def of_day(stack: Stack, pipeline: str, now: datetime) -> State:
    """Read a pipeline's budget of today."""
    today, found = timestamp(now)[:10], stack.pipelines.in_force(pipeline)
    limit = found.budget.per_day_usd if found and found.budget else None
    return State(pipeline, today, limit, stack.control.budgets.get(pipeline, today))


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a pipeline's budget today, and of the stack's this month, in USD. None: not known."""

    day: Decimal | None = None
    month: Decimal | None = None

    @classmethod
    def of(cls, stack: Stack, pipeline: str, now: datetime) -> Self:
        return cls(of_day(stack, pipeline, now).left, of_month(stack, now).left)


def warnings(pipeline: Pipeline, found: Estimate, left: Left) -> list[str]:
    """Say which budgets will hold documents of an estimate: the most that may be charged is reserved."""
    said, reserved = [], budgets.up(found.reserved)
    limit = pipeline.budget.per_day_usd if pipeline.budget else None
    day = limit if left.day is None else left.day
    if limit is not None and day is not None and found.reserved > day:
        said.append(
            f"Up to {reserved} USD are reserved, and budget.per_day_usd has {budgets.down(day)} of {limit} "
            "left: what a day does not cover is HELD until the next one."
        )
    if found.too_dear:
        count = f"{found.too_dear:,} document{' is' if found.too_dear == 1 else 's are'}"
        said.append(
            f"{count} HELD, for each may cost more than budget.per_document_usd, "
            f"{budgets.per_document(pipeline)}: `batchline approve` lets them go."
        )
    if left.month is not None and found.reserved > left.month:
        said.append(
            f"Up to {reserved} USD are reserved, and the stack's budget of the month has "
            f"{budgets.down(left.month)} left: the rest is HELD until the next month."
        )
    return said


@dataclass(frozen=True, slots=True)
class Hold:
    """What somebody wants to know of a document that a budget holds; money is in USD.

    It `needs` so much of a day and a month, and may have cost `after` of its own budget then; `lacking` are
    the budgets that do not cover it, and `goes_on` says when it goes on by itself, and how sooner.
    """

    needs: Decimal
    approved: bool
    per_document: Decimal | None
    after: Decimal
    day: State
    month: State
    lacking: tuple[Scope, ...]
    goes_on: str

    @classmethod
    def of(cls, stack: Stack, row: Row, now: datetime) -> Self | None:
        """Read the budgets of a document. None: no budget holds it."""
        if not is_held(row, Code.BUDGET_EXCEEDED):
            return None
        needs = amount(row)
        limit = budgets.per_document(stack.pipelines.in_force(row["pipeline"]))
        approvals = stack.control.marks.approvals()
        approved = approvals.covers(row["document_id"], row["pipeline"], row["received_at"])
        day, month = of_day(stack, row["pipeline"], now), of_month(stack, now)
        after = Decimal(row["committed_usd"]) + Decimal(row.get("needs_usd", 0))
        lacking = tuple(
            scope
            for scope, lacks in (
                (Scope.MONTH, month.left is not None and needs > month.left),
                (Scope.DOCUMENT, limit is not None and after > limit and not approved),
                (Scope.DAY, day.left is not None and needs > day.left and not approved),
            )
            if lacks
        )
        goes_on = _when(lacking, needs, day, now, row["document_id"])
        return cls(needs, approved, limit, after, day, month, lacking, goes_on)

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield names and values."""
        yield "needs", f"at most {budgets.up(self.needs)} USD{', approved' if self.approved else ''}"
        if self.per_document is not None:
            limit, after = budgets.down(self.per_document), budgets.up(self.after)
            yield "per document", f"{limit} USD, and it may cost {after}"
        if self.day.limit is not None:
            yield "per day", str(self.day)
        if self.month.limit is not None:
            yield "per month", str(self.month)
        yield "goes on", self.goes_on

    def json(self) -> dict[str, Any]:
        return {
            "needs_usd": self.needs,
            "approved": self.approved,
            "per_document_usd": self.per_document,
            "may_cost_usd": self.after,
            "day": self.day.json(),
            "month": self.month.json(),
            "lacking": self.lacking,
            "goes_on": self.goes_on,
        }


def _when(lacking: Sequence[Scope], needs: Decimal, day: State, now: datetime, document_id: str) -> str:
    """Say when a document goes on by itself, and how sooner."""
    approve = f"`batchline approve {document_id}`"
    if not lacking:
        return f"with the next job, if its model has a price; otherwise with {approve}"
    if Scope.MONTH in lacking:
        return (
            f"by itself on {budgets.next_month(timestamp(now)[:10])} (UTC), or when BudgetPerMonth of the "
            "stack is raised"
        )
    if Scope.DOCUMENT in lacking:
        return f"with {approve}, or when budget.per_document_usd is raised; not by itself"
    if day.limit is not None and needs > day.limit:
        return f"with {approve}, or when budget.per_day_usd is raised; no day is enough"
    tomorrow = timestamp(now + timedelta(days=1))[:10]
    return f"by itself on {tomorrow} (UTC), or when there is room earlier; sooner with {approve}"
