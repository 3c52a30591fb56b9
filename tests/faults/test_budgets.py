"""Budgets of a day, of a month and of a document: what rests, what goes on, and what is counted."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from batchline.models import Usage

from tests.faults import audit
from tests.faults.conftest import Make
from tests.faults.scenarios import answer, approver, pipeline, status, upload
from tests.integration.fake_bedrock import Say, prompt_of
from tests.integration.world import World

# A record of these tests has 14 or 15 tokens in, which may be 49, and 64 out. In a batch, at 0.03 and 0.12
# USD a million, it may cost 0.0000092 USD; on demand twice as much.
TODAY = "2026-11-22"


def booked(world: World, name: str) -> dict[str, Any]:
    (row,) = [one for one in world.control("budget#") if one["pk"] == f"budget#{name}"]
    return row


def test_all_pipelines_together_keep_to_the_month(make_smallest: Make) -> None:
    world = make_smallest()
    world.per_month = "0.00003"
    pipeline(world)
    pipeline(world, "others")
    upload(world, "a", "plain", "other")
    world.upload("inbox/others/b.jsonl", '{"text": "plain"}\n{"text": "other"}\n')
    world.deliver_all()
    world.pack()
    held = [one for one in world.documents() if one["status"] == "HELD"]
    assert [one["error"]["code"] for one in held] == ["BUDGET_EXCEEDED"]
    assert "of the stack's budget for 2026-11" in held[0]["error"]["message"]
    assert "2026-12-01" in held[0]["error"]["message"]
    world.run()
    assert len(world.jobs()) == 1
    audit.check(world)
    assert booked(world, "*#2026-11")["committed"] == world.job()["cost_usd"]
    world.clock.at = datetime(2026, 12, 1, 0, 1, tzinfo=UTC)
    world.minute()
    world.run()
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    assert booked(world, "*#2026-12")["spent"] > 0
    audit.check_end(world)


def test_a_limit_of_the_month_counts_what_came_before_it(make_smallest: Make) -> None:
    world = make_smallest()
    pipeline(world)
    upload(world, "a", "plain", "other")
    world.run()
    spent = booked(world, "*#2026-11")["spent"]
    world.per_month = str(spent)
    upload(world, "b", "third", "fourth")
    world.minute()
    world.run()
    assert [status(world, one) for one in "ab"] == ["COMPLETED", "HELD"]
    world.per_month = str(spent + Decimal("0.0001"))
    world.minute()
    world.run()
    assert status(world, "b") == "COMPLETED"
    audit.check_end(world)


def test_what_has_no_price_is_not_free_under_a_budget(make_smallest: Make) -> None:
    world = make_smallest()
    pipeline(world, model="unheard.of-v1:0", budget={"per_day_usd": 100})
    upload(world, "a", "plain", "other")
    world.run()
    assert status(world, "a") == "HELD"
    assert "No price is known for unheard.of-v1:0" in world.document()["error"]["message"]
    assert world.jobs() == []
    pipeline(world, model="unheard.of-v1:0")
    world.minute()
    world.run()
    assert status(world, "a") == "COMPLETED"


# of a document


def test_a_small_document_that_may_cost_too_much_is_held_before_anything_is_asked(
    make_smallest: Make,
) -> None:
    # Two records may cost 0.0000182 USD in a batch, but alone and on demand they cost twice as much.
    world = make_smallest()
    pipeline(world, budget={"per_document_usd": 0.00003})
    upload(world, "a", "plain", "other")
    upload(world, "b", "third")
    world.minute()
    world.run()
    held = world.document("inbox/rows/a.jsonl")
    assert (held["status"], held["error"]["code"]) == ("HELD", "BUDGET_EXCEEDED")
    assert held["committed_usd"] > Decimal("0.00003")
    assert "leaves it 0.00003 of 0.00003" in held["error"]["message"]
    assert f"batchline approve {held['document_id']}" in held["error"]["message"]
    assert status(world, "b") == "COMPLETED"
    assert len(world.bedrock.paid) == 1
    assert [one["guarded"] for one in world.pending()] == [True]
    audit.check(world)


def test_a_pipeline_that_waits_for_a_batch_counts_its_price(make_smallest: Make) -> None:
    world = make_smallest()
    pipeline(world, budget={"per_document_usd": 0.00003}, too_few="wait")
    upload(world, "a", "plain", "other")
    world.run()
    assert status(world, "a") == "COMPLETED"
    audit.check_end(world)


def test_a_higher_budget_lets_a_document_go_on(make_smallest: Make) -> None:
    world = make_smallest()
    pipeline(world, budget={"per_document_usd": 0.00003})
    upload(world, "a", "plain", "other")
    world.minute()
    assert status(world, "a") == "HELD"
    pipeline(world, budget={"per_document_usd": 0.0001})
    world.minute()
    world.run()
    row = world.document()
    assert (row["status"], "error" in row) == ("COMPLETED", False)
    assert row["committed_usd"] == row["cost_usd"] > 0
    audit.check_end(world)


def test_nothing_of_a_large_document_is_asked_before_all_of_it_is_known(make_smallest: Make) -> None:
    world = make_smallest()
    pipeline(world, budget={"per_document_usd": 0.00008})
    packed = []

    def pack_between(name: str, parameters: Any) -> None:
        if name == "dynamodb.UpdateItem" and ":new_sealed" in parameters.get("ExpressionAttributeValues", ()):
            world.calls.watch = None
            packed.append((len(world.pending()), world.pack().jobs))

    world.calls.watch = pack_between
    upload(world, "a", *(f"row {n}" for n in range(5)))
    world.deliver_all()
    assert packed == [(2, ())]
    world.minute()
    world.run()
    assert (status(world, "a"), world.jobs()) == ("HELD", [])
    audit.check(world)
    pipeline(world, budget={"per_document_usd": 0.001})
    world.minute()
    world.run()
    assert status(world, "a") == "COMPLETED"
    audit.check_end(world)


def test_retries_that_a_document_cannot_afford_end_its_records(make_smallest: Make) -> None:
    """Both records are cut off; asking them again with twice the room may cost more than is left."""
    world = make_smallest()
    world.bedrock.answer = answer
    pipeline(world, budget={"per_document_usd": 0.00004})
    upload(world, "a", "long", "long too")
    world.minute()
    world.run()
    row = world.document()
    failed = [one["error"] for one in world.results(row["document_id"])]
    assert [one["code"] for one in failed] == ["BUDGET_EXCEEDED"] * 2
    assert all("Its last attempt ended as ANSWER_TRUNCATED." in one["message"] for one in failed)
    assert row["committed_usd"] == row["cost_usd"] <= Decimal("0.00004")
    assert len(world.jobs()) == 1
    audit.check_end(world)


def test_retries_that_a_document_can_afford_are_asked(make_smallest: Make) -> None:
    world = make_smallest()
    world.bedrock.answer = answer
    pipeline(world, budget={"per_document_usd": 0.0002})
    upload(world, "a", "long", "plain")
    world.minute()
    world.run()
    row = world.document()
    assert (row["status"], len(world.jobs())) == ("COMPLETED", 2)
    (first,) = [one for one in world.jobs() if one["records"] == 2]
    assert row["granted"] == {first["job_id"]}
    assert row["committed_usd"] == row["cost_usd"] <= Decimal("0.0002")
    audit.check_end(world)


# approvals


def approve(world: World, *names: str) -> None:
    rows = [world.document(f"inbox/rows/{name}.jsonl") for name in names]
    assert len(approver(world).approve_documents(rows)) == len(names)
    world.deliver_all()


def test_an_approved_document_goes_over_the_budget_of_its_day(make_smallest: Make) -> None:
    """It is booked all the same, so that nothing else is let go that day."""
    world = make_smallest()
    world.bedrock.answer = cheap
    pipeline(world, budget={"per_day_usd": 0.00001}, too_few="wait")
    upload(world, "a", "plain", "other")
    world.minute()
    assert status(world, "a") == "HELD"
    approve(world, "a")
    world.run()
    assert status(world, "a") == "COMPLETED"
    day = booked(world, f"rows#{TODAY}")
    # Two times 15 in, which may be 98, and 64 out: at 0.03 and 0.12 USD a million.
    assert day["approved"] == Decimal("0.0000183")
    assert day["committed"] == day["spent"] == world.document()["cost_usd"]
    upload(world, "b", "third", "fourth")
    world.minute()
    assert status(world, "b") == "HELD"
    audit.check(world)


def cheap(_name: str, body: dict[str, Any]) -> Say:
    return Say(f"answer to {prompt_of(body)}", usage=Usage(12, 5))


def test_an_approved_document_leaves_those_behind_that_shared_its_shard(make_smallest: Make) -> None:
    world = make_smallest()
    pipeline(world, budget={"per_day_usd": 0.000005}, too_few="wait")
    upload(world, "a", "plain", "other")
    upload(world, "b", "third", "fourth")
    world.minute()
    assert len(world.pending()) == 1
    approve(world, "a")
    world.run()
    assert [status(world, one) for one in "ab"] == ["COMPLETED", "HELD"]
    (left,) = world.pending()
    assert (left["records"], len(left["ranges"]), left["held"]) == (2, 1, "BUDGET_EXCEEDED")
    audit.check(world)
    approver(world).approve_pipeline("rows")
    world.run()
    assert status(world, "b") == "COMPLETED"
    audit.check_end(world)


def test_an_approved_document_goes_over_its_own_budget_and_so_do_its_retries(make_smallest: Make) -> None:
    world = make_smallest()
    world.bedrock.answer = answer
    pipeline(world, budget={"per_document_usd": 0.00001})
    upload(world, "a", "long", "plain")
    world.minute()
    assert status(world, "a") == "HELD"
    approve(world, "a")
    world.run()
    assert (status(world, "a"), len(world.jobs())) == ("COMPLETED", 2)
    assert world.document()["cost_usd"] > Decimal("0.00001")
    audit.check_end(world)


def test_the_month_is_no_matter_of_approval(make_smallest: Make) -> None:
    world = make_smallest()
    world.per_month = "0.00001"
    pipeline(world)
    upload(world, "a", "plain", "other")
    world.minute()
    approve(world, "a")
    world.minute()
    assert (status(world, "a"), world.jobs()) == ("HELD", [])
    audit.check(world)


def test_a_reduce_step_waits_for_the_budget_of_its_document(make_smallest: Make) -> None:
    world = make_smallest()
    world.bedrock.answer = cheap
    pipeline(
        world,
        budget={"per_document_usd": 0.00002},
        too_few="wait",
        combine={"prompt": "Merge {{ text }}", "max_tokens": 200},
    )
    upload(world, "a", "plain", "other")
    world.run()
    held = world.document()
    assert (held["status"], held["error"]["code"], held["open"]) == ("HELD", "BUDGET_EXCEEDED", 0)
    assert "All its parts are answered." in held["error"]["message"]
    # 200 tokens out alone cost 0.000024 in a batch.
    assert held["needs_usd"] > Decimal("0.000024")
    audit.check(world)
    world.pipeline("rows", chunk={"by": "row"}, prompt="Say {{ row.text }}", too_few="on_demand")
    world.deliver_all()
    approve(world, "a")
    # Its own version still says that one record waits for company.
    upload(world, "b", "third", "fourth")
    world.run()
    assert status(world, "a") == "COMPLETED"
    assert "needs_usd" not in world.document("inbox/rows/a.jsonl")
    audit.check_end(world)
