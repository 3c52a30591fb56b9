"""Pack: which pending shards become which jobs, decided from values alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from batchline.catalog import Limits
from batchline.errors import Code
from batchline.models import Engine, Shard, Tier

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

ON_DEMAND_TIERS: Final = {"on_demand": Tier.DEFAULT, "flex": Tier.FLEX}

type Cost = Callable[[Shard, Engine, Tier], Decimal]


@dataclass(frozen=True, slots=True)
class Planned:
    """A job to open, and in one sentence why it is what it is."""

    engine: Engine
    tier: Tier
    shards: tuple[Shard, ...]
    why: str

    @property
    def records(self) -> int:
        return sum(one.records for one in self.shards)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with one lane: jobs to open, and shards whose documents have to rest."""

    jobs: tuple[Planned, ...]
    held: tuple[tuple[Shard, Code], ...]


def plan(
    shards: Sequence[Shard],
    *,
    now: str,
    limits: Limits,
    batch: bool,
    free_slots: int,
    room: Mapping[str, Decimal],
    cost: Cost,
) -> Plan:
    """Decide what to open in a lane.

    `shards` are the lane's, oldest first; `now` is a timestamp; `batch` says whether Bedrock batches
    the model; `free_slots` is how many batch jobs may still be opened; `room` is what is left of the
    day's budget by pipeline, in USD (a pipeline that is not named has no limit); `cost` is the most
    that a shard may cost on an engine and tier, in USD.

    Full jobs open at once. The rest opens when one of its records has waited long enough: as a batch
    when there are enough records, else as each pipeline's `too_few` says.
    """
    purse = _Purse(room, cost)
    held: list[tuple[Shard, Code]] = []
    jobs: list[Planned] = []
    groups = [tuple(shards)]
    if batch:
        affordable, poor = _Purse(room, cost).afford(shards, Engine.BATCH, Tier.DEFAULT)
        held += [(one, Code.BUDGET_EXCEEDED) for one in poor]
        groups = list(_fill(affordable, limits))
    for number, group in enumerate(groups, start=1):
        full, due = number < len(groups), [one for one in group if one.urgent_at <= now]
        # A group can be full of pipelines and still have too few records.
        if batch and _count(group) >= limits.min_records:
            if (full or due) and free_slots > 0:
                free_slots -= 1
                what = "a full batch" if full else "its oldest record has waited long enough"
                purse.afford(group, Engine.BATCH, Tier.DEFAULT)
                jobs.append(Planned(Engine.BATCH, Tier.DEFAULT, group, f"{what}; {_count(group)} records"))
            continue
        why = f"{_count(due)} records; a batch needs {limits.min_records}"
        if not batch:
            why = "Bedrock has no batch inference for the model"
        for policy, tier in ON_DEMAND_TIERS.items():
            mine = [one for one in due if one.too_few == policy]
            paid, poor = purse.afford(mine, Engine.ON_DEMAND, tier)
            jobs += _on_demand(paid, tier, policy, why)
            held += [(one, Code.BUDGET_EXCEEDED) for one in poor]
        held += [(one, Code.TOO_FEW) for one in due if one.too_few == "wait"]
    return Plan(tuple(jobs), tuple(held))


def next_due(shards: Iterable[Shard], now: str) -> str | None:
    """Say when the next of these shards becomes urgent. None: none of them ever will."""
    return min((one.urgent_at for one in shards if one.urgent_at > now), default=None)


def _fill(shards: Iterable[Shard], limits: Limits) -> Iterator[tuple[Shard, ...]]:
    """Cut shards into jobs of at most what a job may hold; all but the last are full."""
    group: list[Shard] = []
    records = size = 0
    names: set[str] = set()
    for one in shards:
        full = (
            records + one.records > limits.max_records
            or size + one.bytes > limits.max_job_bytes
            or len(names | {one.pipeline}) > MAX_PIPELINES
        )
        if group and full:
            yield tuple(group)
            group, records, size, names = [], 0, 0, set()
        group.append(one)
        records += one.records
        size += one.bytes
        names.add(one.pipeline)
    if group:
        yield tuple(group)


def _on_demand(due: Iterable[Shard], tier: Tier, policy: str, why: str) -> Iterator[Planned]:
    """Put the due shards of one policy into on-demand jobs of a bounded size."""
    for group in _fill(due, ON_DEMAND_LIMITS):
        yield Planned(Engine.ON_DEMAND, tier, group, f"{why}, and too_few is {policy}")


class _Purse:
    """What is left of budgets while jobs are planned."""

    def __init__(self, room: Mapping[str, Decimal], cost: Cost) -> None:
        self._left = dict(room)
        self._cost = cost

    def afford(self, shards: Iterable[Shard], engine: Engine, tier: Tier) -> tuple[list[Shard], list[Shard]]:
        """Pay for the shards in their order; return those that were paid and those that were not."""
        paid: list[Shard] = []
        unpaid: list[Shard] = []
        for one in shards:
            left = self._left.get(one.pipeline)
            if left is None:
                paid.append(one)
                continue
            price = self._cost(one, engine, tier)
            if price > left:
                unpaid.append(one)
                continue
            self._left[one.pipeline] = left - price
            paid.append(one)
        return paid, unpaid


def _count(shards: Iterable[Shard]) -> int:
    return sum(one.records for one in shards)
