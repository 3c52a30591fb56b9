"""Pending shards become jobs: the lease, slots, budgets, and what happens when there are too few."""

import json
from decimal import Decimal
from typing import Any

import pytest
from batchline import catalog, chunk
from batchline.aws import dynamo

from tests.faults import audit
from tests.integration.world import NOVA, PACK_TIME, World

BASE = "amazon.nova-lite-v1:0"
LANE = f"{NOVA}#Converse"


def rows(count: int, start: int = 0) -> str:
    return "".join(json.dumps({"a": f"row {n}"}) + "\n" for n in range(start, start + count))


def ready(world: World, name: str = "rows", **keys: Any) -> None:
    shape: dict[str, Any] = {
        "chunk": {"by": "row"},
        "prompt": "{{ row.a }}",
        "inference": {"max_tokens": 100},
    }
    world.pipeline(name, **(shape | keys))
    world.deliver_all()


def upload(world: World, count: int, key: str = "inbox/rows/a.jsonl", start: int = 0) -> None:
    world.upload(key, rows(count, start))
    world.deliver("UploadsQueue")


def test_a_job_is_opened_with_its_slot_and_its_reservation(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    (job_id,) = world.pack().jobs
    row = world.job()
    assert row["job_id"] == job_id
    assert (row["status"], row["engine"], row["tier"]) == ("OPEN", "batch", "default")
    assert (row["model"], row["base_model"], row["lane"]) == (NOVA, BASE, f"{NOVA}#Converse")
    assert (row["records"], row["shards"]) == (120, 1)
    assert row["created_at"] == "2026-11-22T09:00:00.000Z"
    assert row["reserve_day"] == "2026-11-22"
    assert row["history"] == ["2026-11-22T09:00:00.000Z OPEN"]
    # "row 0" to "row 119": 5 to 7 bytes are 2 tokens, 12 frame them. 120 times 14 in, of which the first 100
    # are weighed together, which is 2 less, and 100 out; the input by 224 percent more, as Nova's may be low:
    # 5437 in, 12000 out, at 0.03 and 0.12 USD a million.
    assert row["estimate"] == {
        "input_tokens": 1678,
        "output_tokens": 12000,
        "cost_usd": Decimal("0.00160311"),
        "on_demand_usd": Decimal("0.00320622"),
        "price_basis": "list",
    }
    assert row["why"] == "its oldest record has waited long enough; 120 records"
    assert row["pipelines"] == {"rows": Decimal("0.00160311")}
    (slot,) = world.control("slots#")
    assert (slot["pk"], slot["holders"]) == (f"slots#{BASE}", {job_id})
    committed = {one["pk"]: one["committed"] for one in world.control("budget#")}
    assert committed == dict.fromkeys(("budget#rows#2026-11-22", "budget#*#2026-11"), Decimal("0.00160311"))
    assert world.pending() == []
    assert world.bodies("JobsQueue") == [{"job_id": job_id}]
    plan = json.loads(world.object(f"jobs/{job_id}/plan.json"))
    assert [one["records"] for one in plan["shards"]] == [120]
    (lease,) = world.control("lease#pack")
    assert (lease["epoch"], "open_job" in lease, "until" in lease) == (1, False, False)


def test_pipelines_of_one_model_share_a_job(world: World) -> None:
    ready(world, max_wait="0s")
    ready(world, "others", max_wait="0s")
    upload(world, 60)
    upload(world, 60, "inbox/others/b.jsonl")
    world.pack()
    assert sorted(world.job()["pipelines"]) == ["others", "rows"]
    world.run()
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    audit.check_end(world)


def test_records_wait_for_company_until_they_are_urgent(world: World) -> None:
    ready(world, max_wait="10m")
    upload(world, 120)
    world.clock.advance(599)
    assert world.pack().jobs == ()
    world.clock.advance(1)
    assert len(world.pack().jobs) == 1


def test_without_a_free_slot_shards_stay_pending(world: World) -> None:
    world.slot_share = 1  # of 100 jobs
    ready(world, max_wait="0s")
    upload(world, 120)
    assert len(world.pack().jobs) == 1
    upload(world, 120, "inbox/rows/b.jsonl", start=500)
    assert world.pack().jobs == ()
    assert len(world.pending()) == 1
    assert world.bodies("JobsQueue") == [{"job_id": world.job()["job_id"]}]
    world.run()
    assert len(world.jobs()) == 2
    audit.check_end(world)


def test_thirty_jobs_on_three_slots_wear_out_no_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = catalog.limits(NOVA).model_copy(
        update={"min_records": 2, "max_records": 2, "concurrent_jobs": 3}
    )
    monkeypatch.setattr(catalog, "limits", lambda _model: limits)
    world.bedrock.minimum, world.slot_share = 2, 100
    ready(world, max_wait="0s")
    for n in range(30):
        world.upload(f"inbox/rows/{n}.jsonl", rows(2, n * 10))
        world.deliver("UploadsQueue")
    most = 0
    for _ in range(60):
        world.clock.advance(60)
        world.pack()
        world.deliver_all()
        most = max(most, len(world.bedrock.running()))
        world.end_jobs()
        world.deliver_all()
    assert len(world.jobs()) == 30
    assert most == 3
    audit.check_end(world)


# budgets


def test_a_pipeline_without_budget_left_rests_until_tomorrow(world: World) -> None:
    # 120 rows reserve 0.00160311 USD: two jobs fit into a day, three do not.
    ready(world, max_wait="0s", budget={"per_day_usd": 0.004})
    for n in range(3):
        upload(world, 120, f"inbox/rows/{n}.jsonl", start=1000 * (n + 1))
        world.pack()
    held = world.document("inbox/rows/2.jsonl")
    assert (held["status"], held["error"]["code"]) == ("HELD", "BUDGET_EXCEEDED")
    assert "0.004 USD" in held["error"]["message"]
    assert held["problem"] == "rows#BUDGET_EXCEEDED"
    (shard,) = world.pending()
    assert shard["held"] == "BUDGET_EXCEEDED"
    audit.check(world)
    world.clock.advance(16 * 3600)  # one in the morning
    world.run()
    assert world.document("inbox/rows/2.jsonl")["status"] == "COMPLETED"
    assert "problem" not in world.document("inbox/rows/2.jsonl")
    days = {one["pk"]: one for one in world.control("budget#")}
    assert set(days) == {"budget#rows#2026-11-22", "budget#rows#2026-11-23", "budget#*#2026-11"}
    # 100 in and 20 out per row: 0.0000054 USD, 240 rows on the first day
    assert days["budget#rows#2026-11-22"]["committed"] == Decimal("0.001296")
    audit.check_end(world)


def test_a_higher_budget_lets_documents_go_on_today(world: World) -> None:
    ready(world, max_wait="0s", budget={"per_day_usd": 0.001})
    upload(world, 120)
    world.pack()
    assert world.document("inbox/rows/a.jsonl")["status"] == "HELD"
    world.clock.advance(60)
    ready(world, max_wait="0s", budget={"per_day_usd": 0.01})
    world.pack()
    assert world.document("inbox/rows/a.jsonl")["status"] == "QUEUED"
    world.run()
    audit.check_end(world)


def test_a_document_that_is_still_chunked_is_held_when_it_is_sealed(world: World) -> None:
    """Its shards are over budget before the last one is written."""
    ready(world, max_wait="0s", budget={"per_day_usd": 0.001})
    packed: list[int] = []

    def pack_meanwhile(name: str, parameters: Any) -> None:
        if name == "dynamodb.UpdateItem" and ":chunking" in parameters["ExpressionAttributeValues"]:
            world.calls.watch = None
            packed.append(world.pack().held)
            world.calls.begin("chunk")

    world.calls.watch = pack_meanwhile
    upload(world, 2100)
    assert packed, "the packer did not run in between"
    world.clock.advance(60)
    world.pack()
    row = world.document("inbox/rows/a.jsonl")
    assert (row["status"], row["error"]["code"]) == ("HELD", "BUDGET_EXCEEDED")


def test_what_could_not_be_read_is_not_forgotten_while_a_document_is_held(world: World) -> None:
    ready(world, max_wait="0s", budget={"per_day_usd": 0.001})
    world.upload("inbox/rows/a.jsonl", rows(4100) + "not JSON\n")
    world.deliver("UploadsQueue")
    world.pack()
    assert world.document("inbox/rows/a.jsonl")["error"]["code"] == "BUDGET_EXCEEDED"
    world.clock.advance(60)
    ready(world, max_wait="0s", budget={"per_day_usd": 10})
    world.run()
    row = world.document("inbox/rows/a.jsonl")
    assert (row["status"], row["error"]["code"]) == ("PARTIAL", "ROWS_INVALID")
    assert row["problem"] == "rows#ROWS_INVALID"
    audit.check_end(world)


# too few


def test_too_few_records_that_may_wait_are_held_until_company_arrives(world: World) -> None:
    ready(world, max_wait="2m", too_few="wait")
    upload(world, 60)
    world.clock.advance(120)
    assert world.pack().held == 1
    row = world.document("inbox/rows/a.jsonl")
    assert (row["status"], row["error"]["code"]) == ("HELD", "TOO_FEW")
    world.deliver("DocumentsQueue")
    assert [(kind, one["code"]) for kind, one in world.events()] == [("Document Held", "TOO_FEW")]
    assert "at least 100" in row["error"]["message"]
    world.clock.advance(60)
    assert world.pack().held == 0  # said once
    upload(world, 60, "inbox/rows/b.jsonl", start=100)
    world.pack()
    assert world.job()["engine"] == "batch"
    assert {one["status"] for one in world.documents()} == {"QUEUED"}
    world.run()
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    audit.check_end(world)


@pytest.mark.parametrize(("too_few", "tier"), [("on_demand", "default"), ("flex", "flex")])
def test_too_few_records_that_may_not_wait_are_asked_one_by_one(
    world: World, too_few: str, tier: str
) -> None:
    ready(world, max_wait="0s", too_few=too_few)
    upload(world, 3)
    world.pack()
    row = world.job()
    assert (row["engine"], row["tier"]) == ("on_demand", tier)
    assert "holders" not in (world.control("slots#") or [{}])[0]
    world.run()
    assert world.bedrock.tiers == [tier] * 3
    # 100 in and 20 out at 0.06 and 0.24, flex at half of it
    assert world.document()["cost_usd"] == Decimal("0.0000324") / (1 if tier == "default" else 2)
    audit.check_end(world)


def test_what_is_asked_before_others_costs_more(world: World) -> None:
    ready(world, max_wait="0s", too_few="priority", model="us.amazon.nova-pro-v1:0")
    upload(world, 3)
    world.run()
    assert world.bedrock.tiers == ["priority"] * 3
    # 300 in and 60 out, at 1.4 and 5.6 instead of 0.8 and 3.2 USD per million tokens:
    # 0.00042 + 0.000336 instead of 0.00024 + 0.000192
    document = world.document()
    assert (document["cost_usd"], document["saved_usd"]) == (Decimal("0.000756"), Decimal("-0.000324"))
    audit.check_end(world)


# one packer at a time


def test_a_second_packer_leaves_at_once_and_rings_again(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    assert world.packer().control.pack_lease.take("somebody", world.clock().timestamp())
    assert world.pack().jobs == ()
    assert world.bodies("WakeQueue")[-1] == {"hop": 1}
    world.clock.advance(61)
    assert len(world.pack().jobs) == 1


def test_a_loser_does_not_ring_for_ever(world: World) -> None:
    ready(world)
    assert world.packer().control.pack_lease.take("somebody", world.clock().timestamp())
    world.pack(hop=5)
    assert world.bodies("WakeQueue") == []


def test_a_job_left_half_opened_is_finished_first(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    original = world.calls.watch

    def stop(name: str, _parameters: Any) -> None:
        if name == "dynamodb.BatchWriteItem":
            world.calls.watch = original
            raise RuntimeError

    world.calls.watch, world.fatal = stop, False
    world.pack()
    world.fatal = True
    assert len(world.pending()) == 1
    assert world.control("lease#pack")[0]["open_job"] == world.job()["job_id"]
    assert world.pack().jobs == ()
    assert world.pending() == []
    assert world.bodies("JobsQueue") == [{"job_id": world.job()["job_id"]}]


def test_a_document_whose_hold_was_cut_off_still_ends(world: World) -> None:
    """A packer died after it held the document, before it marked the shard."""
    ready(world, max_wait="0s")
    upload(world, 3)
    document_id = world.document()["document_id"]
    request = dynamo.update(
        "Documents",
        {"document_id": document_id},
        "SET #status = :held, #error = :error, #problem = :problem",
        values={
            "held": "HELD",
            "error": {"code": "BUDGET_EXCEEDED", "message": "used up"},
            "problem": "rows#BUDGET_EXCEEDED",
        },
    )
    dynamo.write(world.packer().control.client, request)
    for _ in range(3):
        world.minute()
    row = world.document()
    assert row["status"] == "COMPLETED"
    assert "problem" not in row
    assert "error" not in row
    audit.check_end(world)


def test_a_document_of_which_a_part_goes_on_says_that_the_rest_is_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shards alike, and a budget that is enough for either of them a day."""
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 100)
    # 100 rows reserve at most (15 * 1.1 * 0.03 + 100 * 0.12) * 100 / 1000000 = 0.00125 USD.
    ready(world, max_wait="0s", budget={"per_day_usd": 0.001})
    upload(world, 200)
    assert world.pack().held == 2
    world.clock.advance(60)
    ready(world, max_wait="0s", budget={"per_day_usd": 0.0015})
    world.pack()
    row = world.document("inbox/rows/a.jsonl")
    assert (len(world.jobs()), len(world.pending())) == (1, 1)
    assert (row["status"], row["error"]["code"]) == ("HELD", "BUDGET_EXCEEDED")
    world.run()
    row = world.document("inbox/rows/a.jsonl")
    assert (row["status"], row["open"]) == ("HELD", 100)
    world.clock.advance(24 * 3600)
    world.pack()
    world.run()
    assert world.document("inbox/rows/a.jsonl")["status"] == "COMPLETED"
    audit.check_end(world)


def test_a_packer_that_freezes_past_its_lease_opens_nothing_when_it_thaws(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    others: list[tuple[str, ...]] = []

    def freeze(name: str, parameters: Any) -> None:
        if name == "s3.PutObject" and parameters["Key"].endswith("plan.json") and not others:
            others.append(())
            world.clock.advance(61)
            others[0] = world.packer().run("another", until=world.clock() + PACK_TIME).jobs

    world.calls.watch = freeze
    assert world.pack().jobs == ()
    assert others == [(world.job()["job_id"],)]
    assert world.pending() == []
    assert world.bodies("JobsQueue") == [{"job_id": world.job()["job_id"]}]
    (slot,) = world.control("slots#")
    assert slot["holders"] == {world.job()["job_id"]}
    world.run()
    audit.check_end(world)


def test_a_claim_that_was_cut_short_by_time_is_finished_by_the_next_run(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    before = len(world.bodies("WakeQueue"))

    def dawdle(name: str, _parameters: Any) -> None:
        if name == "dynamodb.TransactWriteItems":
            world.clock.advance(101)

    world.calls.watch = dawdle
    (job_id,) = world.pack().jobs
    world.calls.watch = None
    assert world.control("lease#pack")[0]["open_job"] == job_id
    assert (len(world.pending()), world.bodies("JobsQueue")) == (1, [])
    assert world.bodies("WakeQueue")[before:] == [{"hop": 0}]
    assert world.pack().jobs == ()
    assert (world.pending(), world.bodies("JobsQueue")) == ([], [{"job_id": job_id}])


# budgets that change, pauses, cancels, deadlines, turns


def test_a_budget_that_runs_out_between_plan_and_open_holds_only_its_own_records(world: World) -> None:
    ready(world, max_wait="0s", budget={"per_day_usd": 0.002})
    ready(world, "others", max_wait="0s")
    upload(world, 120)
    upload(world, 120, "inbox/others/b.jsonl")
    before = len(world.bodies("WakeQueue"))

    def spend(name: str, parameters: Any) -> None:
        if name == "s3.PutObject" and parameters["Key"].endswith("plan.json"):
            world.calls.watch = None
            control = world.packer().control
            day = "2026-11-22"
            dynamo.write(control.client, control.budgets.reserve("rows", day, Decimal("0.001"), None))

    world.calls.watch = spend
    packed = world.pack()
    assert (packed.jobs, packed.held) == ((), 0)
    assert world.bodies("WakeQueue")[before:] == [{"hop": 0}]
    packed = world.pack()
    assert (len(packed.jobs), packed.held) == (1, 1)
    held, others = world.document("inbox/rows/a.jsonl"), world.document("inbox/others/b.jsonl")
    assert (held["status"], held["error"]["code"], others["status"]) == ("HELD", "BUDGET_EXCEEDED", "QUEUED")
    assert list(world.job()["pipelines"]) == ["others"]


def fail(world: World, times: int, reason: str = "The role may not read the input.") -> None:
    control = world.packer().control
    for _ in range(times):
        dynamo.write(control.client, control.lanes.failed(LANE, reason))


def test_a_paused_lane_rests_until_it_is_resumed(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    fail(world, 2)
    packed = world.pack()
    assert (packed.jobs, packed.held) == ((), 1)
    row = world.document()
    assert (row["status"], row["error"]["code"]) == ("HELD", "LANE_PAUSED")
    assert "The role may not read the input." in row["error"]["message"]
    assert f"batchline resume {LANE}" in row["error"]["message"]
    assert world.pack().held == 0  # said once
    world.packer().control.lanes.resume(LANE)
    assert len(world.pack().jobs) == 1
    row = world.document()
    assert row["status"] == "QUEUED"
    assert "error" not in row


def test_a_lane_of_which_one_job_failed_is_not_paused(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    fail(world, 1)
    assert len(world.pack().jobs) == 1


def test_a_cancelled_document_takes_its_shard_out_at_once(world: World) -> None:
    ready(world, max_wait="1h")
    for name in "ab":
        world.upload(f"inbox/rows/{name}.jsonl", rows(30))
    world.deliver("UploadsQueue")
    (shard,) = world.pending()
    assert len(shard["ranges"]) == 2
    world.packer().control.marks.cancel_document(
        world.document("inbox/rows/a.jsonl")["document_id"], world.clock()
    )
    assert len(world.pack().jobs) == 1
    row = world.job()
    assert (row["engine"], row["status"], row["records"]) == ("nobody", "OPEN", 60)
    assert row["why"] == "records in it are cancelled"
    assert (row["pipelines"], row["estimate"]["cost_usd"]) == ({"rows": 0}, 0)
    assert world.bodies("JobEventsQueue") == [{"job_id": row["job_id"]}]
    assert (world.pending(), world.control("slots#"), world.control("budget#")) == ([], [], [])
    assert (world.bodies("JobsQueue"), world.bodies("OnDemandQueue")) == ([], [])


def test_a_deadline_that_passes_while_records_are_pending_is_answered_on_demand(world: World) -> None:
    ready(world, max_wait="2h", too_few="wait", deadline="1h", timeout_hours=48)
    upload(world, 30)
    world.clock.advance(3599)
    assert world.pack().jobs == ()
    world.clock.advance(1)
    assert len(world.pack().jobs) == 1
    row = world.job()
    assert (row["engine"], row["tier"], row["why"]) == ("on_demand", "default", "its deadline has passed")
    assert (row["deadline_at"], row["timeout_hours"]) == ("2026-11-22T10:00:00.000Z", 48)


def test_a_job_has_the_first_deadline_and_the_longest_timeout_of_its_records(world: World) -> None:
    ready(world, max_wait="0s", deadline="6h", timeout_hours=24)
    ready(world, "others", max_wait="0s", deadline="2h", timeout_hours=72)
    ready(world, "calm", max_wait="0s")
    for name in ("rows", "others", "calm"):
        upload(world, 60, f"inbox/{name}/a.jsonl")
    world.pack()
    row = world.job()
    assert (row["deadline_at"], row["timeout_hours"]) == ("2026-11-22T11:00:00.000Z", 72)


def test_the_only_slot_goes_round_between_pipelines(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = catalog.limits(NOVA).model_copy(update={"min_records": 2, "max_records": 2})
    monkeypatch.setattr(catalog, "limits", lambda _model: limits)
    world.slot_share = 1  # of 100 jobs
    names = ("a", "b", "c")
    for name in names:
        ready(world, name, max_wait="0s")
    for n in range(2):
        for name in names:
            world.upload(f"inbox/{name}/{n}.jsonl", rows(2, n * 10))
            world.deliver("UploadsQueue")
    served = []
    for _ in range(6):
        (job_id,) = world.pack().jobs
        row = next(one for one in world.jobs() if one["job_id"] == job_id)
        served += list(row["pipelines"])
        world.packer().control.slots.free(BASE, job_id)
        world.clock.advance(60)
    assert served == ["a", "b", "c", "a", "b", "c"]


def test_the_price_of_what_too_few_records_take_is_on_the_job(world: World) -> None:
    ready(world, max_wait="0s", too_few="flex")
    upload(world, 3)
    world.pack()
    row = world.job()
    assert row["why"] == "3 records; a batch needs 100, and too_few is flex"
    # 14 in and 100 out each; 42 in may be 137: flex is half of on demand, 0.06 and 0.24 USD a million.
    assert row["estimate"] == {
        "input_tokens": 42,
        "output_tokens": 300,
        "cost_usd": Decimal("0.00004011"),
        "on_demand_usd": Decimal("0.00008022"),
        "price_basis": "list",
    }
