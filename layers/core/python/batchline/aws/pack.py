"""Pack: one packer at a time turns pending shards into open jobs.

The lease says who packs; its epoch fences a packer that was frozen and thaws too late. "Open job" is
one transaction: the fence, the job's row, its slot and its budgets. Deleting the pending rows after it
is garbage collection, which the next packer finishes if this one dies or runs out of time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import batched, chain, groupby
from math import ceil
from operator import attrgetter
from typing import Final, Self

from batchline import catalog, ids, pack, settings
from batchline.aws import clients, dynamo
from batchline.aws.apart import Parting
from batchline.aws.control import Control
from batchline.aws.control.lanes import Lane
from batchline.aws.control.pack_lease import Lease
from batchline.aws.documents import Documents
from batchline.aws.jobs import Jobs, Opening
from batchline.aws.means import Means
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.resting import Resting
from batchline.cancel import Cancels, documents_of
from batchline.errors import Code, LostRace
from batchline.models import DocumentStatus, Engine, Shard, Tier, timestamp
from batchline.money import overhead, prices
from batchline.money.approvals import Approvals
from batchline.money.budgets import STACK, Lack
from batchline.pack import Planned

LOSER_DELAY_SECONDS: Final = 2
MAX_HOPS: Final = 5
SOON_SECONDS: Final = 60
# Shards that are claimed before the clock is read again, and calls that are made at once.
CLAIMED_AT_ONCE: Final = 200
CALLS_AT_ONCE: Final = 8


class OutOfTime(Exception):
    """The function must end soon. What is left is for the next run, which is rung for."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What one run has done."""

    jobs: tuple[str, ...] = ()
    held: int = 0


@dataclass(frozen=True, slots=True)
class Packer:
    """Opens jobs.

    `slot_share` is the percentage of a model's job quota that we may use, `per_month` what the stack may
    spend in a month, in USD.
    """

    control: Control
    jobs: Jobs
    documents: Documents
    work: Work
    pipelines: Pipelines
    jobs_queue: Queue
    on_demand_queue: Queue
    documents_queue: Queue
    job_events_queue: Queue
    wake_queue: Queue
    slot_share: int
    per_month: Decimal | None
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
            documents_queue=Queue(clients.sqs(), env.documents_queue),
            job_events_queue=Queue(clients.sqs(), env.job_events_queue),
            wake_queue=Queue(clients.sqs(), env.wake_queue),
            slot_share=env.slot_share,
            per_month=env.budget_per_month,
            clock=clock,
        )

    def run(self, owner: str, *, until: datetime, hop: int = 0) -> Packed:
        """Pack every lane once, unless another packer does; begin nothing after `until`.

        `hop` counts the wakes that found another packer at work. What is left over, for want of time or
        because only a part was read, is rung for.
        """
        lease = self.control.pack_lease.take(owner, self.clock().timestamp())
        if lease is None:
            if hop < MAX_HOPS:
                self.wake_queue.ring({"hop": hop + 1}, delay_seconds=LOSER_DELAY_SECONDS)
            return Packed()
        clients.meter().begin(self.clock)
        means = Means(self.control, self.documents, self.pipelines, self.per_month)
        run = _Run(self, lease, means, until)
        try:
            run.go()
        except LostRace:
            return Packed(tuple(run.opened), run.held)
        finally:
            self.control.pack_lease.give_back(lease.epoch)
        # Not before the lease is back: whoever is rung would find it taken.
        self._wake(run)
        return Packed(tuple(run.opened), run.held)

    def _wake(self, run: "_Run") -> None:
        """Ring for what is left over, or for what becomes urgent before the schedule comes round."""
        if run.again:
            self.wake_queue.ring({"hop": 0})
        elif run.due:
            left = datetime.fromisoformat(min(run.due)) - self.clock()
            if (seconds := ceil(left.total_seconds())) < SOON_SECONDS:
                self.wake_queue.ring({"hop": 0}, delay_seconds=max(1, seconds))

    def bell(self, engine: Engine) -> Queue:
        """Name the queue of the stage that takes an open job."""
        return {
            Engine.BATCH: self.jobs_queue,
            Engine.ON_DEMAND: self.on_demand_queue,
            Engine.NOBODY: self.job_events_queue,
        }[engine]


