"""More faults by their names: of jobs, their slots, their outputs and their days."""

from datetime import timedelta
from typing import Any

import pytest
from batchline.aws import output
from batchline.catalog import Limits
from batchline.models import Usage

from tests.faults import audit
from tests.faults.conftest import Make
from tests.faults.scenarios import moody, pipeline, running, upload
from tests.integration.calls import Died
from tests.integration.fake_bedrock import Ending, Say
from tests.integration.world import MAX_RECEIVES, World


def ended(world: World) -> set[str]:
    return {row["status"] for row in world.documents()}


def test_three_hundred_jobs_on_three_slots(make_smallest: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """No job waits inside a queue, so none is delivered so often that it becomes a dead letter."""
    world = make_smallest()
    pipeline(world, max_wait="0s")
    monkeypatch.setattr("batchline.catalog.limits", few_records_a_job)
    for number in range(300):
        upload(world, str(number), *(f"{number} {n}" for n in range(3)))
    most = 0
    for _ in range(95):  # looking at three hundred documents takes longer than a minute of their lives
        world.minute()
        most = max(most, *(len(one.get("holders", ())) for one in world.control("slots#")))
    world.run()
    assert len(world.jobs()) == 300
    assert most <= 3
    assert ended(world) == {"COMPLETED"}
    assert world.deliveries["JobsQueue"] <= 300 * MAX_RECEIVES
    audit.check_end(world)


def few_records_a_job(_model: str) -> Any:
    return Limits(
        min_records=2, max_records=3, max_file_bytes=10_000, max_job_bytes=10_000, concurrent_jobs=4
    )


def test_a_job_that_ends_on_the_next_day_settles_the_budget_of_the_day_it_was_opened(
    make_smallest: Make,
) -> None:
    world = make_smallest()
    pipeline(world, budget={"per_day_usd": 1})
    world.clock.advance(14 * 3600 + 50 * 60)  # ten minutes to midnight
    moody(world).busy = True
    upload(world, "a", "plain", "other")
    world.deliver_all()
    world.minute()
    assert running(world)
    opened = world.clock().date()
    world.clock.advance(3600)
    moody(world).busy = False
    world.run()
    (row,) = world.control("budget#rows#")
    assert row["pk"] == f"budget#rows#{opened}"
    assert row["committed"] == row["spent"] == world.job()["cost_usd"] > 0
    assert world.clock().date() == opened + timedelta(days=1)
    audit.check_end(world)


def test_a_large_document_takes_more_than_sixteen_hops(make_smallest: Make) -> None:
    """AWS counts sixteen and stops the function unless it may go round: we count for ourselves."""
    world = make_smallest()
    pipeline(world, max_wait="12h")

    def take_long(name: str, _parameters: Any) -> None:
        if world.calls.stage == "chunk" and name == "dynamodb.TransactWriteItems":
            world.clock.advance(901)

    world.calls.watch = take_long
    upload(world, "a", *(f"row {n}" for n in range(100)))
    world.deliver_all()
    world.calls.watch = None
    assert world.deliveries["UploadsQueue"] - 1 > 16
    row = world.document()
    assert (row["sealed"], row["records"], row["open"]) == (True, 100, 100)
    audit.check(world)


def test_the_first_attempt_is_collected_again_after_the_second(make_smallest: Make) -> None:
    """Everything that told of the first job comes again when its records have better answers."""
    world = make_smallest()
    world.bedrock.answer = fails_first
    pipeline(world)
    upload(world, "a", "one", "two")
    world.run()
    first, second = world.jobs()
    before = {name: world.table(name) for name in ("Documents", "Results", "Jobs", "Costs")}
    for body in ({"job_id": first["job_id"]}, {"job_id": first["job_id"], "part": 0}):
        world.send("JobEventsQueue", body)
    world.deliver_all()
    assert {name: world.table(name) for name in before} == before
    assert {row["attempt"] for row in world.results(world.document()["document_id"])} == {2}
    assert second["counts"]["succeeded"] == 2
    audit.check_end(world)


def fails_first(record_id: str, _body: dict[str, Any]) -> Say:
    return Say(error=500) if record_id.endswith("1") else Say("an answer")


def test_the_first_attempt_is_read_late_by_a_frozen_collect(make_smallest: Make) -> None:
    """It freezes before it moves the job on; another collects it, and its records' next attempt too."""
    world = make_smallest()
    world.bedrock.answer = fails_first
    pipeline(world)
    upload(world, "a", "one", "two")

    def freeze(name: str, parameters: Any) -> None:
        if world.calls.stage == "collect" and name == "s3.GetObject":
            world.calls.watch = None
            for _ in range(8):
                world.minute()
            world.calls.begin("collect")

    world.calls.watch = freeze
    world.run()
    assert world.calls.watch is None
    assert world.document()["status"] == "COMPLETED"
    audit.check_end(world)


@pytest.mark.parametrize("part_bytes", [100, 250, 400, 700])
def test_a_line_stands_twice_across_the_border_of_two_parts(
    make_smallest: Make, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    monkeypatch.setattr(output, "PART_BYTES", part_bytes)
    world = make_smallest()
    pipeline(world)
    world.bedrock.ending = Ending(twice=lambda _name: True)
    upload(world, "a", "one", "two", "three")
    world.run()
    (job,) = world.jobs()
    assert job["parts"] > 1
    assert job["counts"]["duplicates"] == 3
    assert job["input_tokens"] == 2 * 300  # both lines of each were billed
    assert (world.document()["status"], world.document()["succeeded"]) == ("COMPLETED", 3)
    audit.check_end(world)


def test_a_job_without_a_manifest_is_not_verified(make_smallest: Make) -> None:
    world = make_smallest()
    pipeline(world)
    world.bedrock.ending = Ending(manifest=False)
    upload(world, "a", "one", "two")
    world.run()
    (total,) = world.costs("job#")
    assert total["verified"] is False
    assert Usage(total["input_tokens"], total["output_tokens"]) == Usage(200, 40)
    assert world.document()["status"] == "COMPLETED"
    audit.check_end(world)


@pytest.mark.parametrize("seconds", [40, 120, 400])
@pytest.mark.parametrize("stage", ["chunk", "pack", "submit", "invoke", "collect", "aggregate"])
def test_every_call_of_a_stage_takes_long(make_smallest: Make, stage: str, seconds: int) -> None:
    """Time runs out in the middle, leases too: others begin, and what is left is for the next run."""
    world = make_smallest()
    world.bedrock.answer = fails_first
    pipeline(world)
    slow = 0

    def wait(_name: str, _parameters: Any) -> None:
        nonlocal slow
        if world.calls.stage == stage and slow < 60:
            slow += 1
            world.clock.advance(seconds)

    world.calls.watch = wait
    upload(world, "a", *(f"row {n}" for n in range(5)))
    world.run(minutes=240)
    upload(world, "b", "alone")
    world.run(minutes=240)
    assert slow
    assert ended(world) == {"COMPLETED"}
    audit.check_end(world, in_flight=8)


@pytest.mark.parametrize("stage", ["chunk", "pack", "submit", "invoke", "collect", "aggregate"])
def test_a_function_dies_one_call_later_each_time(make_smallest: Make, stage: str) -> None:
    """Each run of a stage gets one call further than the last; no run repeats what one has done."""
    world = make_smallest()
    pipeline(world)
    runs, calls, seen = 0, 0, ""

    def die(_name: str, _parameters: Any) -> None:
        nonlocal runs, calls, seen
        if world.calls.stage != stage or runs >= 4:
            return
        owner = str(world._owners)
        if owner != seen:
            runs, calls, seen = runs + 1, 0, owner
        calls += 1
        if calls > 2 * runs:
            world.calls._dead = True
            raise Died

    world.calls.watch = die
    upload(world, "a", "one", "two")
    world.run(minutes=240)
    upload(world, "b", "alone")
    world.run(minutes=240)
    assert runs
    assert ended(world) == {"COMPLETED"}
    audit.check_end(world, in_flight=8)
