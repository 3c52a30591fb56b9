"""What documents can afford: which retries of a job their own budgets cover.

A document's row has `committed_usd`: what it has cost, and what its records on their way may cost at most.
Before a job's retries are registered, what the job has really cost each document takes the place of what
was committed for it, together with the most that the retries may cost: one update a document and job, under
the condition that the budget covers it. What was granted is written down before anything follows from it, so
a close that is repeated decides the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from batchline.aws import objects
from batchline.aws.booking import charge
from batchline.aws.control import Control
from batchline.aws.documents import Documents
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.retries import Retries
from batchline.models import Range
from batchline.money import budgets
from batchline.money.approvals import Approvals
from batchline.outcomes import Outcomes, Stretch, Tally

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Documents whose retries are covered, and those whose are not, with the reason.

    A document without a budget is in neither: its retries are not counted before they are paid.
    """

    granted: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Affording:
    """Asks documents' budgets."""

    documents: Documents
    jobs: Jobs
    control: Control
    work: Work
    pipelines: Pipelines
    retries: Retries

    def committed(self, job_id: str) -> dict[str, Decimal]:
        """Say what a job's records have committed of each document's budget, in USD."""
        found: dict[str, Decimal] = {}
        for shard in self.work.plan(job_id):
            # A shard that is older than this has committed nothing.
            for text, usd in zip(shard.ranges, shard.most_usd, strict=False):
                name = Range.parse(text).document_id
                found[name] = found.get(name, NOTHING) + usd
        return found

    def allow(
        self, row: Row, outcomes: Outcomes, committed: Mapping[str, Decimal], lease: JobLease
    ) -> Allowed:
        """Say which documents can afford their retries; always the same for a job."""
        if "allowed_key" in row:
            return self._pinned(row["allowed_key"])
        tallies = {name: (tally, first) for name, tally, first in _retried(outcomes)}
        if not tallies:
            return Allowed()
        allowed = self._ask(row, outcomes, committed, lease, tallies)
        key = ""
        if allowed != Allowed():
            key = objects.allowed_key(row["job_id"], lease.owner)
            stored = {"granted": sorted(allowed.granted), "refused": dict(allowed.refused)}
            self.work.put_json(key, stored)
        self.jobs.note(row["job_id"], owner=lease.owner, allowed_key=key)
        return allowed

    def _pinned(self, key: str) -> Allowed:
        if not key:
            return Allowed()
        stored = self.work.get_json(key)
        return Allowed(frozenset(stored["granted"]), stored["refused"])

    def _ask(
        self,
        row: Row,
        outcomes: Outcomes,
        committed: Mapping[str, Decimal],
        lease: JobLease,
        tallies: Mapping[str, tuple[Tally, Stretch]],
    ) -> Allowed:
        limits = self._limits({first.shard.pipeline for _, first in tallies.values()})
        limited = {name for name, (_, first) in tallies.items() if first.shard.pipeline in limits}
        if not limited:
            return Allowed()
        approvals = self.control.marks.approvals()
        again = self.retries.cost(row, outcomes, lease, limited)
        granted, refused = set(), {}
        for name in sorted(limited):
            tally, first = tallies[name]
            spent = charge(row, tally.usage).cost_usd
            release = committed.get(name, NOTHING) - spent
            limit = None if _is_approved(approvals, first) else limits[first.shard.pipeline]
            if why := self._grant(name, row["job_id"], again[name], release, limit):
                refused[name] = why
            else:
                granted.add(name)
        return Allowed(frozenset(granted), refused)

    def _grant(
        self, document_id: str, job_id: str, again: Decimal, release: Decimal, limit: Decimal | None
    ) -> str:
        """Commit what retries may cost. Returns why not; empty when it is done, now or before."""
        known = again.is_finite()
        if not known and limit is not None:
            return "No price is known for the model that would be asked again"
        net = (again if known else NOTHING) - release
        # What takes nothing more than it gives back was covered before.
        written = self.documents.progress.grant(document_id, job_id, net, limit if net > 0 else None)
        if written.done or (written.row and job_id in written.row.get("granted", ())):
            return ""
        held = Decimal(written.row.get("committed_usd", 0)) if written.row else NOTHING
        left = (limit or NOTHING) - held + release
        return (
            f"Asking again may cost the document {budgets.up(again)} USD, and budget.per_document_usd leaves "
            f"it {budgets.down(left)} of {limit}"
        )

    def _limits(self, pipelines: set[str]) -> dict[str, Decimal]:
        """Read what a document may cost, from the versions in force."""
        found = {}
        for name in pipelines:
            limit = budgets.per_document(self.pipelines.in_force(name))
            if limit is not None:
                found[name] = limit
        return found


def _is_approved(approvals: Approvals, one: Stretch) -> bool:
    return approvals.covers(one.document_id, one.shard.pipeline, one.shard.first_at)


def _retried(outcomes: Outcomes) -> Iterator[tuple[str, Tally, Stretch]]:
    """Yield documents of which a record is asked again, what the job did for them, their first range."""
    for document_id, group in groupby(outcomes.expected.stretches(), key=attrgetter("document_id")):
        stretches = list(group)
        tally = outcomes.tally(stretches[0].start, stretches[-1].stop)
        if tally.retried:
            yield document_id, tally, stretches[0]