@dataclass(slots=True)
class _Run:
    """One run of a packer under its lease."""

    packer: Packer
    lease: Lease
    means: Means
    until: datetime
    opened: list[str] = field(default_factory=list)
    held: int = 0
    due: list[str] = field(default_factory=list)
    again: bool = False
    _over: list[tuple[Shard, Lack]] = field(default_factory=list)
    _cancels: Cancels = field(default_factory=Cancels)

    def go(self) -> None:
        """Finish what an earlier run has left, then pack lane by lane. Raises LostRace when fenced off."""
        control = self.packer.control
        try:
            if job_id := self.lease.open_job:
                self._finish(job_id)
            self._cancels, self.means.approvals = control.marks.cancels(), control.marks.approvals()
            lanes = sorted(control.lanes.all(), key=lambda one: (_base(one), one.name))
            for base_model, some in groupby(lanes, key=_base):
                self._pack(base_model, tuple(some))
        except OutOfTime:
            self.again = True

    def _pack(self, base_model: str, lanes: Sequence[Lane]) -> None:
        """Plan the lanes that share a model's slots, and open their jobs."""
        now, packer = self._now(), self.packer
        slots = packer.control.slots.get(base_model)
        free = slots.free(self._cap(lanes[0].model), now.timestamp())
        queues = {lane.name: self._queues(lane, slots.turn, timestamp(now)) for lane in lanes}
        room = self.means.room({name for some in queues.values() for name in some}, now)
        work: list[pack.Lane] = []
        more = False
        for lane in lanes:
            limits, known = catalog.limits(lane.model), catalog.model(lane.model)
            engine = Engine.BATCH if known.batch else Engine.ON_DEMAND
            jobs = free + 1 if known.batch and not lane.paused else 1
            pending = pack.read(
                queues[lane.name],
                jobs=jobs,
                limits=limits,
                engine=engine,
                room=room,
                cost=pack.budgeted,
                approvals=self.means.approvals,
            )
            more = more or pending.more
            self.due += filter(None, [pack.next_due(pending.shards, timestamp(now))])
            work.append(pack.Lane(lane.name, pending.shards, limits, known.batch, lane.paused))
        planned = pack.plan(
            work,
            now=timestamp(now),
            free_slots=free,
            turn=slots.turn,
            room=room,
            cost=pack.budgeted,
            cancels=self._cancels,
            approvals=self.means.approvals,
        )
        planning = clients.meter().lap() / max(1, len(planned.jobs))
        opened = [one for one in planned.jobs if self._open(one, planning)]
        clients.meter().lap()  # what opening took was foreseen
        self.again = self.again or (more and bool(opened))
        resumed = {name for job in opened for one in job.shards if one.held for name in documents_of(one)}
        reasons = {lane.name: lane.reason for lane in lanes}
        resting = Resting(packer.documents, packer.control, packer.documents_queue, self.means, packer.clock)
        for shard, code in planned.held:
            self._now()
            lack = planned.lacks.get(shard.shard_id)
            self.held += resting.rest(shard, code, reasons[shard.lane], resumed, lack=lack)
        while self._over:
            shard, lack = self._over.pop()
            self._now()
            self.held += resting.rest(shard, Code.BUDGET_EXCEEDED, lack=lack)

    def _queues(self, lane: Lane, turn: str, now: str) -> dict[str, Iterator[Shard]]:
        """Begin to read what may be packed of a lane, by pipeline, in the order in which they are served."""
        queues: dict[str, Iterator[Shard]] = {}
        by_party = {pack.party(lane.name, name): name for name in lane.pipelines}
        for one in pack.circle(by_party, turn):
            pending = self.packer.control.pending.of(lane.name, by_party[one])
            shards = self._ready(
                shard for shard in pending if not shard.not_before or shard.not_before <= now
            )
            if (first := next(shards, None)) is not None:
                queues[by_party[one]] = chain([first], shards)
        return queues

    def _ready(self, shards: Iterable[Shard]) -> Iterator[Shard]:
        """Yield what may be asked now: of a document with a budget of its own nothing until it is covered."""
        for shard in chain.from_iterable(map(self._parted, shards)):
            if not shard.guarded or self._cancels.touched([shard]):
                yield shard
                continue
            row = self.means.document(shard)
            if not row["sealed"]:
                continue
            if lack := self.means.lack(shard, row):
                self._over.append((shard, lack))
            elif row["status"] == DocumentStatus.HELD and shard.held is None:
                # Another of its shards was marked; with any of them the document goes on.
                yield shard.model_copy(update={"held": row["error"]["code"]})
            else:
                yield shard

    def _parted(self, shard: Shard) -> tuple[Shard, ...]:
        """Set apart what is approved of a shard that is held for a budget."""
        approved = self.means.approvals.of(shard) if shard.held == Code.BUDGET_EXCEEDED else frozenset()
        if not approved or approved == documents_of(shard):
            return (shard,)
        parting = Parting(self.packer.control, self.packer.work, self.lease.epoch)
        return parting.part(shard, approved, self._now().timestamp())

    def _open(self, planned: Planned, planning: Decimal) -> bool:
        """Open one job, of which the planning has taken so many USD.

        False: its slot or a budget was gone. Raises LostRace when fenced off.
        """
        now = self._now()
        packer, control = self.packer, self.packer.control
        job_id = ids.job_id(now)
        opening = _opening(planned, job_id, timestamp(now), planning, self.means.approvals)
        packer.work.put_plan(job_id, planned.shards)
        writes = [
            control.pack_lease.fence(self.lease.epoch, job_id, now.timestamp()),
            packer.jobs.opened(opening),
        ]
        if planned.engine is Engine.BATCH:
            cap = self._cap(opening.model)
            writes.append(control.slots.take(opening.base_model, job_id, cap, planned.turn))
        first_budget = len(writes)
        names = [*opening.reserved, STACK] if planned.engine is not Engine.NOBODY else []
        writes += [self.means.reserve(name, opening) for name in names]
        try:
            dynamo.transact(control.client, writes)
        except dynamo.Cancelled as cancelled:
            if cancelled.failed(0):
                raise LostRace from cancelled
            poor = {name for n, name in enumerate(names, first_budget) if cancelled.failed(n)}
            # Somebody else has spent since the plan was made; the next one says who rests.
            # What shared the job with them need not wait for the next minute.
            self.again = self.again or bool(poor)
            return False
        self.opened.append(job_id)
        self._claim(job_id, planned.engine, planned.shards)
        return True

    def _finish(self, job_id: str) -> None:
        """Go on with a job that another run has opened and not announced."""
        row = self.packer.jobs.get(job_id)
        shards = self.packer.control.pending.unclaimed(self.packer.work.get_plan(job_id))
        if row is not None:
            self._claim(job_id, Engine(row["engine"]), shards)

    def _claim(self, job_id: str, engine: Engine, shards: Iterable[Shard]) -> None:
        """Take an open job's shards out of the pending ones and announce it. Safe to repeat."""
        packer = self.packer
        for some in batched(shards, CLAIMED_AT_ONCE, strict=False):
            self._now()
            resting = {(name, one.held) for one in some if one.held for name in documents_of(one)}
            _at_once(lambda pair: packer.documents.waiting.resume(*pair), resting)
            _at_once(packer.control.pending.claimed, batched(some, dynamo.BATCH_WRITES, strict=False))
        packer.control.pack_lease.announced(job_id)
        packer.bell(engine).ring({"job_id": job_id})

    def _cap(self, model: str) -> int:
        return catalog.limits(model).slots(self.packer.slot_share)

    def _now(self) -> datetime:
        """Tell the time. Raises OutOfTime when no more may be begun."""
        if (now := self.packer.clock()) >= self.until:
            raise OutOfTime
        return now


