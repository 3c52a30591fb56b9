"""Simulates a day of packing on a virtual clock: the real planner, the real rule of slots, made-up job times.

Run it alone: `python bench/simulation.py --slots 20`. Ten million records of three models are pending at
the start. Every minute pack reads and plans, as the function does, with as many free slots as `Taken.free`
says; a job holds its slot from its opening until its end. That no model ever holds more slots than it has
is asserted whenever a job opens.

A job takes 5 to 15 minutes, evenly, until Bedrock begins, and then 72 ms a record (two hours for 100,000),
times a factor from a lognormal distribution with median 1. Its sigma is `--sigma`; the seed is fixed.

The bound. Let a model have m slots, and let its jobs take p1 >= p2 >= ... >= pn. However the jobs are put on
slots, and even if all times were known beforehand,
  - the slots together work for p1 + ... + pn, so the last one ends at (p1 + ... + pn) / m or later;
  - of the (k - 1) * m + 1 longest jobs some slot runs at least k, by the pigeonhole principle, so it ends no
    sooner than the sum of the k shortest of them takes, for every k for which there are so many jobs (k = 1:
    the longest job).
The largest of these is a lower bound of the makespan; over models it is the largest of theirs. (Compare
Dell'Amico and Martello, Optimal Scheduling of Tasks on Identical Parallel Processors, 1995.) It takes the
jobs as given: that they are as few as there can be is asserted. A packer does not know the times, and learns
of a free slot up to a minute late: both are on top of the bound.
"""

import argparse
import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import plotext
from batchline import catalog, filling, pack
from batchline.aws.control.slots import Taken
from batchline.cancel import Cancels
from batchline.models import Engine, Shard, timestamp
from packing import MIXES, shards

START: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
TICK_SECONDS: Final = 60
BEGIN_SECONDS: Final = (300, 900)
RECORD_SECONDS: Final = 0.072
# Model, share of the records in percent, kind of shards, pipelines.
MODELS: Final = (
    ("amazon.nova-lite-v1:0", 40, "small_documents", 5),
    ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 35, "large_and_small", 3),
    ("mistral.mistral-large-2407-v1:0", 25, "small_documents", 1),
)
SEED: Final = 20260105


@dataclass
class Account:
    """What Bedrock and the control table know of one model."""

    model: str
    slots: int
    queues: dict[str, list[Shard]]  # by pipeline, oldest first
    bound_jobs: int
    holders: set[str] = field(default_factory=set)
    turn: str = ""
    times: list[float] = field(default_factory=list)
    in_use: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])

    def tick(self, now: float) -> list[tuple[str, int]]:
        """Pack once; return the jobs opened and their records."""
        state = Taken(frozenset(self.holders), cap=None, retry_at=0, turn=self.turn)
        lane, limits = f"{self.model}#Converse", catalog.limits(self.model)
        free = state.free(self.slots, now)
        pending = pack.read(
            {name: iter(queue) for name, queue in self.queues.items()},
            jobs=free + 1,
            limits=limits,
            engine=Engine.BATCH,
            room={},
            cost=pack.most,
        )
        plan = pack.plan(
            [pack.Lane(lane, pending.shards, limits, batch=True)],
            now=timestamp(START + timedelta(seconds=now)),
            free_slots=free,
            turn=self.turn,
            room={},
            cost=pack.most,
            cancels=Cancels(),
        )
        taken = {one.shard_id for job in plan.jobs for one in job.shards}
        if taken:
            self.queues = {
                name: [one for one in queue if one.shard_id not in taken]
                for name, queue in self.queues.items()
            }
        opened = []
        for job in plan.jobs:
            assert job.engine is Engine.BATCH, job.why
            assert limits.min_records <= job.records <= limits.max_records
            job_id = f"{self.model} {len(self.times) + len(opened)}"
            self.turn = job.turn
            self.holders.add(job_id)
            assert len(self.holders) <= self.slots, "more jobs than slots"
            opened.append((job_id, job.records))
        if opened:
            self.in_use.append((now, len(self.holders)))
        return opened

    def end(self, job_id: str, now: float) -> None:
        self.holders.remove(job_id)
        self.in_use.append((now, len(self.holders)))

    @property
    def waiting(self) -> bool:
        return any(self.queues.values())


def accounts(records: int, slots: int) -> list[Account]:
    made = []
    for model, percent, mix, pipelines in MODELS:
        mine = records * percent // 100
        pending = [
            one.model_copy(
                update={"model": model, "lane": f"{model}#Converse", "pipeline": f"p{n % pipelines}"}
            )
            for n, one in enumerate(shards(MIXES[mix], mine // 100, mine))
        ]
        queues = {f"p{n}": pending[n::pipelines] for n in range(pipelines)}
        bound = filling.lower_bound(pending, catalog.limits(model))
        made.append(Account(model, slots, queues, bound))
    return made


def bound(times: Sequence[float], slots: int) -> float:
    """Say how long jobs take at least on so many slots, in seconds. See above."""
    longest = sorted(times, reverse=True)
    bounds = [sum(times) / slots]
    for k in range(1, (len(times) - 1) // slots + 2):
        among = longest[: (k - 1) * slots + 1]
        bounds.append(sum(among[-k:]))
    return max(bounds)


def simulate(models: Sequence[Account], sigma: float) -> float:
    """Run until everything is answered; return the makespan in seconds."""
    dice = random.Random(SEED)
    ends: list[tuple[float, str, Account]] = []
    now = tick = 0.0
    while ends or any(one.waiting for one in models):
        while ends and ends[0][0] <= tick:
            now, job_id, account = heapq.heappop(ends)
            account.end(job_id, now)
        for account in models:
            if not account.waiting:
                continue
            for job_id, records in account.tick(tick):
                time = dice.uniform(*BEGIN_SECONDS) + records * RECORD_SECONDS * dice.lognormvariate(0, sigma)
                account.times.append(time)
                heapq.heappush(ends, (tick + time, job_id, account))
        tick += TICK_SECONDS
    return now


def plot(models: Sequence[Account], slots: int, makespan: float) -> str:
    """Draw the slots in use over time."""
    plotext.clear_figure()
    plotext.theme("clear")  # readable on light and dark, and in a file
    plotext.plotsize(100, 18)
    steps = [makespan * n / 400 for n in range(401)]
    for account in models:
        values, position = [], 0
        for step in steps:
            while position + 1 < len(account.in_use) and account.in_use[position + 1][0] <= step:
                position += 1
            values.append(account.in_use[position][1])
        plotext.plot([step / 3600 for step in steps], values, label=account.model)
    plotext.title(f"jobs running, {slots} slots a model")
    plotext.xlabel("hours")
    return str(plotext.build())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--slots", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.02])
    options = parser.parse_args()
    for slots in options.slots:
        for sigma in options.sigma:
            models = accounts(options.records, slots)
            makespan = simulate(models, sigma)
            least = max(bound(one.times, slots) for one in models)
            assert [len(one.times) for one in models] == [one.bound_jobs for one in models]
            assert not any(one.holders for one in models)
            result = {
                "slots": slots,
                "sigma": sigma,
                "jobs": sum(len(one.times) for one in models),
                "makespan_hours": round(makespan / 3600, 2),
                "bound_hours": round(least / 3600, 2),
                "above_bound_percent": round((makespan / least - 1) * 100, 1),
                "most_slots_used": max(used for one in models for _, used in one.in_use),
            }
            print(plot(models, slots, makespan))
            print(json.dumps(result))


if __name__ == "__main__":
    main()
