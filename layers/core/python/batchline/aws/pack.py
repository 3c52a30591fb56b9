"""Pack: one packer at a time turns pending shards into open jobs.

The lease says who packs; its epoch fences a packer that was frozen and thaws too late. "Open job" is
one transaction: the fence, the job's row, its slot and its budgets. Deleting the pending rows after it
is garbage collection, which the next packer finishes if this one dies.
"""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from math import ceil
from typing import Final, Self

from batchline import catalog, ids, pack, prices, settings
from batchline.aws import clients, dynamo
from batchline.aws.control import Control, Lease
from batchline.aws.documents import Documents
from batchline.aws.jobs import Jobs, Opening
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.errors import Code, LostRace
from batchline.models import DocumentStatus, Engine, Failure, Range, Shard, Tier, Usage, timestamp
from batchline.pack import Planned

# The counted input may be low by so much; the reservation must not be.
INPUT_MARGIN: Final = Decimal("1.1")
LOSER_DELAY_SECONDS: Final = 2
MAX_HOPS: Final = 5
SOON_SECONDS: Final = 60

HELD_BECAUSE: Final = {
    Code.TOO_FEW: "Bedrock's batch needs at least {min_records} records and too_few is wait. The document "
    "goes on when more records of its model have arrived; upload more, or set too_few: on_demand.",
    Code.BUDGET_EXCEEDED: "The pipeline's budget of {per_day_usd} USD per day has no room for its records. "
    "The document goes on when a day (UTC) has; to go on sooner raise budget.per_day_usd and upload the "
    "pipeline again.",
}


@dataclass(frozen=True, slots=True)
class Packed:
    """What one run has done."""

    jobs: tuple[str, ...] = ()
    held: int = 0


