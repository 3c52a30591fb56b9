"""Budgets of a day, of a month and of a document: what rests, what goes on, and what is counted."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.faults import audit
from tests.faults.conftest import Make
from tests.faults.scenarios import pipeline, status, upload
from tests.integration.world import World

# A record of these tests has 14 to 15 tokens in, 46 to 49 with the margin, and 64 out. In a batch, at 0.03
# and 0.12 USD a million, it may cost 0.0000091 USD; on demand twice as much.
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
