"""Budgets as one run of a packer sees them: read once, so that all of its plans rest on the same."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from batchline.aws import dynamo
from batchline.aws.control import Control
from batchline.aws.document_budgets import document_lack
from batchline.aws.documents import Documents
from batchline.aws.jobs import Opening
from batchline.aws.pipelines import Pipelines
from batchline.cancel import documents_of
from batchline.errors import NotConserved
from batchline.models import Shard, timestamp
from batchline.money import budgets
from batchline.money.approvals import NONE_APPROVED, Approvals
from batchline.money.budgets import STACK, Lack, Scope
from batchline.pipelines.sections import Budget


@dataclass(slots=True)
class Means:
    """What may be spent. `per_month` is the stack's budget, in USD."""

    control: Control
    documents: Documents
    pipelines: Pipelines
    per_month: Decimal | None
    approvals: Approvals = NONE_APPROVED
    _budgets: dict[str, Budget | None] = field(default_factory=dict)
    _documents: dict[str, dynamo.Row] = field(default_factory=dict)

    def document(self, shard: Shard) -> dynamo.Row:
        """Read the document of a guarded shard, once in a run."""
        (name,) = documents_of(shard)
        if name not in self._documents:
            row = self.documents.get(name)
            if row is None:
                raise NotConserved(f"{shard.key} holds records of {name}, which is no document")
            self._documents[name] = row
        return self._documents[name]

    def lack(self, shard: Shard, row: dynamo.Row) -> Lack | None:
        """Say what the budget of a document lacks for all that is to be asked for it. None: nothing."""
        budget = self._budget(shard.pipeline)
        if budget is None or budget.per_document_usd is None:
            return None
        if self.approvals.covers(row["document_id"], shard.pipeline, row["received_at"]):
            return None
        if lack := document_lack(row, Decimal(0), shard.model, budget.per_document_usd):
            needs = lack.needs + Decimal(row["committed_usd"])
            return replace(lack, needs=needs, left=budget.per_document_usd)
        return None

    def room(self, pipelines: Iterable[str], now: datetime) -> dict[str, Decimal]:
        """Say what is left today for each pipeline that has a budget, and this month for all, in USD."""
        rows, today = self.control.budgets, timestamp(now)[:10]
        room = {}
        for name in pipelines:
            if (limit := self.limit(name)) is not None:
                room[name] = limit - rows.get(name, today).committed
        if (limit := self.per_month) is not None:
            room[STACK] = limit - rows.get(STACK, today[:7]).committed
        return room

    def limit(self, name: str) -> Decimal | None:
        """Say what a pipeline may spend in a day, or the stack in a month, in USD."""
        if name == STACK:
            return self.per_month
        budget = self._budget(name)
        return budget.per_day_usd if budget else None

    def _budget(self, name: str) -> Budget | None:
        """Read a pipeline's budget from the version in force, whichever version made the records."""
        if name not in self._budgets:
            version = self.pipelines.current(name)
            self._budgets[name] = self.pipelines.get(name, version).budget if version else None
        return self._budgets[name]

    def reserve(self, name: str, opening: Opening) -> dynamo.Row:
        """Reserve the most that a job may cost of a pipeline's day, or of the stack's month."""
        stack = name == STACK
        return self.control.budgets.reserve(
            name,
            opening.created_at[: 7 if stack else 10],
            sum(opening.reserved.values(), Decimal(0)) if stack else opening.reserved[name],
            self.limit(name),
            approved=opening.approved.get(name, Decimal(0)),
        )

    def said(self, lack: Lack, shard: Shard, document_id: str, now: datetime) -> str:
        """Say why a document rests, with the whole of the budget that lacks."""
        if lack.scope is not Scope.DOCUMENT:
            lack = replace(lack, limit=self.limit(STACK if lack.scope is Scope.MONTH else shard.pipeline))
        today = timestamp(now)[:10]
        return budgets.said(lack, model=shard.model, document_id=document_id, day=today)
