"""Reconcile rings for what was lost, frees what leaked, and leaves everything else alone."""

from typing import Any

import pytest
from batchline.aws import dynamo

from tests.integration.test_pack import BASE, ready, upload
from tests.integration.world import World

QUEUES = ("UploadsQueue", "JobsQueue", "OnDemandQueue", "JobEventsQueue", "DocumentsQueue")


def rung(world: World) -> dict[str, list[Any]]:
    return {queue: world.bodies(queue) for queue in QUEUES if world.bodies(queue)}


def drain(world: World) -> None:
    """Lose every message."""
    for queue in QUEUES:
        for message in world.receive(queue, 100):
            world.delete(queue, message)


@pytest.fixture
def opened(world: World) -> World:
    ready(world, max_wait="0s")
    upload(world, 120)
    world.pack()
    drain(world)
    return world


def test_a_quiet_stack_is_left_alone(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)
    world.run()
    world.clock.advance(3600)
    found = world.reconcile()
    assert (found.jobs, found.documents, found.freed) == (0, 0, 0)
    assert rung(world) == {}


def test_an_open_job_of_which_nobody_heard_is_submitted(opened: World) -> None:
    opened.clock.advance(119)
    opened.reconcile()
    assert rung(opened) == {}
    opened.clock.advance(1)
    opened.reconcile()
    assert rung(opened) == {"JobsQueue": [{"job_id": opened.job()["job_id"]}]}


def test_a_running_job_is_looked_at_even_without_an_event(opened: World) -> None:
    job_id = opened.job()["job_id"]
    opened.send("JobsQueue", {"job_id": job_id})
    opened.deliver("JobsQueue")
    opened.end_jobs(tell=False)
    opened.reconcile()
    assert rung(opened) == {"JobEventsQueue": [{"job_id": job_id}]}
    opened.run()
    assert opened.document()["status"] == "COMPLETED"


def test_a_job_that_somebody_works_on_is_left_alone(opened: World) -> None:
    opened.clock.advance(600)
    opened.submitter().jobs.lease(opened.job()["job_id"], "somebody", opened.clock().timestamp())
    opened.reconcile()
    assert rung(opened) == {}
    opened.clock.advance(91)
    opened.reconcile()
    assert list(rung(opened)) == ["JobsQueue"]


def test_a_waiting_job_is_rung_when_its_time_has_come(opened: World) -> None:
    opened.bedrock.quota = 0
    opened.send("JobsQueue", {"job_id": opened.job()["job_id"]})
    opened.deliver("JobsQueue")
    wait = opened.job()["retry_at"] - opened.clock().timestamp()
    opened.clock.advance(wait - 1)
    opened.reconcile()
    assert rung(opened) == {}
    opened.clock.advance(1)
    opened.reconcile()
    assert list(rung(opened)) == ["JobsQueue"]


def test_an_on_demand_job_is_rung_where_it_stands(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 3)
    world.pack()
    drain(world)
    world.clock.advance(120)
    world.reconcile()
    assert list(rung(world)) == ["OnDemandQueue"]
    world.deliver("OnDemandQueue")
    drain(world)
    world.reconcile()
    assert list(rung(world)) == ["JobEventsQueue"]


def test_a_slot_of_a_closed_job_is_freed(opened: World) -> None:
    control = opened.packer().control
    request = dynamo.update(
        "Control",
        {"pk": f"slots#{BASE}", "sk": "-"},
        "ADD #holders :jobs",
        values={"jobs": {"gone00000000"}},
    )
    dynamo.write(control.client, request)
    assert opened.reconcile().freed == 1
    assert opened.control("slots#")[0]["holders"] == {opened.job()["job_id"]}


def test_a_document_that_its_pipeline_missed_is_released(world: World) -> None:
    world.upload("inbox/rows/a.jsonl", '{"a": 1}')
    world.deliver_all()
    world.reconcile()
    assert rung(world) == {}  # there is no such pipeline yet
    ready(world)
    drain(world)
    request = dynamo.update(
        "Documents",
        {"document_id": world.document()["document_id"]},
        "SET #status = :held, #error = :error, #problem = :problem",
        values={
            "held": "HELD",
            "error": {"code": "PIPELINE_UNKNOWN", "message": "none"},
            "problem": "rows#PIPELINE_UNKNOWN",
        },
    )
    dynamo.write(world.packer().control.client, request)
    assert world.reconcile().documents == 1
    assert rung(world) == {"UploadsQueue": [{"document_id": world.document()["document_id"]}]}
