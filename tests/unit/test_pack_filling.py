"""Shards into the fewest jobs: against every arrangement where there are few, the lower bound where many."""

import random
from collections.abc import Callable, Iterator

import pytest
from batchline import filling
from batchline.catalog import Limits
from batchline.models import Shard
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_pack import shard

BEDROCK = Limits(
    min_records=100,
    max_records=100_000,
    max_file_bytes=1_000_000_000,
    max_job_bytes=5_000_000_000,
    concurrent_jobs=100,
)
TINY = Limits(min_records=3, max_records=10, max_file_bytes=10, max_job_bytes=12, concurrent_jobs=1)


def shards_of(sizes: list[tuple[int, int]]) -> list[Shard]:
    return [shard(number, records, bytes=size) for number, (records, size) in enumerate(sizes)]


def records_of(jobs: list[tuple[Shard, ...]]) -> list[int]:
    return [sum(one.records for one in job) for job in jobs]


def check(shards: list[Shard], jobs: list[tuple[Shard, ...]], limits: Limits) -> None:
    """Every shard is in one job, and no job of several is above a maximum."""
    assert sorted(one.shard_id for job in jobs for one in job) == sorted(one.shard_id for one in shards)
    for job in jobs:
        assert job
        assert [one.shard_id for one in job] == sorted(one.shard_id for one in job)
        if len(job) > 1:
            assert sum(one.records for one in job) <= limits.max_records
            assert sum(one.bytes for one in job) <= limits.max_job_bytes


def arrangements[T](things: list[T]) -> Iterator[list[list[T]]]:
    """Yield every way to put things into groups."""
    if not things:
        yield []
        return
    first, rest = things[0], things[1:]
    for groups in arrangements(rest):
        yield [[first], *groups]
        for n, group in enumerate(groups):
            yield [*groups[:n], [first, *group], *groups[n + 1 :]]


def cost(groups: list[list[tuple[int, int]]], limits: Limits) -> tuple[int, int]:
    """Count the records in groups that are too small for a batch, then the batches."""
    totals = [sum(records for records, _ in group) for group in groups]
    small = [total for total in totals if total < limits.min_records]
    return sum(small), len(totals) - len(small)


def oracle(sizes: list[tuple[int, int]], limits: Limits) -> tuple[int, int]:
    """Try everything."""
    return min(
        cost(groups, limits)
        for groups in arrangements(sizes)
        if all(
            sum(records for records, _ in group) <= limits.max_records
            and sum(size for _, size in group) <= limits.max_job_bytes
            for group in groups
        )
    )


def test_the_oracle_sees_every_arrangement() -> None:
    assert [len(list(arrangements(list(range(n))))) for n in range(7)] == [1, 1, 2, 5, 15, 52, 203]
    # 6 + 4 and 7 + 3 are two full jobs; 2 alone would be too few, so three jobs are 6 + 4, 7 and 3 + 2.
    assert oracle([(6, 1), (7, 1), (4, 1), (3, 1), (2, 1)], TINY) == (0, 3)


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 12)), min_size=1, max_size=7))
def test_few_shards_are_packed_as_well_as_can_be(sizes: list[tuple[int, int]]) -> None:
    shards = shards_of(sizes)
    jobs = filling.fill(shards, TINY)
    check(shards, jobs, TINY)
    assert cost([[(one.records, one.bytes) for one in job] for job in jobs], TINY) == oracle(sizes, TINY)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 14)), max_size=60))
def test_any_shards_are_packed_within_the_maxima(sizes: list[tuple[int, int]]) -> None:
    """Shards that are too large for a job too."""
    shards = shards_of(sizes)
    check(shards, filling.fill(shards, TINY), TINY)


def some(count: int, draw: Callable[[random.Random], tuple[int, int]]) -> list[Shard]:
    dice = random.Random(20260105)
    return shards_of([draw(dice) for _ in range(count)])


def until(records: int, draw: Callable[[random.Random], tuple[int, int]]) -> list[Shard]:
    """Draw shards that have exactly so many records."""
    dice, sizes, left = random.Random(20260106), list[tuple[int, int]](), records
    while left:
        drawn, size = draw(dice)
        sizes.append((min(drawn, left), size))
        left -= sizes[-1][0]
    return shards_of(sizes)


