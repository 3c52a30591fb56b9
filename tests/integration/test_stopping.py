"""A batch job that is stopped, or of which records were cancelled, before or while Bedrock runs it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from batchline import catalog
from batchline.models import Stop
from botocore.exceptions import ClientError

from tests.faults import audit
from tests.integration.calls import Died, Fault
from tests.integration.conftest import open_world
from tests.integration.fake_bedrock import error
from tests.integration.test_pack import BASE, ready, rows, upload
from tests.integration.test_submit import opened, ring, submit
from tests.integration.world import World

__all__ = ["opened"]

type Prepare = Callable[[World], None]


def document(world: World, name: str) -> str:
    found: str = world.document(f"inbox/rows/{name}.jsonl")["document_id"]
    return found


def cancel(world: World, name: str) -> None:
    world.submitter().control.marks.cancel_document(document(world, name), world.clock())


def stop(world: World, why: Stop = Stop.CANCELLED) -> None:
    assert world.submitter().jobs.stop(world.job()["job_id"], why)


def die_at(world: World, call: str, about: str = "") -> None:
    """Kill submit just before its next call of this name that has to do with something."""

    def die(name: str, parameters: Any) -> None:
        if name == call and about in str(parameters):
            world.calls.watch = None
            raise Died

    world.calls.watch = die
    with pytest.raises(Died):
        submit(world)
    assert world.calls.watch is None
    world.clock.advance(91)  # until its lease has run out


def sent(world: World) -> list[str]:
    """Name the documents of the records that Bedrock is given, in the order of the files."""
    (job,) = world.bedrock.jobs.values()
    files = world.keys(job.input_uri.removeprefix("s3://batchline-work/"))
    return [json.loads(line)["recordId"][:16] for key in files for line in world.object(key).splitlines()]


def is_nobodys(world: World) -> None:
    """Fail unless the job was given to nobody, with its slot, before Bedrock had it."""
    row = world.job()
    assert (row["status"], row["engine"]) == ("OPEN", "nobody")
    assert "lease_owner" not in row
    assert not [one for one in world.control("slots#") if one.get("holders")]
    assert world.bodies("JobEventsQueue") == [{"job_id": row["job_id"]}]
    assert world.bedrock.jobs == {}


def reach(world: World, status: str) -> None:
    """Bring the only job to a state in which submit leaves it, or dies."""
    if status == "BUILDING":
        die_at(world, "s3.PutObject")
    elif status == "READY":
        die_at(world, "dynamodb.UpdateItem", "create_started_at")
    elif status == "WAITING":
        world.bedrock.quota = 0
        submit(world)
        world.bedrock.quota = 100
    elif status == "RUNNING":
        submit(world)
    assert world.job()["status"] == status


@pytest.mark.parametrize("status", ["OPEN", "BUILDING", "READY", "WAITING"])
def test_a_job_that_is_stopped_before_bedrock_has_it_is_given_to_nobody(opened: World, status: str) -> None:
    reach(opened, status)
    stop(opened)
    ring(opened)
    is_nobodys(opened)
    assert opened.job()["message"] == "stopped: cancelled"
    ring(opened)
    assert opened.job()["engine"] == "nobody"
    assert opened.calls.of("bedrock.CreateModelInvocationJob")[1:] == []


def test_a_running_job_is_stopped_once(opened: World) -> None:
    submit(opened)
    stop(opened)
    ring(opened)
    ring(opened)
    (call,) = opened.calls.of("bedrock.StopModelInvocationJob")
    row = opened.job()
    assert call.parameters == {"jobIdentifier": row["arn"]}
    assert (row["status"], row["stop_sent_at"]) == ("RUNNING", "2026-11-22T09:00:00.000Z")
    assert opened.bodies("JobEventsQueue")[0] == {"job_id": row["job_id"]}


def test_a_job_that_is_stopped_while_it_is_created_is_stopped_by_the_same_run(opened: World) -> None:
    def interrupt(name: str, _parameters: Any) -> None:
        if name == "bedrock.CreateModelInvocationJob":
            opened.calls.watch = None
            stop(opened)

    opened.calls.watch = interrupt
    submit(opened)
    (job,) = opened.bedrock.jobs.values()
    assert (opened.job()["status"], job.status) == ("RUNNING", "Stopping")


def test_a_job_that_ended_before_it_could_be_stopped_is_collected(opened: World) -> None:
    submit(opened)
    stop(opened)
    opened.end_jobs(tell=False)
    ring(opened)
    assert opened.bodies("JobEventsQueue") == [{"job_id": opened.job()["job_id"]}]
    opened.run()
    assert opened.job()["status"] == "CLOSED"
    assert {one["status"] for one in opened.documents()} == {"COMPLETED"}  # what was paid for is kept
    audit.check_end(opened)


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_a_stop_without_an_answer_is_sent_again(
    opened: World, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    submit(opened)
    stop(opened)

    def refuse(**_asked: Any) -> None:
        raise error("StopModelInvocationJob", code, "not now")

    with monkeypatch.context() as patch:
        patch.setattr(opened.bedrock, "stop_model_invocation_job", refuse)
        ring(opened)
    assert "stop_sent_at" not in opened.job()
    ring(opened)
    assert "stop_sent_at" in opened.job()


def test_a_stop_that_is_forbidden_fails_for_all_to_see(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(opened)
    stop(opened)

    def refuse(**_asked: Any) -> None:
        raise error("StopModelInvocationJob", "AccessDeniedException", "may not")

    monkeypatch.setattr(opened.bedrock, "stop_model_invocation_job", refuse)
    with pytest.raises(ClientError, match="may not"):
        ring(opened)
    assert "lease_owner" not in opened.job()


def test_a_job_that_may_have_been_created_is_found_before_it_is_stopped(opened: World) -> None:
    opened.calls.lose_reply("bedrock.CreateModelInvocationJob")
    submit(opened)
    stop(opened)
    opened.bedrock.forget_tokens()
    ring(opened)
    (job,) = opened.bedrock.jobs.values()
    row = opened.job()
    assert (row["engine"], row["status"], row["arn"], job.status) == ("batch", "RUNNING", job.arn, "Stopping")


@pytest.fixture
def three(world: World) -> World:
    """An open job of 60, 60 and 30 records of the documents a, b and c; each is in a shard of its own."""
    ready(world, max_wait="0s")
    upload(world, 60)
    upload(world, 60, "inbox/rows/b.jsonl", start=100)
    upload(world, 30, "inbox/rows/c.jsonl", start=200)
    world.pack()
    return world


@pytest.mark.parametrize("status", ["OPEN", "BUILDING", "READY", "WAITING"])
def test_records_of_a_cancelled_document_are_left_out(three: World, status: str) -> None:
    reach(three, status)
    cancel(three, "c")
    ring(three)
    a, b = document(three, "a"), document(three, "b")
    assert sorted(sent(three)) == sorted([a] * 60 + [b] * 60)
    row = three.job()
    lines = three.object(f"jobs/{row['job_id']}/input/{row['builds']:04d}/0000.jsonl")
    assert row["input"] == {"files": 1, "records": 120, "bytes": len(lines), "left_out": 30}
    assert (row["status"], row["records"]) == ("RUNNING", 150)  # the job settles all of them


def test_what_was_cancelled_once_the_job_runs_is_answered_and_paid(three: World) -> None:
    reach(three, "RUNNING")
    cancel(three, "c")
    ring(three)
    assert len(sent(three)) == 150
    assert three.job()["input"]["left_out"] == 0


def test_records_of_a_cancelled_document_are_left_out_of_a_shared_shard(world: World) -> None:
    ready(world, max_wait="0s")
    for name, start in (("a", 0), ("b", 200), ("c", 400)):
        world.upload(f"inbox/rows/{name}.jsonl", rows(60, start))
    world.deliver("UploadsQueue")
    world.pack()
    assert world.job()["shards"] == 1
    cancel(world, "b")
    submit(world)
    assert sorted(sent(world)) == sorted([document(world, "a")] * 60 + [document(world, "c")] * 60)


@pytest.mark.parametrize("status", ["OPEN", "BUILDING", "READY", "WAITING"])
def test_a_job_with_too_few_records_left_is_given_to_nobody(opened: World, status: str) -> None:
    reach(opened, status)
    cancel(opened, "b")
    ring(opened)
    is_nobodys(opened)
    expected = "60 of its records were cancelled; 60 are left and a batch needs 100"
    assert opened.job()["message"] == expected
    assert opened.job()["history"][-1].endswith(expected)


def test_what_is_left_of_a_job_is_packed_anew_and_asked_once(opened: World) -> None:
    cancel(opened, "b")
    submit(opened)
    opened.run()
    by_key = {one["source"]["key"][-7]: one for one in opened.documents()}
    assert (by_key["a"]["status"], by_key["a"]["succeeded"]) == ("COMPLETED", 60)
    assert (by_key["b"]["status"], by_key["b"]["failed"]) == ("CANCELLED", 60)
    assert {one["engine"] for one in opened.jobs()} == {"nobody", "on_demand"}
    assert sum(opened.bedrock.paid.values()) == 60
    audit.check_end(opened)


def test_a_build_that_thaws_adds_nothing_to_the_input(three: World) -> None:
    """It freezes before it writes, the job is built again without a document, and it wakes up."""

    def freeze(name: str, _parameters: Any) -> None:
        if name == "s3.PutObject":
            three.calls.watch = None
            three.clock.advance(91)
            cancel(three, "c")
            ring(three)
            three.calls.begin("submit")

    three.calls.watch = freeze
    submit(three)
    assert three.calls.watch is None
    assert (three.job()["status"], len(three.bedrock.jobs), len(sent(three))) == ("RUNNING", 1, 120)


def test_the_time_that_a_batch_may_take_is_the_pipelines(world: World) -> None:
    ready(world, max_wait="0s", timeout_hours=48)
    upload(world, 120)
    world.pack()
    submit(world)
    (call,) = world.calls.of("bedrock.CreateModelInvocationJob")
    assert call.parameters["timeoutDurationInHours"] == 48


def test_a_lane_says_how_its_model_is_called(opened: World) -> None:
    submit(opened)
    (call,) = opened.calls.of("bedrock.CreateModelInvocationJob")
    assert call.parameters["modelInvocationType"] == "Converse"
    assert "timeoutDurationInHours" not in call.parameters


def converted(world: World) -> None:
    stop(world)


def left_out(world: World) -> None:
    cancel(world, "c")


def stopped(world: World) -> None:
    submit(world)
    stop(world)
    world.send("JobsQueue", {"job_id": world.job()["job_id"]})


@pytest.mark.parametrize("fault", [Fault.DIED_BEFORE, Fault.DIED_AFTER], ids=["before", "after"])
@pytest.mark.parametrize("prepare", [converted, left_out, stopped], ids=lambda one: one.__name__)
def test_submit_dies_at_every_call(monkeypatch: pytest.MonkeyPatch, fault: Fault, prepare: Prepare) -> None:
    """Afterwards reconcile rings, and the job is where it would be if nothing had happened."""
    with open_world(monkeypatch) as begin:
        for at in range(1, 60):
            world = begin()
            ready(world, max_wait="0s")
            for name, count, start in (("a", 60, 0), ("b", 60, 100), ("c", 30, 200)):
                upload(world, count, f"inbox/rows/{name}.jsonl", start)
            world.pack()
            prepare(world)
            world.calls.arm(fault, at)
            submit(world)
            if not world.calls.struck:
                break
            world.clock.advance(130)
            world.reconcile()
            world.deliver("JobsQueue")
            row = world.job()
            if prepare is converted:
                assert (row["engine"], row["status"], world.bedrock.jobs) == ("nobody", "OPEN", {})
                assert world.bodies("JobEventsQueue")
                assert not [one for one in world.control("slots#") if one.get("holders")]
                continue
            (job,) = world.bedrock.jobs.values()
            assert (row["status"], row["arn"]) == ("RUNNING", job.arn)
            assert job.status == ("Stopping" if prepare is stopped else "InProgress")
            assert len(sent(world)) == (150 if prepare is stopped else 120)
        assert at > 4, "the calls were not counted"
        assert not world.calls.struck


def test_a_build_goes_on_with_the_next_file_when_its_time_was_up(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = catalog.limits(BASE).model_copy(update={"max_file_bytes": 1})
    monkeypatch.setattr(catalog, "limits", lambda _model: small)
    job_id = three.job()["job_id"]
    for done in (1, 2):
        # Each file takes longer than what is left of the run's time.
        three.submitter().run(job_id, f"run {done}", until=three.clock())
        row = three.job()
        assert (row["status"], row["building"]["files"], row["builds"]) == ("BUILDING", done, 1)
        assert "lease_owner" not in row
    three.clock.advance(120)
    three.reconcile()
    three.deliver_all()
    row = three.job()
    assert (row["status"], row["input"]["files"], "building" in row) == ("RUNNING", 3, False)
    written = [one.parameters["Key"] for one in three.calls.made if one.name == "s3.PutObject"]
    assert [key[-10:] for key in written if "/input/" in key] == ["0002.jsonl"]  # by the last run
    assert len(sent(three)) == 150
    assert row["input"]["bytes"] == sum(len(three.object(key)) for key in three.keys(f"jobs/{job_id}/input/"))


def test_what_is_cancelled_between_two_files_begins_another_build(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = catalog.limits(BASE).model_copy(update={"max_file_bytes": 1})
    monkeypatch.setattr(catalog, "limits", lambda _model: small)
    three.submitter().run(three.job()["job_id"], "first", until=three.clock())
    cancel(three, "c")
    three.submitter().run(three.job()["job_id"], "second", until=three.clock())
    assert (three.job()["builds"], three.job()["building"]["files"]) == (2, 1)
