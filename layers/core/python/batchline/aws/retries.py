"""Retries: records of a job that are asked for again, as new shards.

The job's own shards are read again for what was asked; a record that needs another request gets one.
"""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from batchline import chunk, records
from batchline.aws import dynamo
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.shards import Contents, Shards
from batchline.errors import Code, LostRace, NotConserved
from batchline.ids import RecordId
from batchline.models import Range, Shard, Usage, timestamp
from batchline.money import budgets
from batchline.outcomes import SAME_ATTEMPT, Outcome, Outcomes

RETRY_RANGES: Final = 400  # keeps a retry shard's row far below 400 KB
# Another job that asks the same may take hours; what waits for it looks again so often.
LOOK_AGAIN: Final = timedelta(minutes=5)


@dataclass(slots=True)
class Growing:
    """Records that will be one shard: of one pipeline's version, for one model.

    `awaits` tells that another job asks the same; `copies` counts records whose request is also another's.
    """

    model: str
    first_at: str
    deadline_at: str | None
    awaits: bool = False
    copies: int = 0
    ranges: list[Range] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    longest: int = 0
    most_usd: list[Decimal] = field(default_factory=list)
    failures: int = 0

    def takes(self, line: bytes) -> bool:
        """Tell whether there is room for a line."""
        fits = chunk.fits(len(self.lines) + 1, self.size + len(line))
        return fits and len(self.ranges) < RETRY_RANGES

    def add(
        self,
        record: RecordId,
        line: bytes,
        demand: Usage,
        shard: Shard,
        *,
        most_usd: Decimal,
        failures: int = 0,
    ) -> None:
        """Add a record that came from this shard.

        `demand` are the tokens that it may take, `most_usd` is what it has committed of its document's
        budget; `failures` counts the whole jobs that failed with it.
        """
        self.failures = max(self.failures, failures)
        self.first_at = min(self.first_at, shard.first_at)
        deadlines = [at for at in (self.deadline_at, shard.deadline_at) if at]
        self.deadline_at = min(deadlines, default=None)
        last = self.ranges[-1] if self.ranges else None
        if last and record == RecordId(last.document_id, last.stage, last.first + last.count, last.attempt):
            self.ranges[-1] = Range(last.document_id, last.stage, last.first, last.count + 1, last.attempt)
            self.most_usd[-1] += most_usd
        else:
            self.ranges.append(Range(record.document_id, record.stage, record.index, 1, record.attempt))
            self.most_usd.append(most_usd)
        self.lines.append(line)
        self.size += len(line)
        self.input_tokens += demand.input_tokens
        self.output_tokens += demand.output_tokens
        self.longest = max(self.longest, demand.input_tokens)

    @property
    def contents(self) -> Contents:
        """The records as they are written."""
        return Contents(
            ranges=self.ranges,
            lines=self.lines,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            longest=self.longest,
            most_usd=self.most_usd,
        )


