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
    cost: Callable[[Shard], Decimal],
) -> Plan:
    """Decide what to open in a lane.

    `shards` are the lane's, oldest first; `now` is a timestamp; `batch` says whether Bedrock batches
    the model; `free_slots` is how many batch jobs may still be opened; `room` is what is left of the
    day's budget by pipeline, in USD (a pipeline that is not named has no limit); `cost` is the most
    that a shard may cost, in USD.

    Full jobs open at once. The rest opens when one of its records has waited long enough: as a batch
    when there are enough records, else as each pipeline's `too_few` says.
    """
    affordable, over_budget = _within_budget(shards, room, cost)
    held = [(shard, Code.BUDGET_EXCEEDED) for shard in over_budget]
    jobs: list[Planned] = []
    groups = list(_fill(affordable, limits)) if batch else [tuple(affordable)]
    for number, group in enumerate(groups, start=1):
        full, due = number < len(groups), [one for one in group if one.urgent_at <= now]
        # A group can be full of pipelines and still have too few records.
        if batch and _count(group) >= limits.min_records:
            if (full or due) and free_slots > 0:
                free_slots -= 1
                what = "a full batch" if full else "its oldest record has waited long enough"
                jobs.append(Planned(Engine.BATCH, Tier.DEFAULT, group, f"{what}; {_count(group)} records"))
            continue
        why = f"{_count(due)} records; a batch needs {limits.min_records}"
        if not batch:
            why = "Bedrock has no batch inference for the model"
        jobs += _on_demand(due, Tier.DEFAULT, "on_demand", why)
        jobs += _on_demand(due, Tier.FLEX, "flex", why)
        held += [(one, Code.TOO_FEW) for one in due if one.too_few == "wait"]
    return Plan(tuple(jobs), tuple(held))


def next_due(shards: Iterable[Shard], now: str) -> str | None:
    """Say when the next of these shards becomes urgent. None: none of them ever will."""
    return min((one.urgent_at for one in shards if one.urgent_at > now), default=None)


def _within_budget(
    shards: Sequence[Shard], room: Mapping[str, Decimal], cost: Callable[[Shard], Decimal]
) -> tuple[list[Shard], list[Shard]]:
    left = dict(room)
    affordable: list[Shard] = []
    over: list[Shard] = []
    for one in shards:
        if one.pipeline in left:
            price = cost(one)
            if price > left[one.pipeline]:
                over.append(one)
                continue
            left[one.pipeline] -= price
        affordable.append(one)
    return affordable, over


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
    mine = [one for one in due if one.too_few == policy]
    bounds = Limits(
        min_records=1,
        max_records=ON_DEMAND_RECORDS,
        max_file_bytes=1_000_000_000,
        max_job_bytes=1_000_000_000,
        concurrent_jobs=1,
    )
    for group in _fill(mine, bounds):
        yield Planned(Engine.ON_DEMAND, tier, group, f"{why}, and too_few is {policy}")


def _count(shards: Iterable[Shard]) -> int:
    return sum(one.records for one in shards)