def _base(lane: Lane) -> str:
    return catalog.base_id(lane.model)


def _at_once[T](do: Callable[[T], object], items: Iterable[T]) -> None:
    """Call for each item, several at a time."""
    everything = list(items)
    with ThreadPoolExecutor(min(CALLS_AT_ONCE, len(everything) or 1)) as pool:
        for _ in pool.map(do, everything):
            pass


def _opening(planned: Planned, job_id: str, at: str, planning: Decimal, approvals: Approvals) -> Opening:
    shards, first = planned.shards, planned.shards[0]
    pipelines = len({one.pipeline for one in shards})
    spent = planning + clients.meter().usd(overhead.opening(pipelines))

    def most(some: Iterable[Shard]) -> dict[str, Decimal]:
        return {
            name: sum((pack.most(one, planned.engine, planned.tier) for one in mine), Decimal(0))
            for name, mine in groupby(some, key=attrgetter("pipeline"))
        }

    return Opening(
        job_id=job_id,
        engine=planned.engine,
        tier=planned.tier,
        model=first.model,
        base_model=catalog.model(first.model).base_id,
        lane=first.lane,
        records=planned.records,
        bytes=sum(one.bytes for one in shards),
        shards=len(shards),
        input_tokens=sum(one.input_tokens for one in shards),
        output_tokens=sum(one.output_tokens for one in shards),
        reserved=most(shards),
        approved=most(filter(approvals.whole, shards)),
        price_basis=prices.price(first.model, planned.engine, planned.tier).basis,
        on_demand_usd=sum((pack.most(one, Engine.ON_DEMAND, Tier.DEFAULT) for one in shards), Decimal(0)),
        created_at=at,
        why=planned.why,
        overhead_usd=overhead.booked(sum((one.overhead_usd for one in shards), spent)),
        deadline_at=min((one.deadline_at for one in shards if one.deadline_at), default=None),
        timeout_hours=max((one.timeout_hours for one in shards if one.timeout_hours), default=None),
    )
