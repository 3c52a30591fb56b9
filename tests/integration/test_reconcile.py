"""Reconcile rings for what was lost, frees what leaked, and leaves everything else alone."""

from dataclasses import replace
from typing import Any

import pytest
from batchline.aws import dynamo, reconcile
from batchline.models import Stop

from tests.faults import audit
from tests.integration.calls import Died
from tests.integration.fake_bedrock import Ending, Job
from tests.integration.test_pack import BASE, ready, upload
from tests.integration.world import PREFIX, World

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


def open_more(world: World, names: str, count: int = 3) -> None:
    """Open an on-demand job for each of some documents."""
    for name in names:
        upload(world, count, f"inbox/rows/{name}.jsonl")
        world.pack()
        world.clock.advance(1)
    drain(world)


def on_bedrock(world: World) -> None:
    world.send("JobsQueue", {"job_id": world.job()["job_id"]})
    world.deliver("JobsQueue")
    drain(world)


# --- jobs that are to end


def test_a_job_past_its_deadline_is_stopped_and_the_rest_asked_on_demand(world: World) -> None:
    ready(world, max_wait="0s", deadline="6h")
    upload(world, 120)
    world.pack()
    on_bedrock(world)
    world.clock.advance(6 * 3600 - 1)
    assert world.reconcile().stopped == 0
    drain(world)
    world.clock.advance(1)
    assert world.reconcile().stopped == 1
    assert rung(world) == {"JobsQueue": [{"job_id": world.job()["job_id"]}]}
    assert world.job()["stop"] == "deadline"
    world.deliver("JobsQueue")
    assert [one.status for one in world.bedrock.jobs.values()] == ["Stopping"]
    world.bedrock.ending = Ending(left_out=lambda name: int(name[-8:-1]) >= 50)
    world.run()
    assert world.document()["status"] == "COMPLETED"
    first, second = world.jobs()
    assert (first["engine"], first["counts"]["succeeded"], first["counts"]["retried"]) == ("batch", 50, 70)
    assert (second["engine"], second["records"]) == ("on_demand", 70)
    assert sum(world.bedrock.paid.values()) == 120
    audit.check_end(world)


def test_a_job_that_waits_past_its_deadline_is_asked_on_demand(world: World) -> None:
    ready(world, max_wait="0s", deadline="1h")
    upload(world, 120)
    world.bedrock.quota = 0
    world.pack()
    world.deliver("JobsQueue")
    assert world.job()["status"] == "WAITING"
    world.clock.advance(3600)
    assert world.reconcile().stopped == 1
    world.run()
    assert world.bedrock.jobs == {}
    assert {one["engine"] for one in world.jobs()} == {"nobody", "on_demand"}
    assert world.document()["status"] == "COMPLETED"
    audit.check_end(world)


def test_a_stop_of_which_nobody_heard_is_rung_again(opened: World) -> None:
    on_bedrock(opened)
    assert opened.submitter().jobs.stop(opened.job()["job_id"], Stop.CANCELLED)
    opened.reconcile()
    assert list(rung(opened)) == ["JobsQueue"]
    opened.deliver("JobsQueue")
    drain(opened)
    opened.reconcile()
    assert list(rung(opened)) == ["JobEventsQueue"]  # Bedrock knows of it; now only its end is missing


# --- jobs at Bedrock


def test_a_job_whose_arn_was_lost_is_adopted_before_its_time(opened: World) -> None:
    def lose(name: str, _parameters: Any, reply: Any) -> Any:
        if name == "bedrock.CreateModelInvocationJob":
            raise Died
        return reply

    opened.calls.change = lose
    opened.fatal = False
    opened.send("JobsQueue", {"job_id": opened.job()["job_id"]})
    opened.deliver("JobsQueue")
    opened.calls.change = None
    opened.fatal = True
    opened.clock.advance(60)  # too soon for a job of its age to be rung for
    opened.reconcile()
    assert opened.job()["job_id"] in [one["job_id"] for one in opened.bodies("JobsQueue")]
    opened.clock.advance(31)
    for _ in range(2):
        opened.deliver("JobsQueue")
    assert (opened.job()["status"], len(opened.bedrock.jobs)) == ("RUNNING", 1)


