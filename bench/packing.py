"""Measures the plan of a large backlog: seconds and peak memory on one core, jobs against the lower bound.

Run it alone: `python bench/packing.py --shards 100000 --records 10000000`. What is measured is all that a
run of pack decides: to read the pending shards in turns (from memory: DynamoDB's own time is not ours) and
to plan them, with a budget that every shard is charged to. Every mix of shards runs in a process of its
own, pinned to one core; peak memory is that of the whole process, the shards included.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal

import memory
from batchline import catalog, filling, pack
from batchline.cancel import Cancels
from batchline.models import Engine, Range, Shard

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
LANE = f"{MODEL}#Converse"
NOW = "2026-01-05T09:00:00.000Z"
PIPELINES = 12
SHARD_RECORDS = 2_000  # the most that chunk puts into one
DOCUMENT_RECORDS = 25

type Draw = Callable[[random.Random, int], tuple[int, int]]


def small_documents(dice: random.Random, mean: int) -> tuple[int, int]:
    """Draw a shard of mostly small documents, 2 KB a record."""
    records = min(SHARD_RECORDS, 1 + int(dice.expovariate(1 / mean)))
    return records, records * dice.randint(1_500, 2_500)


def large_and_small(dice: random.Random, mean: int) -> tuple[int, int]:
    """Draw a full shard of a large document, or one of a few records."""
    share = mean / SHARD_RECORDS
    records = SHARD_RECORDS if dice.random() < share * 0.9 else dice.randint(1, max(1, mean // 5))
    return records, records * 2_000


def long_and_short(dice: random.Random, mean: int) -> tuple[int, int]:
    """Draw a shard of short records, or one of pictures: bytes are nearly as scarce as records."""
    if dice.randrange(2):
        return min(SHARD_RECORDS, dice.randint(mean, 3 * mean)), dice.randint(100_000, 400_000)
    return dice.randint(1, max(1, mean // 10)), dice.randint(3_000_000, 9_000_000)


MIXES: dict[str, Draw] = {one.__name__: one for one in (small_documents, large_and_small, long_and_short)}


def shards(mix: Draw, count: int, records: int) -> list[Shard]:
    """Draw a backlog of so many shards, and make some a little larger or smaller, for so many records."""
    dice = random.Random(20260105)
    mean = records // count
    sizes = [mix(dice, mean) for _ in range(count)]
    missing = records - sum(size for size, _ in sizes)
    for number, (drawn, size) in enumerate(sizes):
        change = max(-(drawn // 4), min(drawn // 4, SHARD_RECORDS - drawn, missing))
        sizes[number] = (drawn + change, size * (drawn + change) // drawn)
        missing -= change
    assert not missing
    return [shard(number, *size) for number, size in enumerate(sizes)]


def shard(number: int, records: int, size: int) -> Shard:
    ranges = [
        str(Range(f"{number:06d}d{first:09d}", "m", 0, min(DOCUMENT_RECORDS, records - first), 1))
        for first in range(0, records, DOCUMENT_RECORDS)
    ]
    return Shard(
        shard_id=f"{number:020x}",
        lane=LANE,
        key=f"shards/{number:020x}.jsonl",
        pipeline=f"pipeline-{number % PIPELINES}",
        version="0123456789abcdef",
        model=MODEL,
        too_few="on_demand",
        records=records,
        bytes=size,
        input_tokens=records * 500,
        output_tokens=records * 300,
        created_at="2026-01-05T08:00:00.000Z",
        first_at="2026-01-05T08:00:00.000Z",
        urgent_at="2026-01-05T08:02:00.000Z",
        ranges=tuple(ranges),
    )


def measure(name: str, count: int, records: int) -> dict[str, object]:
    backlog = shards(MIXES[name], count, records)
    queues = {f"pipeline-{n}": iter(backlog[n::PIPELINES]) for n in range(PIPELINES)}
    limits = catalog.limits(MODEL)
    bound = filling.lower_bound(backlog, limits)
    room = {queue: Decimal(10**9) for queue in queues}
    begun = time.process_time()
    pending = pack.read(queues, jobs=bound + 1, limits=limits, engine=Engine.BATCH, room=room, cost=pack.most)
    plan = pack.plan(
        [pack.Lane(LANE, pending.shards, limits, batch=True)],
        now=NOW,
        free_slots=bound + 1,
        turn="",
        room=room,
        cost=pack.most,
        cancels=Cancels(),
    )
    seconds = time.process_time() - begun
    assert sum(job.records for job in plan.jobs) == sum(one.records for one in backlog)
    assert all(limits.min_records <= job.records <= limits.max_records for job in plan.jobs)
    assert all(sum(one.bytes for one in job.shards) <= limits.max_job_bytes for job in plan.jobs)
    return {
        "mix": name,
        "shards": len(backlog),
        "records": sum(one.records for one in backlog),
        "gigabytes": round(sum(one.bytes for one in backlog) / 1e9, 1),
        "jobs": len(plan.jobs),
        "lower_bound": bound,
        "seconds": round(seconds, 2),
        "peak_megabytes": round(memory.peak_bytes() / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--mix", choices=MIXES, help="one mix, in this process")
    options = parser.parse_args()
    if options.mix:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(measure(options.mix, options.shards, options.records)))
        return
    for name in MIXES:
        size = ["--shards", str(options.shards), "--records", str(options.records)]
        subprocess.run([sys.executable, __file__, "--mix", name, *size], check=True)


if __name__ == "__main__":
    main()