# Made when they are asked for: together they would fill half a gigabyte.
LARGE: dict[str, Callable[[], list[Shard]]] = {
    "full shards": lambda: some(5_000, lambda _: (2_000, 4_000_000)),
    "nearly full shards": lambda: some(5_000, lambda _: (1_999, 4_000_000)),
    "small documents, to the last record": lambda: until(
        2_000_000, lambda dice: (dice.choice([1, 3, 10, 98, 98, 250, 2_000]), 300_000)
    ),
    "documents of any size": lambda: some(
        5_000, lambda dice: (dice.randint(1, 2_000), dice.randint(1, 4_000_000))
    ),
    "single records": lambda: some(200_050, lambda _: (1, 2_000)),
    "long records, so that bytes count": lambda: some(
        5_000, lambda dice: (dice.randint(1, 60), dice.randint(8_000_000, 16_000_000))
    ),
    "short and long records mixed": lambda: some(
        5_000,
        lambda dice: (
            (2_000, 1_500_000) if dice.random() < 0.5 else (50, dice.randint(10_000_000, 16_000_000))
        ),
    ),
    "all short records before all long ones": lambda: [
        *shards_of([(2_000, 1_000_000)] * 2_500),
        *(shard(number, 50, bytes=15_000_000) for number in range(2_500, 18_900)),
    ],
}


@pytest.mark.parametrize("name", LARGE)
def test_many_shards_take_as_many_jobs_as_the_lower_bound_says(name: str) -> None:
    shards = LARGE[name]()
    jobs = filling.fill(shards, BEDROCK)
    assert len(jobs) == filling.lower_bound(shards, BEDROCK)
    assert min(records_of(jobs)) >= BEDROCK.min_records
    assert len({one.shard_id for job in jobs for one in job}) == sum(map(len, jobs)) == len(shards)
    assert max(records_of(jobs)) <= BEDROCK.max_records
    assert max(sum(one.bytes for one in job) for job in jobs) <= BEDROCK.max_job_bytes


def test_the_lower_bound_counts_records_and_bytes() -> None:
    assert filling.lower_bound([], TINY) == 0
    assert filling.lower_bound(shards_of([(10, 1), (10, 1)]), TINY) == 2
    assert filling.lower_bound(shards_of([(10, 1), (10, 1), (1, 1)]), TINY) == 3
    assert filling.lower_bound(shards_of([(1, 12), (1, 12), (1, 1)]), TINY) == 3


@pytest.mark.parametrize("first", [True, False])
def test_the_tail_of_100050_records_is_a_legal_job(first: bool) -> None:
    few, many = [(50, 100_000)], [(2_000, 4_000_000)] * 50
    jobs = filling.fill(shards_of(few + many if first else many + few), BEDROCK)
    assert sorted(records_of(jobs)) in ([2_000, 98_050], [2_050, 98_000])


def test_a_tail_gets_the_smallest_shard_that_is_enough() -> None:
    jobs = filling.fill(shards_of([(2_000, 1)] * 49 + [(1_900, 1), (60, 1), (40, 1), (50, 1)]), BEDROCK)
    assert records_of(jobs) == [99_940, 110]


def test_a_tail_gets_several_shards_when_none_is_enough() -> None:
    # 3,333 * 30 + 10 are a full job. The tail of 20 needs 80 more: three shards of 30.
    shards = shards_of([(30, 30)] * 3_333 + [(10, 10), (20, 20)])
    jobs = filling.fill(shards, BEDROCK)
    assert records_of(jobs) == [99_910, 110]


def test_a_tail_is_left_alone_where_nothing_can_be_moved() -> None:
    # Bytes: the tail would be too large with any shard of the other job.
    sizes = [(60_000, 2_000_000_000), (40_000, 3_000_000_000), (99, 4_000_000_000)]
    jobs = filling.fill(shards_of(sizes), BEDROCK)
    assert records_of(jobs) == [100_000, 99]
    # Records: the other job needs its own.
    limits = BEDROCK.model_copy(update={"max_records": 110})
    assert sorted(records_of(filling.fill(shards_of([(110, 1), (50, 1)]), limits))) == [50, 110]


def test_jobs_are_filled_from_the_front() -> None:
    """What comes first in the caller's order is in the first job, but for what uses up its room."""
    shards = some(3_000, lambda dice: (records := dice.randint(1, 200), records * 1_000))
    first = filling.fill(shards, BEDROCK)[0]
    numbers = [int(one.shard_id[1:]) for one in first]
    assert numbers[: len(numbers) - filling.TAKEN_AGAIN] == list(range(len(numbers) - filling.TAKEN_AGAIN))
    assert numbers[-1] <= len(numbers) + filling.TAKEN_AGAIN + filling.NEXT