def twin(world: World, name: str) -> Job:
    """Let another job run at Bedrock."""
    (job,) = [one for one in world.bedrock.jobs.values() if one.status == "InProgress"][:1]
    arn = job.arn[:-3] + f"9{len(world.bedrock.jobs):02d}"
    world.bedrock.jobs[arn] = replace(job, arn=arn, name=name, submitted=world.clock())
    return world.bedrock.jobs[arn]


def test_a_second_job_of_the_same_name_is_stopped_and_others_are_left_alone(opened: World) -> None:
    on_bedrock(opened)
    (ours,) = opened.bedrock.jobs.values()
    second = twin(opened, ours.name)
    foreign = twin(opened, "somebody-elses-job")
    unknown = twin(opened, f"{PREFIX}-000000000000")
    assert opened.reconcile().orphans == 1
    assert [one.status for one in (ours, second, foreign, unknown)] == [
        "InProgress",
        "Stopping",
        "InProgress",
        "InProgress",
    ]
    assert opened.reconcile().orphans == 0


def test_a_slot_of_a_job_that_nobody_answers_is_freed(opened: World) -> None:
    request = dynamo.update(
        "Jobs",
        {"job_id": opened.job()["job_id"]},
        "SET #engine = :nobody",
        values={"nobody": "nobody"},
    )
    dynamo.write(opened.packer().control.client, request)
    assert opened.reconcile().freed == 1
    assert not [one for one in opened.control("slots#") if one.get("holders")]


# --- packing, lanes, cancels


def test_a_packer_that_died_half_way_is_woken(world: World) -> None:
    ready(world, max_wait="0s")
    upload(world, 120)

    def die(name: str, _parameters: Any) -> None:
        if name == "dynamodb.BatchWriteItem":
            raise Died

    world.calls.watch = die
    with pytest.raises(Died):
        world.pack()
    world.calls.watch = None
    drain(world)
    for message in world.receive("WakeQueue", 100):
        world.delete("WakeQueue", message)
    if "until" in world.control("lease#pack")[0]:
        world.clock.advance(61)
    world.reconcile()
    assert world.bodies("WakeQueue") == [{"hop": 0}]
    world.deliver("WakeQueue")
    assert world.pending() == []
    world.reconcile()
    assert world.bodies("WakeQueue") == []


def test_a_paused_lane_is_counted(opened: World) -> None:
    control = opened.packer().control
    (lane,) = control.lanes.all()
    for expected in (0, 1, 1):
        dynamo.write(control.client, control.lanes.failed(lane.name, "AccessDenied"))
        assert opened.reconcile().paused == expected
    control.lanes.resume(lane.name)
    assert opened.reconcile().paused == 0


def test_what_was_cancelled_long_ago_is_forgotten(opened: World) -> None:
    opened.packer().control.marks.cancel_document("a" * 16, opened.clock())
    opened.clock.advance(30 * 86400 - 1)
    opened.reconcile()
    assert opened.packer().control.marks.cancels().documents == {"a" * 16}
    opened.clock.advance(1)
    opened.reconcile()
    assert opened.packer().control.marks.cancels().documents == set()


def test_a_job_that_bedrock_does_not_take_for_hours_is_counted(opened: World) -> None:
    opened.clock.advance(6 * 3600 - 1)
    assert opened.reconcile().waiting == 0
    opened.clock.advance(1)
    assert opened.reconcile().waiting == 1
    on_bedrock(opened)
    assert opened.reconcile().waiting == 0


def test_a_run_looks_at_so_many_jobs_and_the_next_one_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(world, max_wait="0s")
    open_more(world, "abcde")
    world.clock.advance(120)
    monkeypatch.setattr(reconcile, "JOBS_PER_RUN", 2)
    heard = []
    for _ in range(4):
        world.reconcile()
        heard.append([one["job_id"] for one in world.bodies("OnDemandQueue")])
        drain(world)
    ids = [one["job_id"] for one in world.jobs()]
    # Each run begins with the last job of the run before: others may have been opened in the same moment.
    assert [sorted(ids.index(one) for one in run) for run in heard] == [[0, 1], [1, 2], [2, 3], [3, 4]]
