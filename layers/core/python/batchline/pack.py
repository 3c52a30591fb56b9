"""Pack: which pending shards become which jobs, decided from values alone.

Whose turn it is: the pipelines of all lanes that share a model's slots stand in a circle, by the names of
lane and pipeline. A round gives each of them one shard, its oldest; rounds begin behind whoever was served
last. The jobs whose first shard comes first in that order get the free slots. So each job that is opened
serves at least the next in the circle who has something to open, and with k pipelines pending each of
them has records in one of the next k jobs, however long the others' backlog is.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import batched
from typing import Final

from batchline import filling
from batchline.cancel import Cancels
from batchline.catalog import Limits
from batchline.errors import Code
from batchline.models import Engine, Shard, Tier, Usage
from batchline.money.approvals import NONE_APPROVED, Approvals
from batchline.money.budgets import BEYOND, STACK, Lack, Scope, bound, is_priced

# What fits, with the job, the lease and the slot, into one transaction.
MAX_PIPELINES: Final = 96
# An on-demand job answers its records within one or a few runs of a function.
ON_DEMAND_RECORDS: Final = 1_000
ON_DEMAND_LIMITS: Final = Limits(
    min_records=1,
    max_records=ON_DEMAND_RECORDS,
    max_file_bytes=1_000_000_000,
    max_job_bytes=1_000_000_000,
    concurrent_jobs=1,
)

ON_DEMAND_TIERS: Final = {"on_demand": Tier.DEFAULT, "flex": Tier.FLEX, "priority": Tier.PRIORITY}

type Cost = Callable[[Shard, Engine, Tier], Decimal]


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane as it is planned: its pending shards, each pipeline's in the order in which to serve them.

    `batch` says whether Bedrock batches the model; a lane that is `paused` opens nothing.
    """

    name: str
    shards: Sequence[Shard]
    limits: Limits
    batch: bool
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A job to open, and in one sentence why it is what it is.

    Shards of one pipeline stand together, in the order of the lane. `turn` is who will have been served
    last when the job is open; only batches have it.
    """

    engine: Engine
    tier: Tier
    shards: tuple[Shard, ...]
    why: str
    turn: str = ""

    @property
    def records(self) -> int:
        return _count(self.shards)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: jobs to open, and shards whose documents have to rest.

    `lacks` says, by the shard's id, what those lack for which there is no money.
    """

    jobs: tuple[Planned, ...]
    held: tuple[tuple[Shard, Code], ...]
    lacks: Mapping[str, Lack] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """What was read of a lane; `more` says that there is more which might be opened."""

    shards: tuple[Shard, ...]
    more: bool


def party(lane: str, pipeline: str) -> str:
    """Name who takes turns."""
    return f"{lane}#{pipeline}"


def circle(parties: Iterable[str], turn: str) -> list[str]:
    """Put parties into the order in which they are served, given who was served last."""
    names = sorted(set(parties))
    start = bisect_right(names, turn)
    return names[start:] + names[:start]


def read(
    queues: Mapping[str, Iterator[Shard]],
    *,
    jobs: int,
    limits: Limits,
    engine: Engine,
    room: Mapping[str, Decimal],
    cost: Cost,
    approvals: Approvals = NONE_APPROVED,
) -> Pending:
    """Read of a lane what may fill so many jobs, in turns between its pipelines in the order given.

    What a budget does not cover is read too, so that its documents can rest, but does not count: of each
    pipeline as much as one job holds at most. So a pipeline hides no other one.
    """
    purse = _Purse(room, cost, approvals)
    left, unpaid = dict(queues), Counter[str]()
    shards: list[Shard] = []
    records = size = 0
    while left:
        for name in list(left):
            if (one := next(left[name], None)) is None:
                del left[name]
                continue
            shards.append(one)
            if purse.pay(one, engine, Tier.DEFAULT):
                unpaid[name] += one.records
                if unpaid[name] >= limits.max_records:
                    del left[name]
                continue
            records += one.records
            size += one.bytes
            if records >= jobs * limits.max_records or size >= jobs * limits.max_job_bytes:
                return Pending(tuple(shards), more=True)
    return Pending(tuple(shards), more=False)


def most(shard: Shard, engine: Engine, tier: Tier) -> Decimal:
    """Say the most that a shard may cost, in USD; 0 where no price is known."""
    if engine is Engine.NOBODY:
        return Decimal(0)
    usage = Usage(shard.input_tokens, shard.output_tokens)
    return bound(usage, shard.model, engine, tier, longest=shard.longest)


def budgeted(shard: Shard, engine: Engine, tier: Tier) -> Decimal:
    """Say what a budget must cover for a shard, in USD: the most that it may cost, if that is known."""
    return most(shard, engine, tier) if is_priced(shard.model, engine, tier) else BEYOND


