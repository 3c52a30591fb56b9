"""Audit: reads all tables and the work bucket, and yields what does not add up.

Nothing is locked, so what is in motion while it is read may look wrong. `run` looks at what looked wrong
a second time and yields what is wrong both times.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from batchline import audit
from batchline.audit import Amount, Open, Results, Violation
from batchline.aws.control import Control
from batchline.aws.costs import Costs
from batchline.aws.documents import Documents
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.objects import Work
from batchline.aws.results import Results as ResultsTable
from batchline.models import JobStatus, Shard
from batchline.money.budgets import STACK

# Results are written and retries registered before the documents are told.
COLLECTED: Final = frozenset({JobStatus.COLLECTING, JobStatus.CLOSING})


@dataclass(frozen=True, slots=True)
class Auditor:
    """Recomputes what must hold. It only reads."""

    documents: Documents
    results: ResultsTable
    jobs: Jobs
    costs: Costs
    control: Control
    work: Work

    def run(self, pause: Callable[[], None]) -> list[Violation]:
        """Audit everything, let what is in motion settle, and audit again if anything looked wrong."""
        suspects = set(self.violations())
        if not suspects:
            return []
        pause()
        return [one for one in self.violations() if one in suspects]

    def violations(self) -> Iterator[Violation]:
        """Look once at everything. All of the tables is read, and paid."""
        ledger = _Ledger(self.costs)
        found = _Jobs()
        for row in self.jobs.all():
            shards = self.work.get_plan(row["job_id"])
            found.add(row, shards)
            if row["status"] == JobStatus.CLOSED:
                yield from self._job(row, shards, ledger)
        yield from self._slots(found)
        yield from self._budgets(found, ledger)
        waiting = self._open(found)
        for row in self.documents.all():
            yield from self._document(row, waiting)

    def _job(self, row: Row, shards: Iterable[Shard], ledger: "_Ledger") -> Iterator[Violation]:
        total = next(iter(self.costs.totals([row["job_id"]])), None)
        shares = self.costs.shares(row["job_id"], audit.touched(shards))
        return audit.job(row, total=total, shares=shares, days=ledger.of_job(row))

    def _slots(self, found: "_Jobs") -> Iterator[Violation]:
        for base_model in sorted(found.base_models):
            holders = self.control.slots.get(base_model).holders
            yield from audit.slots(base_model, holders, {one: self.jobs.get(one) for one in holders})

    def _budgets(self, found: "_Jobs", ledger: "_Ledger") -> Iterator[Violation]:
        for (name, period), rows in sorted(found.reservations.items()):
            booked = self.control.budgets.get(name, period)
            amounts = [_amount(name, row, ledger) for row in rows]
            yield from audit.budget(
                f"{name} of {period}",
                committed=booked.committed,
                spent=booked.spent,
                approved=booked.approved,
                amounts=amounts,
            )

    def _open(self, found: "_Jobs") -> Open:
        """Gather the records that wait in a shard or in a job that has not counted them."""
        waiting = Open()
        for row, shards in found.unfinished:
            for shard in shards:
                applied = self._applied(row["job_id"], shard)
                waiting.add(shard, but=applied)
                if row["status"] in COLLECTED:
                    waiting.closing |= audit.touched([shard]) - applied
        for lane in self.control.lanes.all():
            for pipeline in sorted(lane.pipelines):
                for shard in self.control.pending.of(lane.name, pipeline):
                    # Opened already: deleting the pending row is what is left to do.
                    if shard.shard_id not in found.claimed:
                        waiting.add(shard)
        return waiting

    def _applied(self, job_id: str, shard: Shard) -> set[str]:
        """Name the shard's documents that have counted the job already."""
        rows = self.documents.get_many(audit.touched([shard]))
        return {row["document_id"] for row in rows if job_id in row.get("applied", ())}

    def _document(self, row: Row, waiting: Open) -> Iterator[Violation]:
        document_id = row["document_id"]
        key = row.get("result_key")
        return audit.document(
            row,
            waiting=waiting.of(document_id),
            reserved=waiting.reserved(document_id),
            results=Results.of(self.results.of(document_id)),
            ledger=self.costs.of_document(document_id),
            whole=key is not None and any(one.key == key for one in self.work.find(key)),
        )


@dataclass(slots=True)
class _Jobs:
    """What the jobs table says that other rules need."""

    unfinished: list[tuple[Row, list[Shard]]] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    base_models: set[str] = field(default_factory=set)
    reservations: dict[tuple[str, str], list[Row]] = field(default_factory=lambda: defaultdict(list))

    def add(self, row: Row, shards: list[Shard]) -> None:
        self.claimed.update(one.shard_id for one in shards)
        self.base_models.add(row["base_model"])
        for name in row["pipelines"]:
            self.reservations[name, row["reserve_day"]].append(row)
        self.reservations[STACK, row["reserve_day"][:7]].append(row)
        if row["status"] != JobStatus.CLOSED:
            self.unfinished.append((row, shards))


class _Ledger:
    """The entries of days by job; each day is read once."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._days: dict[str, Mapping[str, list[Row]]] = {}

    def of_job(self, row: Row) -> list[Row]:
        day = row["closed_at"][:10]
        if day not in self._days:
            by_job: dict[str, list[Row]] = defaultdict(list)
            for one in self._costs.of_day(day):
                by_job[one["job_id"]].append(one)
            self._days[day] = by_job
        return self._days[day].get(row["job_id"], [])


def _amount(name: str, row: Row, ledger: _Ledger) -> Amount:
    """Say what a job has of a budget: spent when it is closed, else reserved."""
    stack = name == STACK
    approved = Decimal(0) if stack else Decimal(row.get("approved", {}).get(name, 0))
    if row["status"] != JobStatus.CLOSED:
        reserved = row["pipelines"].values() if stack else [row["pipelines"][name]]
        return Amount(sum(map(Decimal, reserved), Decimal(0)), closed=False, approved=approved)
    mine = [one for one in ledger.of_job(row) if stack or one.get("pipeline") == name]
    spent = sum((Decimal(one["cost_usd"]) for one in mine), Decimal(0))
    return Amount(spent, closed=True, approved=approved)
