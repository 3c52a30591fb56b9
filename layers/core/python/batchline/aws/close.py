"""Closing a job: duplicates and missing records are decided, retries registered, money booked.

plan.json + part summaries → rows of records without a line → retries → ledger and documents → the job's
last transaction. Every step may be repeated: what it decides is the same each time, and what must happen
once has a guard of its own. When the time is up it stops at a cursor, and the next run goes on from there.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import batched, groupby
from operator import attrgetter
from typing import Any, Final

from batchline import collect
from batchline.aws import booking, clients, dynamo, objects
from batchline.aws.afford import Affording, Allowed
from batchline.aws.booking import charge
from batchline.aws.control import Control
from batchline.aws.control.lanes import PAUSED_AFTER
from batchline.aws.costs import Costs
from batchline.aws.documents import Documents
from batchline.aws.documents.progress import settled
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.output import OutputReader, error
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.results import Results, result_row
from batchline.aws.retries import Retries
from batchline.cancel import Cancels
from batchline.collect import CANCELLED, NOT_SENT, Ending
from batchline.errors import Code, LostRace
from batchline.models import Engine, Failure, JobStatus, Stop, Usage, timestamp
from batchline.money import overhead, prices
from batchline.money.budgets import STACK
from batchline.outcomes import Expected, Outcome, Outcomes, Stretch, Tally

WRITERS: Final = 8
DOCUMENTS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Closed:
    """A job that is closed: its row, and what somebody should be told of.

    `difference` says by how much the job's sums do not add up; `paused` whether its lane is, from now on.
    """

    row: Row
    difference: Mapping[str, int]
    paused: bool


@dataclass(frozen=True, slots=True)
class Closer:
    """Closes jobs of which every part has been read."""

    jobs: Jobs
    documents: Documents
    results: Results
    costs: Costs
    control: Control
    work: Work
    pipelines: Pipelines
    output: OutputReader
    retries: Retries
    affording: Affording
    documents_queue: Queue
    clock: Callable[[], datetime]

    def begin(self, row: Row, expected: Expected, lease: JobLease) -> Row:
        """Move a job on from COLLECTING to CLOSING, and pin what is cancelled and what its overhead is.

        A close that is repeated decides the same, whatever has been cancelled meanwhile.
        """
        attributes: dict[str, Any] = {}
        cancels = self._touching(expected)
        if cancels:
            key = objects.cancels_key(row["job_id"], lease.owner)
            stored = {"documents": sorted(cancels.documents), "pipelines": dict(cancels.pipelines)}
            self.work.put_json(key, stored)
            attributes["cancels_key"] = key
        attributes["overhead_usd"] = self._overhead(row, expected)
        at = timestamp(self.clock())
        return self.jobs.move(
            row,
            JobStatus.CLOSING,
            owner=lease.owner,
            at=at,
            closed_at=at,
            retry_cursor=0,
            close_cursor=0,
            **attributes,
        )

    def _overhead(self, row: Row, expected: Expected) -> Decimal:
        """Say what the pipeline itself has spent on a job so far, and will for its close, in USD."""
        meter = clients.meter()
        documents = sum(1 for _ in groupby(expected.stretches(), key=attrgetter("document_id")))
        to_come = overhead.closing(documents, len(row["pipelines"]))
        return overhead.booked(Decimal(row.get("runs_usd", 0)) + meter.spent() + meter.usd(to_come))

    def _touching(self, expected: Expected) -> Cancels:
        """Read what is cancelled of a job's records."""
        known = self.control.marks.cancels()
        if not known:
            return known
        found = [one for one in expected.stretches() if known.covers(one.shard, one.document_id)]
        names = {one.shard.pipeline for one in found}
        return Cancels(
            known.documents.intersection(one.document_id for one in found),
            {name: known.pipelines[name] for name in names & known.pipelines.keys()},
        )

    def close(self, row: Row, expected: Expected, lease: JobLease, until: datetime) -> Closed | None:
        """Close a job in CLOSING. None: the time was up, and there is more to do."""
        above = prices.long_above(row["model"], at=row["created_at"])
        outcomes = Outcomes(expected, long_above=above)
        for number in range(row["parts"]):
            outcomes.merge(number, self.output.summaries(row["job_id"], number))
            lease.keep()
        decided = self._decided(row, outcomes)
        if row["close_cursor"] == 0:
            self.results.put(lease.keeping(decided))
            for number, positions in outcomes.rewritten().items():
                self.output.rewrite(row, number, expected, positions, lease.keep)
        else:
            # Rows and retries are written; only the decisions are needed again.
            for _ in decided:
                pass
        committed = self.affording.committed(row["job_id"])
        allowed = self.affording.allow(row, outcomes, committed, lease)
        self.results.put(lease.keeping(self._too_dear(row, outcomes, allowed)))
        if row["close_cursor"] == 0 and not self.retries.register(
            row, outcomes, lease, until, allowed.granted
        ):
            return None
        if not self._account(row, outcomes, lease, until, committed, allowed):
            return None
        return self._finish(row, outcomes, lease)

    def _decided(self, row: Row, outcomes: Outcomes) -> Iterator[Row]:
        """Decide the records that no line tells of, and those that are cancelled before their next attempt.

        Yields the rows of those that end here.
        """
        stop = row.get("stop")
        ending = Ending(row["ended"], row["ended_message"], Stop(stop) if stop else None)
        cancels = self._pinned(row)
        for one in outcomes.expected.stretches():
            cancelled = cancels.covers(one.shard, one.document_id)
            yield from self._missing(row, outcomes, one, ending, cancelled=cancelled)
            if cancelled:
                for position in range(one.start, one.stop):
                    if outcomes.outcome[position] >= Outcome.RETRY:
                        outcomes.decide(position, Outcome.FAILED, CANCELLED.code)
                        yield self._row(row, outcomes, position, CANCELLED)

    def _too_dear(self, row: Row, outcomes: Outcomes, allowed: Allowed) -> Iterator[Row]:
        """End the records that their documents' budgets do not let ask again; yield their rows."""
        for one in outcomes.expected.stretches() if allowed.refused else ():
            if (why := allowed.refused.get(one.document_id)) is None:
                continue
            for position in range(one.start, one.stop):
                if outcomes.outcome[position] >= Outcome.RETRY:
                    last = outcomes.code(position)
                    message = f"{why}. Its last attempt ended as {last}." if last else f"{why}."
                    outcomes.decide(position, Outcome.FAILED, Code.BUDGET_EXCEEDED)
                    yield self._row(row, outcomes, position, Failure(Code.BUDGET_EXCEEDED, message))

    def _missing(
        self, row: Row, outcomes: Outcomes, one: Stretch, ending: Ending, *, cancelled: bool
    ) -> Iterator[Row]:
        for position in outcomes.without_line(one.start, one.stop):
            stage = outcomes.expected.record(position).stage
            verdict = collect.missing(
                ending,
                self.pipelines.asking(one.shard.pipeline, one.shard.version, stage),
                model=row["model"],
                attempt=one.attempt,
                failures=one.shard.failures,
                cancelled=cancelled,
                elsewhere=position in outcomes.expected.fates.elsewhere,
            )
            outcomes.decide(position, verdict.outcome, verdict.failure.code if verdict.failure else "")
            if verdict.outcome == Outcome.FAILED and verdict.failure:
                yield self._row(row, outcomes, position, verdict.failure)

    def _row(self, row: Row, outcomes: Outcomes, position: int, failure: Failure) -> Row:
        record, usage = outcomes.expected.record(position), outcomes.usage(position)
        return result_row(row, record, usage=usage, days=self.output.kept_days, error=error(failure))

    def _pinned(self, row: Row) -> Cancels:
        if "cancels_key" not in row:
            return Cancels()
        stored = self.work.get_json(row["cancels_key"])
        return Cancels(frozenset(stored["documents"]), stored["pipelines"])

    def _account(
        self,
        row: Row,
        outcomes: Outcomes,
        lease: JobLease,
        until: datetime,
        committed: Mapping[str, Decimal],
        allowed: Allowed,
    ) -> bool:
        """Book and count each document once, and ring aggregate for those that are settled now.

        Tells whether all are; False when the time was up.
        """
        tags = self._tags(outcomes.expected)

        def account(document: booking.Share) -> str | None:
            document_id, _, tally, _, overhead_usd = document
            spent = replace(charge(row, tally.usage), overhead_usd=overhead_usd)
            changed = spent.cost_usd - committed.get(document_id, Decimal(0))
            written = self.documents.progress.account(
                document_id,
                row["job_id"],
                succeeded=tally.succeeded,
                failed=tally.failed,
                usage=tally.usage,
                charge=spent,
                reused=booking.reused(row, tally),
                committed=Decimal(0) if document_id in allowed.granted else changed,
            )
            return document_id if settled(written.row) else None

        cursor = int(row["close_cursor"])
        with ThreadPoolExecutor(WRITERS) as pool:
            documents = booking.shares(row, outcomes, cursor)
            for group in batched(documents, DOCUMENTS_AT_ONCE, strict=False):
                self.costs.book(
                    booking.document(
                        row,
                        one.document_id,
                        one.tally,
                        region=self.costs.region,
                        pipeline=one.pipeline,
                        overhead_usd=one.overhead_usd,
                        tags=tags[one.pipeline],
                    )
                    for one in group
                )
                done = list(lease.keeping(pool.map(account, group)))
                self.documents_queue.ring_all({"document_id": one} for one in done if one)
                cursor = group[-1].stop
                if cursor < len(outcomes.expected):
                    self.jobs.note(row["job_id"], owner=lease.owner, close_cursor=cursor)
                    if self.clock() > until:
                        return False
        return True

    def _finish(self, row: Row, outcomes: Outcomes, lease: JobLease) -> Closed:
        """Write the job's own entries; then end it, free its slot and settle its budgets, all at once."""
        by_pipeline = _by_pipeline(outcomes)
        total = Tally()
        for tally in by_pipeline.values():
            total += tally
        borne = booking.borne(row, outcomes.expected)
        manifest = self._manifest(row)
        unowned = outcomes.unowned
        if manifest:
            # A manifest knows nothing of prompt caches or of reasoning: those of the lines hold.
            unowned += manifest - total.usage.counted - unowned.counted
        difference = collect.difference(
            outcomes, records=row["records"], booked=total.usage, manifest=manifest
        )
        entries = booking.job(
            row,
            by_pipeline,
            borne,
            region=self.costs.region,
            booked=total,
            unowned=unowned,
            manifest=manifest,
            tags=self._tags(outcomes.expected),
        )
        self.costs.book(entries)
        attributes = _attributes(row, outcomes, total, total.usage + unowned)
        if difference:
            attributes["difference"] = difference
        lane, paused = self._lane(row, total, attributes, outcomes.expected.fates.left_out)
        writes = [
            self.jobs.moved(
                row, JobStatus.CLOSED, owner=lease.owner, at=timestamp(self.clock()), attributes=attributes
            ),
            *lane,
        ]
        if row["engine"] == Engine.BATCH:
            writes.append(self.control.slots.freed(row["base_model"], row["job_id"]))
        writes += self._settled(row, by_pipeline, attributes["cost_usd"])
        try:
            dynamo.transact(self.control.client, writes)
        except dynamo.Cancelled as cancelled:
            raise LostRace(row["job_id"]) from cancelled
        return Closed(row | attributes | {"status": JobStatus.CLOSED}, difference, paused)

    def _settled(self, row: Row, by_pipeline: Mapping[str, Tally], total: Decimal) -> Iterator[Row]:
        """Settle the budgets: the pipelines' by what is theirs, the stack's by all that was charged."""
        budgets, day = self.control.budgets, row["reserve_day"]
        reserved = {name: Decimal(usd) for name, usd in row["pipelines"].items()}
        for name, usd in reserved.items():
            spent = charge(row, by_pipeline.get(name, Tally()).usage).cost_usd
            yield budgets.settle(name, day, reserved=usd, spent=spent)
        yield budgets.settle(STACK, day[:7], reserved=sum(reserved.values(), Decimal(0)), spent=total)

    def _tags(self, expected: Expected) -> dict[str, Mapping[str, str]]:
        """Read the tags of a job's pipelines, of the version that its last records are of."""
        versions = {one.shard.pipeline: one.shard.version for one in expected.stretches()}
        return {name: self.pipelines.get(name, version).tags for name, version in versions.items()}

    def _lane(self, row: Row, total: Tally, attributes: Row, left_out: int) -> tuple[list[Row], bool]:
        """Build what the job's end means for its lane, and tell whether that pauses it."""
        works = collect.lane_works(
            engine=Engine(row["engine"]),
            stopped="stop" in row,
            tally=total,
            codes=attributes["codes"],
            left_out=left_out,
        )
        lane = self.control.lanes.get(row["lane"])
        fails = lane.fails if lane else 0
        if works is False:
            return [self.control.lanes.failed(row["lane"], attributes["message"])], fails + 1 == PAUSED_AFTER
        if works and 0 < fails < PAUSED_AFTER:
            return [self.control.lanes.succeeded(row["lane"])], False
        return [], False

    def _manifest(self, row: Row) -> Usage | None:
        """Read what Bedrock says it has counted. None: it says nothing."""
        for one in self.work.find(objects.output_prefix(row["job_id"])):
            if one.key.endswith("/manifest.json.out"):
                counts = self.work.get_json(one.key)
                return Usage(counts["inputTokenCount"], counts["outputTokenCount"])
        return None