def plan(
    lanes: Sequence[Lane],
    *,
    now: str,
    free_slots: int,
    turn: str,
    room: Mapping[str, Decimal],
    cost: Cost,
    cancels: Cancels,
    approvals: Approvals = NONE_APPROVED,
) -> Plan:
    """Decide what to open in the lanes that share the slots of a model.

    `now` is a timestamp; `free_slots` is how many batch jobs may still be opened; `turn` is that of the
    batch opened last; `room` is what is left of the day's budget by pipeline, and under STACK of the month's,
    in USD (what is not named has no limit); `cost` is the most that a shard may cost on an engine and tier,
    in USD. What `approvals` name need not fit into the day.

    Shards with cancelled records go to nobody, at once. What is past its deadline is asked on demand at
    once. Of the rest full jobs open at once, and the last job of a lane when one of its records has waited
    long enough: as a batch when there are enough records, else as each pipeline's `too_few` says.
    """
    desk = _Desk(now, _Purse(room, cost, approvals))
    work = [(lane, desk.urgent(lane, cancels)) for lane in lanes]
    order = circle((party(lane.name, one.pipeline) for lane, shards in work for one in shards), turn)
    rank = {name: place for place, name in enumerate(order)}
    scratch = desk.purse.copy()
    batches: list[_Batch] = []
    tails: list[tuple[Lane, Sequence[Shard]]] = []
    for lane, shards in work:
        if not lane.batch:
            tails.append((lane, shards))
            continue
        ready, few = desk.arrange(lane, shards, rank, scratch)
        batches += ready
        tails += ((lane, group) for group in few)
    batches.sort(key=lambda one: one.place)
    desk.open_batches(batches[: max(0, free_slots)], batches, order)
    for lane, shards in tails:
        desk.open_tail(lane, shards)
    return Plan(tuple(desk.jobs), tuple(desk.held), desk.lacks)


def next_due(shards: Iterable[Shard], now: str) -> str | None:
    """Say when the next of these shards becomes urgent. None: none of them ever will."""
    times = (at for one in shards for at in (one.urgent_at, one.deadline_at) if at and at > now)
    return min(times, default=None)


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch that may open; `place` is its first shard's."""

    place: tuple[int, int]
    lane: str
    shards: tuple[Shard, ...]
    why: str

    @property
    def parties(self) -> set[str]:
        return {party(self.lane, one.pipeline) for one in self.shards}


