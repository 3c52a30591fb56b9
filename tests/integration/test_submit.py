"""A batch job gets its input and is created at Bedrock, once, whatever happens in between."""

import json
from typing import Any

import pytest
from batchline import catalog, chunk
from botocore.exceptions import ReadTimeoutError

from tests.faults import audit
from tests.integration.test_pack import BASE, ready, upload
from tests.integration.world import PREFIX, World


@pytest.fixture
def opened(world: World) -> World:
    ready(world, max_wait="0s")
    upload(world, 60)
    upload(world, 60, "inbox/rows/b.jsonl", start=100)
    world.pack()
    return world


def submit(world: World) -> None:
    world.handle("JobsQueue", world.receive("JobsQueue", 1))


def ring(world: World) -> None:
    world.send("JobsQueue", {"job_id": world.job()["job_id"]})
    submit(world)


def test_a_job_runs_under_its_own_name_and_token(opened: World) -> None:
    submit(opened)
    row = opened.job()
    job_id = row["job_id"]
    (call,) = opened.calls.of("bedrock.CreateModelInvocationJob")
    asked = call.parameters
    assert (asked["jobName"], asked["clientRequestToken"]) == (f"{PREFIX}-{job_id}", job_id)
    location = asked["inputDataConfig"]["s3InputDataConfig"]
    assert location == {
        "s3InputFormat": "JSONL",
        "s3Uri": f"s3://batchline-work/jobs/{job_id}/input/0001/0000.jsonl",
    }
    assert asked["outputDataConfig"] == {
        "s3OutputDataConfig": {"s3Uri": f"s3://batchline-work/jobs/{job_id}/output/"}
    }
    lines = opened.object(f"jobs/{job_id}/input/0001/0000.jsonl").splitlines()
    assert len({json.loads(line)["recordId"] for line in lines}) == len(lines) == 120
    assert (row["status"], row["arn"]) == ("RUNNING", next(iter(opened.bedrock.jobs)))
    assert row["input"] == {
        "files": 1,
        "records": 120,
        "bytes": sum(map(len, lines)) + 120,
        "left_out": 0,
    }
    assert [line.split(" ")[1] for line in row["history"]] == ["OPEN", "BUILDING", "READY", "RUNNING"]
    assert "lease_owner" not in row


def test_a_second_doorbell_changes_nothing(opened: World) -> None:
    submit(opened)
    before = opened.job()
    ring(opened)
    # But for what it cost to look.
    assert opened.job() | {"runs_usd": before["runs_usd"]} == before
    assert len(opened.bedrock.jobs) == 1


def test_a_job_that_somebody_works_on_is_left_alone(opened: World) -> None:
    job_id = opened.job()["job_id"]
    assert opened.submitter().jobs.lease(job_id, "somebody", opened.clock().timestamp())
    submit(opened)
    assert opened.job()["status"] == "OPEN"
    opened.clock.advance(91)
    ring(opened)
    assert opened.job()["status"] == "RUNNING"


def test_a_full_quota_makes_the_job_wait_and_teaches_the_slots(opened: World) -> None:
    opened.bedrock.quota = 0
    submit(opened)
    row = opened.job()
    assert row["status"] == "WAITING"
    assert "create_started_at" not in row
    now = int(opened.clock().timestamp())
    assert now + 60 <= row["retry_at"] <= now + 600
    (slot,) = opened.control("slots#")
    assert (slot["pk"], slot["cap"], slot["retry_at"]) == (f"slots#{BASE}", 1, row["retry_at"])
    assert opened.bodies("JobEventsQueue") == []
    opened.bedrock.quota = 100
    opened.run()
    assert opened.control("slots#")[0]["cap"] == 2  # one more may be tried
    assert {one["status"] for one in opened.documents()} == {"COMPLETED"}
    audit.check_end(opened)


