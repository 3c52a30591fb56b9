from decimal import Decimal
from typing import Any

import pytest
from batchline import pack
from batchline.catalog import Limits
from batchline.errors import Code
from batchline.models import Engine, Shard, Tier
from hypothesis import given
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


def plan(
    shards: list[Shard],
    *,
    limits: Limits = LIMITS,
    batch: bool = True,
    free_slots: int = 10,
    room: dict[str, Decimal] | None = None,
    cost: pack.Cost = one_usd,
) -> pack.Plan:
    return pack.plan(
        shards, now=NOW, limits=limits, batch=batch, free_slots=free_slots, room=room or {}, cost=cost
    )


def shape(found: pack.Plan) -> list[tuple[Engine, Tier, list[int]]]:
    return [(job.engine, job.tier, [int(one.shard_id[1:]) for one in job.shards]) for job in found.jobs]


BATCH = (Engine.BATCH, Tier.DEFAULT)
ON_DEMAND = (Engine.ON_DEMAND, Tier.DEFAULT)
FLEX = (Engine.ON_DEMAND, Tier.FLEX)


def test_nothing_pending_opens_nothing() -> None:
    assert plan([]) == pack.Plan((), ())
    assert plan([], batch=False) == pack.Plan((), ())


def test_nothing_full_and_nothing_due_opens_nothing() -> None:
    assert plan([shard(1, 500), shard(2, 500)]) == pack.Plan((), ())
    assert plan([shard(1, 500)], batch=False) == pack.Plan((), ())


def test_a_full_job_opens_at_once_and_the_rest_waits() -> None:
    # 400 + 600 = 1,000 records are a full job; 300 are not.
    found = plan([shard(1, 400), shard(2, 600), shard(3, 300)])
    assert shape(found) == [(*BATCH, [1, 2])]
    assert found.jobs[0].records == 1_000
    assert found.jobs[0].why == "a full batch; 1000 records"


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
        shard(5, 9, urgent_at=LATER, too_few="on_demand"),  # 99 in all
    ]
    found = plan(shards)
    assert shape(found) == [(*ON_DEMAND, [1, 4]), (*FLEX, [2])]
    assert [(one.shard_id, code) for one, code in found.held] == [("s0003", Code.TOO_FEW)]
    assert found.jobs[0].why == "90 records; a batch needs 100, and too_few is on_demand"


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
    assert shape(found) == [(*BATCH, [0, 1, 9])]
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


SHARDS = st.lists(
    st.tuples(
        st.integers(1, 700),
        st.integers(1, 6_000),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["on_demand", "flex", "wait"]),
        st.sampled_from([DUE, NOW, LATER]),
    ),
    max_size=40,
).map(
    lambda drawn: [
        shard(number, records, bytes=size, pipeline=name, too_few=policy, urgent_at=at)
        for number, (records, size, name, policy, at) in enumerate(drawn)
    ]
)


@given(
    SHARDS,
    st.booleans(),
    st.integers(-1, 5),
    st.dictionaries(st.sampled_from(["a", "b"]), st.decimals(-1, 3_000, places=2)),
    st.integers(1, 3),
)
def test_a_plan_keeps_every_promise(
    shards: list[Shard], batch: bool, free_slots: int, room: dict[str, Decimal], pipelines: int
) -> None:
    def cost(one: Shard, engine: Engine, tier: Tier) -> Decimal:
        full_price = engine is Engine.ON_DEMAND and tier is Tier.DEFAULT
        return Decimal(one.records) / (10 if full_price else 20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "MAX_PIPELINES", pipelines)
        found = plan(shards, batch=batch, free_slots=free_slots, room=room, cost=cost)
    opened = [one for job in found.jobs for one in job.shards]
    held = [one for one, _ in found.held]
    # Each shard is in at most one place.
    names = [one.shard_id for one in (*opened, *held)]
    assert len(names) == len(set(names))
    assert set(names) <= {one.shard_id for one in shards}
    batches = [job for job in found.jobs if job.engine is Engine.BATCH]
    small = [job for job in found.jobs if job.engine is Engine.ON_DEMAND]
    assert len(batches) <= max(0, free_slots if batch else 0)
    for job in batches:
        assert LIMITS.min_records <= job.records <= LIMITS.max_records
        assert sum(one.bytes for one in job.shards) <= LIMITS.max_job_bytes
        assert len({one.pipeline for one in job.shards}) <= pipelines
    for job in small:
        assert job.records <= pack.ON_DEMAND_RECORDS
        assert all(one.urgent_at <= NOW for one in job.shards)
        assert {one.too_few for one in job.shards} == {"flex" if job.tier is Tier.FLEX else "on_demand"}
    # The budget covers what opens.
    for name, left in room.items():
        spent = sum(
            (
                cost(one, job.engine, job.tier)
                for job in found.jobs
                for one in job.shards
                if one.pipeline == name
            ),
            Decimal(0),
        )
        assert spent <= max(left, Decimal(0))
    for one, code in found.held:
        assert code == Code.BUDGET_EXCEEDED or (one.too_few == "wait" and one.urgent_at <= NOW)
        assert code == Code.TOO_FEW or one.pipeline in room
    # The oldest come first, in each job and from batch to batch.
    order = [one.shard_id for job in batches for one in job.shards]
    assert order == sorted(order)
    for job in found.jobs:
        assert [one.shard_id for one in job.shards] == sorted(one.shard_id for one in job.shards)
    # What is due and left alone only waits for a slot.
    waiting = [one for one in shards if one.urgent_at <= NOW and one.shard_id not in names]
    assert not waiting or (batch and len(batches) == max(0, free_slots))


def test_a_budget_for_a_batch_may_be_too_small_for_on_demand() -> None:
    def cost(_shard: Shard, engine: Engine, _tier: Tier) -> Decimal:
        return Decimal(2 if engine is Engine.ON_DEMAND else 1)

    due = [shard(number, 10, urgent_at=DUE) for number in range(3)]
    found = plan(due, room={"p": Decimal(4)}, cost=cost)
    # 3 USD would do for a batch, but ten records are too few for one: two shards at 2 USD each open.
    assert shape(found) == [(Engine.ON_DEMAND, Tier.DEFAULT, [0, 1])]
    assert found.held == ((due[2], Code.BUDGET_EXCEEDED),)