@dataclass(frozen=True, slots=True)
class Retries:
    """Registers further attempts."""

    jobs: Jobs
    work: Work
    shards: Shards
    pipelines: Pipelines
    wake_queue: Queue
    clock: Callable[[], datetime]

    def register(
        self,
        row: Row,
        outcomes: Outcomes,
        lease: JobLease,
        until: datetime,
        granted: AbstractSet[str] = frozenset(),
    ) -> bool:
        """Register what is asked for again, from where an earlier run has stopped.

        `granted` are documents whose budgets have committed to it.

        Tells whether all of it is registered; False when the time was up. Raises NotConserved when the
        job's shards do not hold all of it.
        """
        cursor = int(row["retry_cursor"])
        registered = 0
        for number, (owner, growing) in enumerate(self._groups(row, outcomes, lease, granted)):
            if number < cursor:
                continue
            if registered and self.clock() > until:
                return False
            self._register(row, number, owner, growing)
            registered += 1
        if registered:
            self.wake_queue.ring({"hop": 0})
        return True

    def _register(self, row: Row, number: int, owner: tuple[str, str], growing: Growing) -> None:
        name, version = owner
        shard = self.shards.write(
            f"{row['job_id']}-{number:05d}",
            growing.contents,
            name=name,
            pipeline=self.pipelines.get(name, version),
            version=version,
            now=self.clock(),
            model=growing.model,
            first_at=growing.first_at,
            deadline_at=growing.deadline_at,
            failures=growing.failures,
            not_before=timestamp(self.clock() + LOOK_AGAIN) if growing.awaits else None,
            distinct=len(growing.lines) - growing.copies if growing.copies else None,
        )
        try:
            self.shards.register(shard, [self.jobs.register_retry(row["job_id"], cursor=number)])
        except dynamo.Cancelled as cancelled:
            raise LostRace(row["job_id"]) from cancelled

    def cost(
        self, row: Row, outcomes: Outcomes, lease: JobLease, documents: AbstractSet[str]
    ) -> dict[str, Decimal]:
        """Say the most that the next attempts of documents may cost, in USD; BEYOND without a price."""
        found = dict.fromkeys(documents, Decimal(0))
        wanted = _wanted(outcomes)
        for shard in outcomes.expected.shards:
            if not wanted.get(shard.shard_id):
                continue
            for record, model, body, _ in self._asked_again(row, shard, outcomes, lease):
                if record.document_id in documents:
                    most = self._most(shard, record, model, records.demand(body, model))
                    found[record.document_id] += most if budgets.is_priced(model) else budgets.BEYOND
        return found

    def _most(self, shard: Shard, record: RecordId, model: str, demand: Usage) -> Decimal:
        pipeline = self.pipelines.asking(shard.pipeline, shard.version, record.stage)
        return budgets.dearest(demand, pipeline, model)

    def _groups(
        self, row: Row, outcomes: Outcomes, lease: JobLease, granted: AbstractSet[str]
    ) -> Iterator[tuple[tuple[str, str], Growing]]:
        """Yield the next attempts in shards, always the same ones in the same order."""
        wanted = _wanted(outcomes)
        by_owner: dict[tuple[str, str], list[Shard]] = {}
        for shard in outcomes.expected.shards:
            if wanted.get(shard.shard_id):
                by_owner.setdefault((shard.pipeline, shard.version), []).append(shard)
        for owner, shards in by_owner.items():
            growing: dict[tuple[str, bool], Growing] = {}
            failed = row["ended"] == "Failed"
            for shard in shards:
                found = 0
                for record, model, body, position in self._asked_again(row, shard, outcomes, lease):
                    line = orjson.dumps({"recordId": str(record), "modelInput": body}) + b"\n"
                    kind = model, outcomes.outcome[position] == Outcome.AWAIT
                    if kind in growing and not growing[kind].takes(line):
                        yield owner, growing.pop(kind)
                    one = growing.setdefault(
                        kind, Growing(model, shard.first_at, shard.deadline_at, awaits=kind[1])
                    )
                    demand = records.demand(body, model)
                    most = Decimal(0)
                    if record.document_id in granted:
                        most = self._most(shard, record, model, demand)
                    failures = shard.failures + failed
                    one.add(record, line, demand, shard, most_usd=most, failures=failures)
                    one.copies += outcomes.expected.fates.is_copy(position)
                    found += 1
                if found != wanted[shard.shard_id]:
                    message = f"{shard.key} holds {found} of {wanted[shard.shard_id]} records to ask again"
                    raise NotConserved(message)
            for one in growing.values():
                yield owner, one

    def _asked_again(
        self, row: Row, shard: Shard, outcomes: Outcomes, lease: JobLease
    ) -> Iterator[tuple[RecordId, str, dict[str, Any], int]]:
        """Yield a shard's records that are asked for again, with model, request and position so far."""
        for line in lease.keeping(self.work.lines(shard.key)):
            asked = orjson.loads(line)
            position = outcomes.expected.find(asked["recordId"])
            if position is None or outcomes.outcome[position] < Outcome.RETRY:
                continue
            record = outcomes.expected.record(position)
            outcome, code = outcomes.outcome[position], outcomes.code(position)
            model: str = row["model"]
            body = asked["modelInput"]
            attempt = record.attempt + (outcome not in SAME_ATTEMPT)
            if outcome == Outcome.ESCALATE:
                pipeline = self.pipelines.asking(shard.pipeline, shard.version, record.stage)
                model = pipeline.next_model(model) or model
                body = records.for_model(body, pipeline, model)
            elif outcome == Outcome.RETRY and code == Code.ANSWER_TRUNCATED:
                body = records.with_more_room(body, model)
            again = RecordId(record.document_id, record.stage, record.index, attempt)
            yield again, model, body, position


def _wanted(outcomes: Outcomes) -> dict[str, int]:
    """Count by shard the records that are asked for again."""
    found: dict[str, int] = {}
    for one in outcomes.expected.stretches():
        if again := outcomes.tally(one.start, one.stop).retried:
            found[one.shard.shard_id] = found.get(one.shard.shard_id, 0) + again
    return found