def test_a_lost_reply_is_found_by_name_and_not_created_again(opened: World) -> None:
    opened.calls.lose_reply("bedrock.CreateModelInvocationJob")
    submit(opened)
    row = opened.job()
    assert (row["status"], row["create_started_at"]) == ("READY", "2026-11-22T09:00:00.000Z")
    opened.bedrock.forget_tokens()
    opened.clock.advance(7 * 86400)  # a message may be redriven after days
    ring(opened)
    assert (opened.job()["status"], len(opened.bedrock.jobs)) == ("RUNNING", 1)


def test_a_job_that_bedrock_does_not_list_is_created_only_after_two_minutes(opened: World) -> None:
    def lose(name: str, _parameters: Any) -> None:
        if name == "bedrock.CreateModelInvocationJob":
            opened.calls.watch = None
            raise ReadTimeoutError(endpoint_url="https://bedrock")

    opened.calls.watch = lose
    submit(opened)
    opened.clock.advance(119)
    ring(opened)
    assert opened.job()["status"] == "READY"
    opened.clock.advance(1)
    ring(opened)
    assert (opened.job()["status"], len(opened.bedrock.jobs)) == ("RUNNING", 1)


def test_a_refused_job_fails_its_records_and_says_why(opened: World) -> None:
    opened.bedrock.refusal = ("AccessDeniedException", "no access to the model")
    submit(opened)
    row = opened.job()
    assert row["status"] == "REFUSED"
    assert row["message"] == "AccessDeniedException: no access to the model"
    opened.run()
    row = opened.job()
    assert (row["status"], row["counts"]["failed"], row["codes"]) == ("CLOSED", 120, {"JOB_REFUSED": 120})
    assert "no access" in row["message"]
    for document in opened.documents():
        assert (document["status"], document["error"]["code"]) == ("FAILED", "RECORDS_FAILED")
        assert "no access to the model" in document["error"]["message"]
    audit.check_end(opened)


def test_a_refused_job_is_rung_for_when_its_lease_is_given_back(opened: World) -> None:
    """Collect would find the lease taken otherwise, and nobody would ring again for minutes."""
    opened.bedrock.refusal = ("ValidationException", "bad")
    leases: list[bool] = []

    def look(name: str, _parameters: Any) -> None:
        if name == "sqs.SendMessage":
            leases.append("lease_owner" in opened.job())

    opened.calls.watch = look
    submit(opened)
    assert leases == [False]


def test_shards_go_into_as_few_files_as_the_limit_allows(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = catalog.limits(BASE).model_copy(update={"max_file_bytes": opened.job()["bytes"] - 1})
    monkeypatch.setattr(catalog, "limits", lambda _model: small)
    submit(opened)
    job_id = opened.job()["job_id"]
    (call,) = opened.calls.of("bedrock.CreateModelInvocationJob")
    files = [key.rsplit("/", 1)[1] for key in opened.keys(f"jobs/{job_id}/input/0001/")]
    assert files == ["0000.jsonl", "0001.jsonl"]
    uri = call.parameters["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    assert uri == f"s3://batchline-work/jobs/{job_id}/input/0001/"
    opened.run()
    audit.check_end(opened)


def test_many_jobs_on_few_slots_end_without_a_dead_letter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outsiders leave three slots of a hundred. The ledger learns of it, and no message waits for one."""
    few = catalog.limits(BASE).model_copy(update={"min_records": 1, "max_records": 1})
    monkeypatch.setattr(catalog, "limits", lambda _model: few)
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 1)
    world.bedrock.quota, world.bedrock.minimum = 3, 1
    ready(world, max_wait="0s")
    upload(world, 12)
    world.pack()
    assert len(world.jobs()) == 12
    refused = 0
    for _ in range(30):
        world.deliver_all()
        refused += len([one for one in world.jobs() if one["status"] == "WAITING"])
        assert len(world.bedrock.running()) <= 3
        world.end_jobs()
        world.clock.advance(300)
        world.reconcile()
        if world.resting():
            break
    assert world.document()["status"] == "COMPLETED"
    assert refused >= 9
    assert world.dead_letters == []
    assert sum(world.bedrock.paid.values()) == 12
    audit.check_end(world)