@dataclass(frozen=True, slots=True)
class Packer:
    """Opens jobs. `slot_share` is the percentage of a model's job quota that we may use."""

    control: Control
    jobs: Jobs
    documents: Documents
    work: Work
    pipelines: Pipelines
    jobs_queue: Queue
    on_demand_queue: Queue
    wake_queue: Queue
    slot_share: int
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Pack, clock: Callable[[], datetime]) -> Self:
        control = Control(clients.dynamodb(), env.control_table)
        work = Work(clients.s3(), env.work_bucket)
        return cls(
            control=control,
            jobs=Jobs(clients.dynamodb(), env.jobs_table),
            documents=Documents(clients.dynamodb(), env.documents_table),
            work=work,
            pipelines=Pipelines(control, work),
            jobs_queue=Queue(clients.sqs(), env.jobs_queue),
            on_demand_queue=Queue(clients.sqs(), env.on_demand_queue),
            wake_queue=Queue(clients.sqs(), env.wake_queue),
            slot_share=env.slot_share,
            clock=clock,
        )

    def run(self, owner: str, *, hop: int = 0) -> Packed:
        """Pack every lane once, unless another packer does. `hop` counts repeated wakes."""
        lease = self.control.take_pack_lease(owner, self.clock().timestamp())
        if lease is None:
            if hop < MAX_HOPS:
                self.wake_queue.ring({"hop": hop + 1}, delay_seconds=LOSER_DELAY_SECONDS)
            return Packed()
        try:
            if lease.open_job:
                self._claim(lease.open_job)
            opened: list[str] = []
            held = 0
            soon: list[str] = []
            for lane in self.control.lanes():
                done, due = self._pack_lane(lease, lane.name)
                opened += done.jobs
                held += done.held
                soon += [due] if due else []
            self._wake_for(soon)
            return Packed(tuple(opened), held)
        except LostRace:
            return Packed()
        finally:
            self.control.return_pack_lease(lease.epoch)

    def _pack_lane(self, lease: Lease, lane: str) -> tuple[Packed, str | None]:
        """Plan a lane and open its jobs; also say when its next record becomes urgent."""
        model = lane.partition("#")[0]
        limits, known = catalog.limits(model), catalog.model(model)
        now = self.clock()
        slots = self.control.slots(known.base_id)
        cap = limits.slots(self.slot_share)
        shards = self._oldest(lane, limits.max_records * (slots.free(cap, now.timestamp()) + 1))
        if not shards:
            return Packed(), None
        room = self._room(shards, now)
        planned = pack.plan(
            shards,
            now=timestamp(now),
            limits=limits,
            batch=known.batch,
            free_slots=slots.free(cap, now.timestamp()),
            room=room,
            cost=lambda shard, engine, tier: _most([shard], engine, tier)[shard.pipeline],
        )
        opened = [job for one in planned.jobs if (job := self._open(lease, one))]
        resumed = {name for job in planned.jobs for one in job.shards if one.held for name in _documents(one)}
        held = sum(self._hold(shard, code, resumed) for shard, code in planned.held)
        return Packed(tuple(opened), held), pack.next_due(shards, timestamp(now))

    def _oldest(self, lane: str, records: int) -> list[Shard]:
        """Read pending shards, oldest first, until there is more than can be opened now."""
        read = 0

        def wanted(shard: Shard) -> bool:
            nonlocal read
            read += shard.records
            return read - shard.records < records

        return list(takewhile(wanted, self.control.pending(lane)))

    def _room(self, shards: Iterable[Shard], now: datetime) -> dict[str, Decimal]:
        """Say what is left today for each pipeline that has a budget, in USD."""
        room = {}
        for name in {one.pipeline for one in shards}:
            if (limit := self._per_day(name)) is not None:
                room[name] = limit - self.control.committed(name, timestamp(now)[:10])
        return room

    def _per_day(self, name: str) -> Decimal | None:
        """Read a pipeline's budget from the version in force, whichever version made the records."""
        version = self.pipelines.current(name)
        budget = self.pipelines.get(name, version).budget if version else None
        return budget.per_day_usd if budget else None

    def _open(self, lease: Lease, planned: Planned) -> str | None:
        """Open one job. None: its slot or a budget was gone. Raises LostRace when fenced off."""
        now = self.clock()
        day = timestamp(now)[:10]
        job_id = ids.job_id(now)
        reserved = _most(planned.shards, planned.engine, planned.tier)
        self.work.put_plan(job_id, planned.shards)
        opening = _opening(planned, job_id, reserved, timestamp(now))
        writes = [
            self.control.fence(lease.epoch, job_id, now.timestamp()),
            self.jobs.opened(opening),
        ]
        if planned.engine is Engine.BATCH:
            cap = catalog.limits(opening.model).slots(self.slot_share)
            writes.append(self.control.take_slot(opening.base_model, job_id, cap))
        first_budget = len(writes)
        names = list(reserved)
        writes += [self.control.reserve(name, day, reserved[name], self._per_day(name)) for name in names]
        try:
            dynamo.transact(self.control.client, writes)
        except dynamo.Cancelled as cancelled:
            if cancelled.failed(0):
                raise LostRace from cancelled
            poor = {n for p, n in enumerate(names, first_budget) if cancelled.failed(p)}
            for shard in planned.shards:
                if shard.pipeline in poor:
                    self._hold(shard, Code.BUDGET_EXCEEDED)
            return None
        self._claim(job_id)
        return job_id

    def _claim(self, job_id: str) -> None:
        """Take an open job's shards out of the pending ones and announce it. Safe to repeat."""
        shards = self.work.get_plan(job_id)
        for shard in shards:
            if shard.held:
                for document_id in _documents(shard):
                    self.documents.resume(document_id, shard.held)
        self.control.claimed(shards)
        self.control.job_announced(job_id)
        row = self.jobs.get(job_id)
        if row is not None:
            batch = row["engine"] == Engine.BATCH
            (self.jobs_queue if batch else self.on_demand_queue).ring({"job_id": job_id})

    def _hold(self, shard: Shard, code: Code, resumed: AbstractSet[str] = frozenset()) -> bool:
        """Let a shard's documents rest, once. Its records stay pending.

        `resumed` are documents that another of their shards has just set going again.
        """
        documents = _documents(shard)
        if shard.held == code:
            documents &= resumed
        if not documents:
            return False
        per_day = self._per_day(shard.pipeline)
        minimum = catalog.limits(shard.model).min_records
        message = HELD_BECAUSE[code].format(min_records=minimum, per_day_usd=per_day)
        for document_id in documents:
            if shard.held:
                self.documents.resume(document_id, shard.held)
            found = self.documents.rest(document_id, shard.pipeline, Failure(code, message)).row
            if found is not None and found["status"] == DocumentStatus.CHUNKING:
                return False  # it can rest when it is sealed; a later run sees to it
        self.control.mark_held(shard, code)
        return True

    def _wake_for(self, due: Iterable[str]) -> None:
        """Ring again for a record that becomes urgent before the schedule comes round."""
        now = self.clock()
        if not (first := min(due, default=None)):
            return
        seconds = ceil((datetime.fromisoformat(first) - now).total_seconds())
        if seconds < SOON_SECONDS:
            self.wake_queue.ring({"hop": 0}, delay_seconds=max(1, seconds))


def _documents(shard: Shard) -> set[str]:
    return {Range.parse(text).document_id for text in shard.ranges}


def _opening(planned: Planned, job_id: str, reserved: dict[str, Decimal], at: str) -> Opening:
    first = planned.shards[0]
    return Opening(
        job_id=job_id,
        engine=planned.engine,
        tier=planned.tier,
        model=first.model,
        base_model=catalog.model(first.model).base_id,
        lane=first.lane,
        records=planned.records,
        bytes=sum(one.bytes for one in planned.shards),
        shards=len(planned.shards),
        input_tokens=sum(one.input_tokens for one in planned.shards),
        output_tokens=sum(one.output_tokens for one in planned.shards),
        reserved=reserved,
        created_at=at,
        why=planned.why,
    )


def _most(shards: Iterable[Shard], engine: Engine, tier: Tier) -> dict[str, Decimal]:
    """Say the most that shards may cost, by pipeline, in USD."""
    totals: dict[str, Decimal] = {}
    for one in shards:
        usage = Usage(ceil(one.input_tokens * INPUT_MARGIN), one.output_tokens)
        cost = prices.price(one.model, engine, tier).cost(usage)
        totals[one.pipeline] = totals.get(one.pipeline, Decimal(0)) + cost
    return totals
