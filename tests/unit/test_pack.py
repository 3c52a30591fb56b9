"""The plan: what opens when, in whose turn, and what rests."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from batchline import pack, submit
from batchline.cancel import Cancels
from batchline.catalog import Limits
from batchline.errors import Code
from batchline.models import Engine, Range, Shard, Tier
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = "2026-01-05T09:00:00.000Z"
DUE = "2026-01-05T08:59:59.999Z"
LATER = "2026-01-05T09:00:00.001Z"
LIMITS = Limits(
    min_records=100, max_records=1_000, max_file_bytes=5_000, max_job_bytes=10_000, concurrent_jobs=10
)


def shard(number: int, records: int, **changes: Any) -> Shard:
    values: dict[str, Any] = {
        "shard_id": f"s{number:04d}",
        "lane": "m#Converse",
        "key": f"shards/s{number:04d}.jsonl",
        "pipeline": "p",
        "version": "v",
        "model": "m",
        "too_few": "on_demand",
        "records": records,
        "bytes": records,
        "input_tokens": records,
        "output_tokens": records,
        "created_at": f"2026-01-05T08:00:{number % 60:02d}.000Z",
        "first_at": f"2026-01-05T08:00:{number % 60:02d}.000Z",
        "urgent_at": LATER,
        "ranges": (),
    }
    return Shard.model_validate(values | changes)


def one_usd(_shard: Shard, _engine: Engine, _tier: Tier) -> Decimal:
    return Decimal(1)


def lane(shards: list[Shard], name: str = "m#Converse", **changes: Any) -> pack.Lane:
    values: dict[str, Any] = {"limits": LIMITS, "batch": True, "paused": False}
    return pack.Lane(name, shards, **(values | changes))


def plan_lanes(
    *lanes: pack.Lane,
    free_slots: int = 10,
    turn: str = "",
    room: dict[str, Decimal] | None = None,
    cost: pack.Cost = one_usd,
    cancels: Cancels | None = None,
) -> pack.Plan:
    return pack.plan(
        lanes,
        now=NOW,
        free_slots=free_slots,
        turn=turn,
        room=room or {},
        cost=cost,
        cancels=cancels or Cancels(),
    )


def plan(shards: list[Shard], *, limits: Limits = LIMITS, batch: bool = True, **changes: Any) -> pack.Plan:
    return plan_lanes(lane(shards, limits=limits, batch=batch), **changes)


def numbers(shards: tuple[Shard, ...]) -> list[int]:
    return [int(one.shard_id[1:]) for one in shards]


def shape(found: pack.Plan) -> list[tuple[Engine, Tier, list[int]]]:
    return [(job.engine, job.tier, numbers(job.shards)) for job in found.jobs]


def rests(found: pack.Plan) -> list[tuple[int, Code]]:
    return [(int(one.shard_id[1:]), code) for one, code in found.held]


BATCH = (Engine.BATCH, Tier.DEFAULT)
ON_DEMAND = (Engine.ON_DEMAND, Tier.DEFAULT)
FLEX = (Engine.ON_DEMAND, Tier.FLEX)
POLICIES = {Tier.DEFAULT: "on_demand", Tier.FLEX: "flex", Tier.PRIORITY: "priority"}
PRIORITY = (Engine.ON_DEMAND, Tier.PRIORITY)
NOBODY = (Engine.NOBODY, Tier.DEFAULT)


def test_nothing_pending_opens_nothing() -> None:
    assert plan([]) == pack.Plan((), ())
    assert plan([], batch=False) == pack.Plan((), ())


def test_nothing_full_and_nothing_due_opens_nothing() -> None:
    assert plan([shard(1, 500), shard(2, 499)]) == pack.Plan((), ())
    assert plan([shard(1, 500)], batch=False) == pack.Plan((), ())


def test_a_full_job_opens_at_once_and_the_rest_waits() -> None:
    # 400 + 600 = 1,000 records are a full job; 300 are not.
    found = plan([shard(1, 400), shard(2, 600), shard(3, 300)])
    assert shape(found) == [(*BATCH, [1, 2])]
    assert found.jobs[0].records == 1_000
    assert found.jobs[0].why == "a full batch; 1000 records"


def test_the_only_job_of_a_lane_opens_at_once_when_nothing_more_fits() -> None:
    assert shape(plan([shard(1, 400), shard(2, 600)])) == [(*BATCH, [1, 2])]
    assert shape(plan([shard(1, 400, bytes=10_000)])) == [(*BATCH, [1])]


def test_a_job_is_full_of_bytes_too() -> None:
    # 6,000 + 4,000 = 10,000 bytes fit, 1 more does not.
    found = plan([shard(1, 100, bytes=6_000), shard(2, 100, bytes=4_000), shard(3, 100, bytes=1)])
    assert shape(found) == [(*BATCH, [1, 2])]


def test_a_due_record_opens_a_batch_with_all_its_company() -> None:
    found = plan([shard(1, 60, too_few="wait"), shard(2, 40, urgent_at=DUE)])
    assert shape(found) == [(*BATCH, [1, 2])]
    assert found.held == ()


def test_it_is_due_at_the_very_moment() -> None:
    assert shape(plan([shard(1, 100, urgent_at=NOW)])) == [(*BATCH, [1])]


def test_too_few_due_records_go_by_their_pipelines_will() -> None:
    shards = [
        shard(1, 30, urgent_at=DUE, too_few="on_demand"),
        shard(2, 20, urgent_at=DUE, too_few="flex"),
        shard(3, 20, urgent_at=DUE, too_few="wait"),
        shard(4, 20, urgent_at=DUE, too_few="on_demand"),
        shard(5, 4, urgent_at=DUE, too_few="priority"),
        shard(6, 5, urgent_at=LATER, too_few="on_demand"),  # 99 in all
    ]
    found = plan(shards)
    assert shape(found) == [(*ON_DEMAND, [1, 4]), (*FLEX, [2]), (*PRIORITY, [5])]
    assert [(one.shard_id, code) for one, code in found.held] == [("s0003", Code.TOO_FEW)]
    assert found.jobs[0].why == "94 records; a batch needs 100, and too_few is on_demand"


def test_one_record_more_makes_it_a_batch() -> None:
    shards = [shard(1, 99, urgent_at=DUE, too_few="wait"), shard(2, 1)]
    assert shape(plan(shards)) == [(*BATCH, [1, 2])]


def test_no_free_slot_leaves_batches_pending_but_not_small_jobs() -> None:
    full = [shard(1, 1_000), shard(2, 1_000)]
    assert plan([*full, shard(3, 100, urgent_at=DUE)], free_slots=0) == pack.Plan((), ())
    assert shape(plan([*full, shard(3, 10, urgent_at=DUE)], free_slots=0)) == [(*ON_DEMAND, [3])]
    assert plan([shard(1, 100, urgent_at=DUE)], free_slots=-3) == pack.Plan((), ())


def test_the_oldest_get_the_slots() -> None:
    shards = [shard(n, 1_000, urgent_at=DUE) for n in range(5)]
    assert shape(plan(shards, free_slots=2)) == [(*BATCH, [0]), (*BATCH, [1])]


def test_a_model_without_batch_is_asked_on_demand_when_due() -> None:
    shards = [
        shard(1, 2_000, urgent_at=DUE),  # a shard is not divided
        shard(2, 600, urgent_at=DUE),
        shard(3, 400, urgent_at=DUE),
        shard(4, 1, urgent_at=DUE),
        shard(5, 5),
    ]
    found = plan(shards, batch=False)
    assert shape(found) == [(*ON_DEMAND, [1]), (*ON_DEMAND, [2, 3]), (*ON_DEMAND, [4])]
    assert found.jobs[0].why == "Bedrock has no batch inference for the model, and too_few is on_demand"


def test_a_job_that_is_full_of_pipelines_may_still_have_too_few_records() -> None:
    # 96 pipelines fit into a transaction; 97 with one record each leave 96 < 100 for the first job.
    shards = [shard(n, 1, pipeline=f"p{n}", urgent_at=DUE) for n in range(97)]
    found = plan(shards)
    assert {job.engine for job in found.jobs} == {Engine.ON_DEMAND}
    assert sum(job.records for job in found.jobs) == 97
    # With two records each the first job is a batch of 192, the second has 2.
    shards = [shard(n, 2, pipeline=f"p{n}", urgent_at=DUE) for n in range(97)]
    assert [(job.engine, job.records) for job in plan(shards).jobs] == [
        (Engine.BATCH, 192),
        (Engine.ON_DEMAND, 2),
    ]


def test_what_the_budget_does_not_cover_rests() -> None:
    shards = [shard(n, 100, urgent_at=DUE) for n in range(4)]
    # 1 USD each and 2.50 left: two of four; another pipeline has no limit.
    shards.append(shard(9, 100, pipeline="free", urgent_at=DUE))
    found = plan(shards, room={"p": Decimal("2.50")})
    assert shape(found) == [(*BATCH, [9, 0, 1])]  # one pipeline after the other, each the oldest first
    assert [(one.shard_id, code) for one, code in found.held] == [
        ("s0002", Code.BUDGET_EXCEEDED),
        ("s0003", Code.BUDGET_EXCEEDED),
    ]


def test_a_budget_may_be_used_to_the_last_cent() -> None:
    assert plan([shard(1, 100, urgent_at=DUE)], room={"p": Decimal(1)}).held == ()
    assert len(plan([shard(1, 100, urgent_at=DUE)], room={"p": Decimal("0.99")}).held) == 1
    assert len(plan([shard(1, 100, urgent_at=DUE)], room={"p": Decimal(-1)}).held) == 1


@pytest.mark.parametrize(
    ("times", "due"),
    [([], None), ([DUE], None), ([NOW], None), ([LATER], LATER), (["2027", LATER, DUE], LATER)],
)
def test_the_next_due_record(times: list[str], due: str | None) -> None:
    assert pack.next_due([shard(n, 1, urgent_at=at) for n, at in enumerate(times)], NOW) == due


def test_a_budget_for_a_batch_may_be_too_small_for_on_demand() -> None:
    def cost(_shard: Shard, engine: Engine, _tier: Tier) -> Decimal:
        return Decimal(2 if engine is Engine.ON_DEMAND else 1)

    due = [shard(number, 10, urgent_at=DUE) for number in range(3)]
    found = plan(due, room={"p": Decimal(4)}, cost=cost)
    # 3 USD would do for a batch, but ten records are too few for one: two shards at 2 USD each open.
    assert shape(found) == [(Engine.ON_DEMAND, Tier.DEFAULT, [0, 1])]
    assert found.held == ((due[2], Code.BUDGET_EXCEEDED),)


def test_what_a_budget_does_not_cover_hides_nothing_behind_it() -> None:
    poor = [shard(n, 1_000, pipeline="poor", urgent_at=DUE) for n in range(5)]
    found = plan([*poor, shard(9, 1_000, pipeline="rich")], free_slots=1, room={"poor": Decimal(0)})
    assert shape(found) == [(*BATCH, [9])]
    assert rests(found) == [(n, Code.BUDGET_EXCEEDED) for n in range(5)]


# a tail that is too small


def test_a_full_job_gives_shards_to_a_tail_that_is_too_small() -> None:
    # 1,000 + 50 records: the second job gets the smallest shard that makes it legal.
    shards = [*(shard(n, 200) for n in range(4)), shard(4, 60), shard(5, 140), shard(6, 50, urgent_at=DUE)]
    found = plan(shards)
    assert [(job.engine, job.records) for job in found.jobs] == [(Engine.BATCH, 940), (Engine.BATCH, 110)]


def test_a_tail_that_is_not_due_waits_although_it_could_open() -> None:
    shards = [*(shard(n, 200) for n in range(5)), shard(5, 50)]
    (job,) = plan(shards).jobs
    assert job.records == 800  # and 250 wait for company


# deadlines


def test_a_passed_deadline_is_answered_on_demand_whatever_the_pipeline_says() -> None:
    shards = [
        shard(1, 500, deadline_at=NOW, too_few="wait"),
        shard(2, 500, deadline_at=LATER),
        shard(3, 1, deadline_at=DUE, too_few="flex"),
    ]
    found = plan(shards)
    assert shape(found) == [(*ON_DEMAND, [1, 3])]
    assert found.jobs[0].why == "its deadline has passed"
    assert found.held == ()


def test_a_passed_deadline_does_not_open_a_purse() -> None:
    found = plan([shard(1, 5, deadline_at=DUE)], room={"p": Decimal("0.5")})
    assert (found.jobs, rests(found)) == ((), [(1, Code.BUDGET_EXCEEDED)])


# cancels


def test_shards_with_cancelled_records_go_to_nobody_at_once() -> None:
    mine, other = "a" * 16, "b" * 16
    shards = [
        shard(1, 2, ranges=(str(Range(mine, "m", 0, 1, 1)), str(Range(other, "m", 0, 1, 1)))),
        shard(2, 1, ranges=(str(Range(other, "m", 1, 1, 1)),)),
        shard(3, 1, ranges=(str(Range(mine, "m", 1, 1, 1)),), deadline_at=DUE),
    ]
    cancels = Cancels(frozenset({mine}))
    for state in ({}, {"paused": True}, {"batch": False}):
        found = plan_lanes(lane(shards, **state), free_slots=0, room={"p": Decimal(0)}, cancels=cancels)
        assert shape(found) == [(*NOBODY, [1, 3])]
        assert found.jobs[0].why == "records in it are cancelled"


def test_a_cancelled_pipeline_leaves_later_records_alone() -> None:
    shards = [shard(n, 1, ranges=(str(Range("a" * 16, "m", n, 1, 1)),)) for n in range(3)]
    cancels = Cancels(pipelines={"p": shards[1].first_at})
    assert shape(plan(shards, cancels=cancels)) == [(*NOBODY, [0, 1])]


# lanes


def test_a_paused_lane_opens_nothing_and_what_is_due_rests() -> None:
    shards = [shard(1, 1_000), shard(2, 5, urgent_at=DUE), shard(3, 5, urgent_at=DUE, deadline_at=DUE)]
    found = plan_lanes(lane(shards, paused=True), room={"p": Decimal(0)})
    assert found.jobs == ()
    assert rests(found) == [(2, Code.LANE_PAUSED), (3, Code.LANE_PAUSED)]


def test_lanes_of_a_model_share_its_slots() -> None:
    here = lane([shard(n, 1_000) for n in range(3)], "eu.m#Converse")
    there = lane([shard(n, 1_000, lane="us.m#Converse") for n in range(3, 6)], "us.m#Converse")
    assert [numbers(job.shards) for job in plan_lanes(here, there, free_slots=3).jobs] == [[0], [3], [1]]
    found = plan_lanes(here, there, free_slots=1, turn="eu.m#Converse#p")
    assert [numbers(job.shards) for job in found.jobs] == [[3]]
    assert found.jobs[0].turn == "us.m#Converse#p"


def test_jobs_are_never_shared_between_lanes() -> None:
    few = [lane([shard(n, 60, urgent_at=DUE)], f"{n}#Converse") for n in range(2)]
    assert {job.engine for job in plan_lanes(*few).jobs} == {Engine.ON_DEMAND}


# turns


def test_a_small_pipeline_does_not_wait_for_a_large_ones_backlog() -> None:
    large = [shard(n, 100, pipeline="large") for n in range(50)]
    found = plan([*large, shard(99, 100, pipeline="small", urgent_at=DUE)], free_slots=1)
    (job,) = found.jobs
    assert Counter(one.pipeline for one in job.shards) == {"large": 9, "small": 1}


@settings(max_examples=40)
@given(
    st.integers(1, 5),  # pipelines
    st.integers(1, 2),  # lanes
    st.integers(1, 2),  # slots a run
    st.sampled_from([170, 500, 1_000]),  # records a shard
    st.lists(st.booleans(), min_size=5, max_size=5),  # which backlogs are a day older
)
def test_with_k_pipelines_each_is_served_within_k_runs(
    pipelines: int, lanes: int, slots: int, records: int, older: list[bool]
) -> None:
    """Backlogs that never end, of any age, and as few slots as there may be."""
    served: Counter[tuple[int, int]] = Counter()
    parties = [(which, number) for number in range(pipelines) for which in range(lanes)]
    turn = ""
    for run in range(3):
        before = set(served)
        for _ in range(len(parties)):
            made = [
                lane(
                    [
                        shard(
                            (served[which, number] + n) % 10_000,
                            records,
                            shard_id=f"{which}-{number}-{served[which, number] + n:06d}",
                            pipeline=f"p{number}",
                            lane=f"{which}#Converse",
                            created_at=f"2026-01-0{1 + older[number]}T00:00:00.000Z",
                            urgent_at=DUE,
                        )
                        for number in range(pipelines)
                        for n in range(slots * 1_000 // records + 1)
                    ],
                    f"{which}#Converse",
                )
                for which in range(lanes)
            ]
            found = plan_lanes(*made, free_slots=slots, turn=turn)
            assert len(found.jobs) == slots
            for job in found.jobs:
                turn = job.turn
                for one in job.shards:
                    which, number, _ = one.shard_id.split("-")
                    served[int(which), int(number)] += 1
        assert run or not before
        assert {one for one in parties if served[one] > run} == set(parties)


# reading


def reading(
    queues: dict[str, list[Shard]], *, jobs: int = 1, room: dict[str, Decimal] | None = None
) -> tuple[list[int], bool, dict[str, int]]:
    """Read; also say how many shards were taken from each queue."""
    taken: Counter[str] = Counter()

    def watched(name: str) -> Iterator[Shard]:
        for one in queues[name]:
            taken[name] += 1
            yield one

    found = pack.read(
        {name: watched(name) for name in queues},
        jobs=jobs,
        limits=LIMITS,
        engine=Engine.BATCH,
        room=room or {},
        cost=one_usd,
    )
    return numbers(found.shards), found.more, dict(taken)


def test_a_lane_is_read_in_turns_until_there_is_enough() -> None:
    a = [shard(n, 300) for n in range(9)]
    b = [shard(n, 300, pipeline="b") for n in range(10, 19)]
    assert reading({"a": a, "b": b}) == ([0, 10, 1, 11], True, {"a": 2, "b": 2})
    assert reading({"b": b, "a": a[:1]}, jobs=2) == ([10, 0, 11, 12, 13, 14, 15], True, {"b": 6, "a": 1})
    assert reading({"a": a[:2]}) == ([0, 1], False, {"a": 2})
    assert reading({}) == ([], False, {})


def test_a_lane_is_read_until_bytes_are_enough() -> None:
    assert reading({"a": [shard(n, 1, bytes=4_000) for n in range(9)]}) == ([0, 1, 2], True, {"a": 3})


def test_what_a_budget_does_not_cover_is_read_within_bounds_and_hides_nothing() -> None:
    poor = [shard(n, 300, pipeline="poor") for n in range(9)]
    rich = [shard(n, 300, pipeline="rich") for n in range(10, 19)]
    found, more, taken = reading({"poor": poor, "rich": rich}, jobs=2, room={"poor": Decimal(0)})
    assert taken == {"poor": 4, "rich": 7}  # 1,200 records of the poor, 2,100 of the rich
    assert more
    assert sorted(found) == [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16]
    assert reading({"poor": poor}, room={"poor": Decimal(0)}) == ([0, 1, 2, 3], False, {"poor": 4})


def test_a_deadline_is_a_time_to_wake_for() -> None:
    assert pack.next_due([shard(1, 1, deadline_at="2026-01-05T09:00:00.000Z")], NOW) == LATER
    assert pack.next_due([shard(1, 1, urgent_at="2027", deadline_at=LATER)], NOW) == LATER


# everything at once

SHARDS = st.lists(
    st.tuples(
        st.integers(1, 700),
        st.integers(1, 6_000),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["on_demand", "flex", "priority", "wait"]),
        st.sampled_from([DUE, NOW, LATER]),
        st.sampled_from([None, None, None, DUE, LATER]),
        st.sampled_from("xyz"),
    ),
    max_size=40,
).map(
    lambda drawn: [
        shard(
            number,
            records,
            bytes=size,
            pipeline=name,
            too_few=policy,
            urgent_at=at,
            deadline_at=deadline,
            ranges=(str(Range(document * 16, "m", number, records, 1)),),
        )
        for number, (records, size, name, policy, at, deadline, document) in enumerate(drawn)
    ]
)


def half_price(one: Shard, engine: Engine, tier: Tier) -> Decimal:
    if engine is Engine.NOBODY:
        return Decimal(0)
    return Decimal(one.records) / (10 if engine is Engine.ON_DEMAND and tier is Tier.DEFAULT else 20)


@given(
    st.lists(SHARDS, min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
    st.integers(-1, 5),
    st.dictionaries(st.sampled_from(["a", "b"]), st.decimals(-1, 3_000, places=2)),
    st.integers(1, 3),
    st.sampled_from(
        [Cancels(), Cancels(frozenset({"x" * 16})), Cancels(pipelines={"a": "2026-01-05T08:00:05"})]
    ),
    st.sampled_from(["", "0#Converse#a", "1#Converse#b", "9"]),
)
def test_a_plan_keeps_every_promise(
    pending: list[list[Shard]],
    batch: bool,
    paused: bool,
    free_slots: int,
    room: dict[str, Decimal],
    pipelines: int,
    cancels: Cancels,
    turn: str,
) -> None:
    lanes = []
    for which, some in enumerate(pending):
        name = f"{which}#Converse"
        mine = [
            one.model_copy(update={"lane": name, "shard_id": f"{which}{one.shard_id[1:]}"}) for one in some
        ]
        lanes.append(lane(mine, name, batch=batch, paused=paused and which == 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "MAX_PIPELINES", pipelines)
        found = plan_lanes(
            *lanes, free_slots=free_slots, turn=turn, room=room, cost=half_price, cancels=cancels
        )
    shards = {one.shard_id: one for some in lanes for one in some.shards}
    cancelled = {one.shard_id for one in cancels.touched(shards.values())}
    # Each shard is in at most one place, and each job of one lane.
    names = [one.shard_id for job in found.jobs for one in job.shards]
    names += [one.shard_id for one, _ in found.held]
    assert len(names) == len(set(names))
    assert set(names) <= set(shards)
    for job in found.jobs:
        assert len({one.lane for one in job.shards}) == 1
        assert len({one.pipeline for one in job.shards}) <= pipelines
        # Within a pipeline the order is the lane's, and its records stand together.
        assert [one.pipeline for one in job.shards] == sorted(one.pipeline for one in job.shards)
    batches = [job for job in found.jobs if job.engine is Engine.BATCH]
    small = [job for job in found.jobs if job.engine is Engine.ON_DEMAND]
    nobody = [job for job in found.jobs if job.engine is Engine.NOBODY]
    assert len(batches) <= max(0, free_slots if batch else 0)
    for job in batches:
        assert LIMITS.min_records <= job.records <= LIMITS.max_records
        assert sum(one.bytes for one in job.shards) <= LIMITS.max_job_bytes
    for job in small:
        late = [bool(one.deadline_at and one.deadline_at <= NOW) for one in job.shards]
        assert job.records <= pack.ON_DEMAND_RECORDS or len(job.shards) == 1
        if not all(late):
            assert not any(late)
            assert all(one.urgent_at <= NOW for one in job.shards)
            assert {one.too_few for one in job.shards} == {POLICIES[job.tier]}
    assert {one.shard_id for job in nobody for one in job.shards} == cancelled
    # A paused lane opens nothing but what is for nobody.
    if paused:
        assert {job.shards[0].lane for job in (*batches, *small)} <= {one.name for one in lanes[1:]}
    # The budget covers what opens.
    for name, left in room.items():
        spent = [
            half_price(one, job.engine, job.tier)
            for job in found.jobs
            for one in job.shards
            if one.pipeline == name
        ]
        assert sum(spent, Decimal(0)) <= max(left, Decimal(0))
    for one, code in found.held:
        assert {
            Code.BUDGET_EXCEEDED: one.pipeline in room,
            Code.TOO_FEW: one.too_few == "wait" and one.urgent_at <= NOW,
            Code.LANE_PAUSED: paused and one.lane == lanes[0].name and one.urgent_at <= NOW,
        }[code]
    # What is due and left alone only waits for a slot.
    waiting = [one for one in shards.values() if one.urgent_at <= NOW and one.shard_id not in names]
    assert not waiting or (batch and len(batches) == max(0, free_slots))


@given(SHARDS)
def test_what_opens_fits_into_input_files(shards: list[Shard]) -> None:
    for job in plan(shards).jobs:
        files = list(submit.files(job.shards, max_file_bytes=6_000))  # the largest shard
        assert [one for some in files for one in some] == list(job.shards)
        assert all(sum(one.bytes for one in some) <= 6_000 for some in files)


# requests that are the same


def test_bedrocks_minimum_counts_requests_that_will_be_sent() -> None:
    known = shard(1, 150, urgent_at=DUE, distinct=3)
    (job,) = plan_lanes(lane([known])).jobs
    assert (job.engine, job.records) == (Engine.ON_DEMAND, 150)
    (job,) = plan_lanes(lane([known, shard(2, 97, urgent_at=DUE)])).jobs
    assert (job.engine, job.records) == (Engine.BATCH, 247)


def test_copies_wait_for_company_where_their_pipeline_says_so() -> None:
    known = shard(1, 150, urgent_at=DUE, distinct=99, too_few="wait")
    found = plan_lanes(lane([known]))
    assert (found.jobs, found.held) == ((), ((known, Code.TOO_FEW),))