def _places(lane: str, shards: Iterable[Shard], rank: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Say of each shard in which round its pipeline has it served, and when in that round."""
    rounds = Counter[str]()
    places = {}
    for one in shards:
        places[one.shard_id] = (rounds[one.pipeline], rank[party(lane, one.pipeline)])
        rounds[one.pipeline] += 1
    return places


def _jobs_of(shards: Sequence[Shard], limits: Limits) -> Iterator[list[tuple[Shard, ...]]]:
    """Put shards into jobs, separately for as many pipelines as may share one."""
    names = dict.fromkeys(one.pipeline for one in shards)
    for few in batched(names, MAX_PIPELINES, strict=False):
        mine = frozenset(few)
        some = shards if len(mine) == len(names) else [one for one in shards if one.pipeline in mine]
        yield filling.fill(some, limits)


@dataclass(slots=True)
class _Desk:
    """Where a plan is put together."""

    now: str
    purse: "_Purse"
    jobs: list[Planned] = field(default_factory=list)
    held: list[tuple[Shard, Code]] = field(default_factory=list)
    lacks: dict[str, Lack] = field(default_factory=dict)

    def urgent(self, lane: Lane, cancels: Cancels) -> Sequence[Shard]:
        """See to what is cancelled, paused or past its deadline; return the other shards."""
        dropped = cancels.touched(lane.shards)
        self._open(dropped, lane.limits, Engine.NOBODY, Tier.DEFAULT, "records in it are cancelled")
        gone = {one.shard_id for one in dropped}
        left = [one for one in lane.shards if one.shard_id not in gone] if gone else lane.shards
        if lane.paused:
            self.held += [(one, Code.LANE_PAUSED) for one in left if self._due(one)]
            return ()
        if late := [one for one in left if one.deadline_at and one.deadline_at <= self.now]:
            self._ask(late, Tier.DEFAULT, "its deadline has passed")
            gone = {one.shard_id for one in late}
            left = [one for one in left if one.shard_id not in gone]
        return left

    def arrange(
        self, lane: Lane, shards: Sequence[Shard], rank: Mapping[str, int], purse: "_Purse"
    ) -> tuple[list["_Batch"], list[tuple[Shard, ...]]]:
        """Put a lane's shards into batches; return those that may open now, and what is too few."""
        places = _places(lane.name, shards, rank)
        ordered = sorted(shards, key=lambda one: places[one.shard_id])
        paid = [one for one in ordered if self.covered(one, purse)]
        batches: list[_Batch] = []
        few: list[tuple[Shard, ...]] = []
        for groups in _jobs_of(paid, lane.limits):
            for group in groups:
                # The same request twice is sent once, and Bedrock's minimum counts what is sent.
                if sum(one.requests for one in group) < lane.limits.min_records:
                    few.append(group)
                elif why := self.why_now(group, lane.limits, last=group is groups[-1]):
                    batches.append(_Batch(places[group[0].shard_id], lane.name, group, why))
        return batches, few

    def covered(self, shard: Shard, purse: "_Purse") -> bool:
        """Tell whether budgets cover a shard in a batch; if not, let it rest."""
        return self._paid(shard, purse.pay(shard, Engine.BATCH, Tier.DEFAULT))

    def why_now(self, group: Sequence[Shard], limits: Limits, *, last: bool) -> str:
        """Say why a batch opens now. Empty: it waits for company."""
        records = _count(group)
        full = records >= limits.max_records or sum(one.bytes for one in group) >= limits.max_job_bytes
        if full or not last:
            return f"a full batch; {records} records"
        if any(map(self._due, group)):
            return f"its oldest record has waited long enough; {records} records"
        return ""

    def open_batches(self, chosen: Iterable[_Batch], contenders: Iterable[_Batch], order: list[str]) -> None:
        """Open batches, and move the turn on past all who are served or have nothing to be served."""
        wanting = {name for one in contenders for name in one.parties}
        served: set[str] = set()
        turn = 0
        for batch in chosen:
            served |= batch.parties
            while turn < len(order) and (order[turn] in served or order[turn] not in wanting):
                turn += 1
            for one in batch.shards:
                self.purse.pay(one, Engine.BATCH, Tier.DEFAULT)
            shards = _by_pipeline(batch.shards)
            self.jobs.append(Planned(Engine.BATCH, Tier.DEFAULT, shards, batch.why, order[turn - 1]))

    def open_tail(self, lane: Lane, shards: Sequence[Shard]) -> None:
        """Do with too few records as their pipelines say."""
        due = [one for one in shards if self._due(one)]
        why = "Bedrock has no batch inference for the model"
        if lane.batch:
            why = f"{_count(due)} records; a batch needs {lane.limits.min_records}"
        for policy, tier in ON_DEMAND_TIERS.items():
            mine = [one for one in due if one.too_few == policy]
            self._ask(mine, tier, f"{why}, and too_few is {policy}")
        self.held += [(one, Code.TOO_FEW) for one in due if one.too_few == "wait"]

    def _ask(self, shards: Iterable[Shard], tier: Tier, why: str) -> None:
        """Have records asked one by one, as far as budgets go."""
        paid = [one for one in shards if self._paid(one, self.purse.pay(one, Engine.ON_DEMAND, tier))]
        self._open(paid, ON_DEMAND_LIMITS, Engine.ON_DEMAND, tier, why)

    def _paid(self, shard: Shard, lack: Lack | None) -> bool:
        """Tell whether a shard is paid for; if not, let it rest."""
        if lack:
            self.held.append((shard, Code.BUDGET_EXCEEDED))
            self.lacks[shard.shard_id] = lack
        return lack is None

    def _open(self, shards: Sequence[Shard], limits: Limits, engine: Engine, tier: Tier, why: str) -> None:
        for groups in _jobs_of(shards, limits):
            self.jobs += [Planned(engine, tier, _by_pipeline(group), why) for group in groups]

    def _due(self, shard: Shard) -> bool:
        return shard.urgent_at <= self.now


class _Purse:
    """What is left of budgets while jobs are planned."""

    def __init__(self, room: Mapping[str, Decimal], cost: Cost, approvals: Approvals) -> None:
        self._left = dict(room)
        self._cost = cost
        self._approvals = approvals

    def copy(self) -> "_Purse":
        return _Purse(self._left, self._cost, self._approvals)

    def pay(self, shard: Shard, engine: Engine, tier: Tier) -> Lack | None:
        """Pay for a shard, if what is left of the budgets covers it; else say what lacks."""
        limited = [name for name in (STACK, shard.pipeline) if name in self._left]
        if not limited:
            return None
        price = self._cost(shard, engine, tier)
        for name in limited:
            if price > (left := self._left[name]) and (name == STACK or not self._approvals.whole(shard)):
                return Lack(Scope.MONTH if name == STACK else Scope.DAY, price, left)
        for name in limited:
            # What is approved although nobody knows its price takes nothing from the others.
            self._left[name] -= price if price.is_finite() else 0
        return None


def _by_pipeline(shards: Iterable[Shard]) -> tuple[Shard, ...]:
    return tuple(sorted(shards, key=lambda one: (one.pipeline, one.version)))


def _count(shards: Iterable[Shard]) -> int:
    return sum(one.records for one in shards)