def _by_pipeline(outcomes: Outcomes) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    for one in outcomes.expected.stretches():
        tally = found.setdefault(one.shard.pipeline, Tally())
        tally += outcomes.tally(one.start, one.stop, attempt=one.attempt)
    return found


def _attributes(row: Row, outcomes: Outcomes, total: Tally, usage: Usage) -> Row:
    """Say on the job's row what became of it."""
    codes = outcomes.codes()
    spent = charge(row, usage)
    return {
        "counts": {
            "succeeded": total.succeeded,
            "failed": total.failed,
            "retried": total.retried,
            "missing": outcomes.missing,
            "duplicates": outcomes.duplicates,
            "foreign": outcomes.foreign,
        },
        "codes": dict(codes),
        "examples": outcomes.examples(),
        **usage.told(),
        "cost_usd": spent.cost_usd,
        "saved_usd": spent.saved_usd,
        "message": _message(row, total, codes),
        **booking.reused(row, total),
    }


def _message(row: Row, total: Tally, codes: Mapping[str, int]) -> str:
    """Say in one sentence what is wrong with the job; empty when nothing is."""
    if row["ended"] == NOT_SENT:
        known = f"{total.cached} records were answered before, " if total.cached else ""
        return f"Nothing was sent: {known}{total.failed} are cancelled, {total.retried} wait for a job."
    if row["ended_message"]:
        return str(row["ended_message"])
    if codes and total.succeeded == total.cached:
        worst = max(codes, key=lambda one: codes[one])
        asked = "No record that was sent" if total.cached else "No record"
        return f"{asked} succeeded: {codes[worst]} of {total.records} ended as {worst}."
    return ""
