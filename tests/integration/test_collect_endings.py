"""How a job's end decides who is asked next: cancels, deadlines, lanes, lists of models; and its truth."""

from decimal import Decimal
from typing import Any

import pytest
from batchline.aws import clients
from batchline.aws.close import Closer
from batchline.errors import NotConserved
from batchline.models import Stop, Usage

from tests.faults import audit
from tests.integration.fake_bedrock import Ending, Say, prompt_of
from tests.integration.test_collect import begin, finish, index
from tests.integration.test_pack import ready, upload
from tests.integration.world import NOVA, WORK, World

PRO = "us.amazon.nova-pro-v1:0"
SURE = {
    "schema": {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "integer"}, "sure": {"type": "number"}},
    },
    "confidence": {"field": "sure", "at_least": 0.8},
}


def lane(world: World) -> dict[str, Any]:
    (row,) = [one for one in world.control("lanes") if one["sk"].startswith(NOVA)]
    return row


# lists of models


def test_the_next_model_gets_what_the_first_could_not_answer(world: World) -> None:
    """Rows 0 to 2 are invalid, row 3 is unsure; the larger model answers all but one of them."""

    def answer(_name: str, body: dict[str, Any]) -> Say:
        row = int(prompt_of(body).removeprefix("row "))
        if world.bedrock.tiers:  # single calls come after the batch: the second attempt
            return Say('{"n": "one"}' if row == 0 else '{"n": 2, "sure": 0.5}')
        return Say("no JSON" if row < 3 else '{"n": 1, "sure": 0.1}' if row == 3 else '{"n": 1, "sure": 1}')

    world.bedrock.answer = answer
    begin(world, model=[NOVA, PRO], attempts=2, output=SURE)
    row = finish(world)
    assert row["codes"] == {"ANSWER_INVALID": 3, "ANSWER_UNSURE": 1}
    (retry,) = [one for one in world.jobs() if one["engine"] == "on_demand"]
    assert (retry["model"], retry["records"]) == (PRO, 4)
    assert retry["codes"] == {"ANSWER_INVALID": 1}
    document = world.document()
    assert (document["status"], document["succeeded"], document["failed"]) == ("PARTIAL", 119, 1)
    found = {one["record"]: one for one in world.results(document["document_id"])}
    assert found["m0000000"]["error"]["code"] == "ANSWER_INVALID"
    assert {found[f"m000000{n}"]["model"] for n in range(4)} == {PRO}
    # What no further model betters is kept, unsure as it is.
    assert found["m0000003"]["output"] == {"n": 2, "sure": Decimal("0.5")}
    assert document["codes"] == {"ANSWER_INVALID": 1}
    assert document["first_failed"]["record"] == "m0000000"


def test_a_job_that_bedrock_refuses_goes_to_the_next_model(world: World) -> None:
    world.bedrock.refusal = ("ValidationException", "The model is not available.")
    begin(world, model=[NOVA, PRO], attempts=2)
    world.bedrock.refusal = None
    world.run()
    audit.check_end(world)
    first, second = sorted(world.jobs(), key=lambda one: one["model"] != NOVA)
    assert (first["ended"], first["codes"], first["counts"]["retried"]) == (
        "REFUSED",
        {"JOB_REFUSED": 120},
        120,
    )
    assert "The model is not available." in first["message"]
    assert (second["model"], second["counts"]["succeeded"]) == (PRO, 120)
    assert world.document()["status"] == "COMPLETED"


def test_a_job_that_bedrock_refuses_fails_where_there_is_no_other_model(world: World) -> None:
    world.bedrock.refusal = ("AccessDeniedException", "No access to the model.")
    begin(world, attempts=3)
    world.run()
    assert (world.job()["counts"]["failed"], world.job()["ended"]) == (120, "REFUSED")
    document = world.document()
    assert (document["status"], document["codes"]) == ("FAILED", {"JOB_REFUSED": 120})
    assert "No access to the model." in document["error"]["message"]
    assert lane(world)["fails"] == 1


# lanes


def test_a_lane_counts_jobs_without_a_success_until_one_has_one(world: World) -> None:
    begin(world, attempts=1)
    world.bedrock.ending = Ending("Failed", "S3 is not to be read")
    world.end_jobs()
    world.deliver_all()
    assert (lane(world)["fails"], lane(world)["reason"]) == (1, "S3 is not to be read")
    world.bedrock.ending = Ending()
    world.run()
    assert lane(world)["fails"] == 0
    assert "reason" not in lane(world)


def test_a_success_from_before_does_not_open_a_paused_lane(world: World) -> None:
    begin(world)
    for _ in range(2):
        clients.dynamodb().update_item(**world.collector().control.lanes.failed(lane(world)["sk"], "trouble"))
    finish(world)
    assert (lane(world)["fails"], lane(world)["reason"]) == (2, "trouble")


def test_few_answers_that_are_no_good_do_not_speak_for_a_lane(world: World) -> None:
    world.bedrock.answer = lambda _name, _body: Say("no JSON")
    ready(world, max_wait="0s", attempts=3, output={"schema": {"type": "object"}})
    upload(world, 3)
    world.run()
    assert sorted(one["counts"]["retried"] for one in world.jobs()) == [0, 3, 3]
    assert "fails" not in lane(world)
    assert world.document()["status"] == "FAILED"


# stopped and cancelled


def test_what_a_cancelled_job_has_answered_is_kept(world: World) -> None:
    begin(world)
    job_id = world.job()["job_id"]
    assert world.collector().jobs.stop(job_id, Stop.CANCELLED)
    row = finish(world, status="Stopped", left_out=lambda name: index(name) >= 50)
    assert row["counts"] | {"missing": 0} == row["counts"] | {"missing": 0, "succeeded": 50, "failed": 70}
    assert row["codes"] == {"CANCELLED": 70}
    document = world.document()
    assert (document["status"], document["succeeded"], document["failed"]) == ("CANCELLED", 50, 70)
    assert document["input_tokens"] == 50 * 100
    assert lane(world).get("fails", 0) == 0


def test_what_a_job_past_its_deadline_has_not_answered_costs_no_attempt(world: World) -> None:
    begin(world, attempts=1)
    world.collector().jobs.stop(world.job()["job_id"], Stop.DEADLINE)
    row = finish(world, status="Stopped", left_out=lambda name: index(name) >= 110)
    assert (row["counts"]["succeeded"], row["counts"]["retried"]) == (110, 10)
    name = world.document()["document_id"]
    assert {one["attempt"] for one in world.results(name)} == {1}
    assert world.document()["status"] == "COMPLETED"


def test_a_retry_keeps_the_time_of_its_first_attempt_and_its_deadline(world: World) -> None:
    begin(world, deadline="6h")
    first = audit.plan(world, world.job()["job_id"])[0]
    world.clock.advance(600)
    finish(world, left_out=lambda name: index(name) < 2)
    (retry,) = [one for one in world.jobs() if one["engine"] == "on_demand"]
    (shard,) = audit.plan(world, retry["job_id"])
    assert (shard.first_at, shard.deadline_at) == (first.first_at, first.deadline_at)
    assert shard.created_at > shard.first_at


def test_records_of_a_cancelled_document_are_not_asked_for_again(world: World) -> None:
    """Two documents in one job lose records; one of them is cancelled while the job runs."""
    ready(world, max_wait="0s", attempts=2)
    upload(world, 60, "inbox/rows/a.jsonl")
    upload(world, 60, "inbox/rows/b.jsonl", start=60)
    world.pack()
    world.deliver("JobsQueue")
    name = world.document("inbox/rows/b.jsonl")["document_id"]
    world.collector().control.marks.cancel_document(name, world.clock())
    row = finish(world, left_out=lambda record: index(record) < 5)
    assert (row["counts"]["failed"], row["counts"]["retried"], row["codes"]["CANCELLED"]) == (5, 5, 5)
    cancelled = world.document("inbox/rows/b.jsonl")
    assert (cancelled["status"], cancelled["succeeded"], cancelled["failed"]) == ("CANCELLED", 55, 5)
    assert world.document("inbox/rows/a.jsonl")["status"] == "COMPLETED"


def test_what_is_cancelled_while_a_close_is_repeated_does_not_change_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry is registered when the function dies; were it cancelled now, it would be settled twice."""
    begin(world)

    def die(*_: Any) -> bool:
        raise MemoryError

    world.bedrock.ending = Ending(left_out=lambda name: index(name) < 5)
    world.end_jobs()
    with monkeypatch.context() as patch:
        patch.setattr(Closer, "_account", die)
        with pytest.raises(MemoryError):
            world.deliver_all()
    assert len(world.pending()) == 1
    name = world.document()["document_id"]
    world.collector().control.marks.cancel_document(name, world.clock())
    world.bedrock.ending = Ending()
    world.clock.advance(3600)
    world.run()
    audit.check_end(world)
    (row,) = [one for one in world.jobs() if one["engine"] == "batch"]
    assert (row["counts"]["retried"], row["codes"]) == (5, {"ANSWER_MISSING": 5})
    assert (world.document()["status"], world.document()["failed"]) == ("CANCELLED", 5)


# sums


def test_a_manifest_that_charges_more_than_all_lines_is_a_difference(world: World) -> None:
    begin(world)
    row = finish(world, more_in_manifest=Usage(300, 0))
    assert row["difference"] == {"input_tokens": 300}


def test_a_shard_that_lacks_a_record_stops_the_close(world: World) -> None:
    begin(world)
    (shard,) = audit.plan(world, world.job()["job_id"])
    lines = world.object(shard.key).splitlines(keepends=True)
    clients.s3().put_object(Bucket=WORK, Key=shard.key, Body=b"".join(lines[1:]))
    world.bedrock.ending = Ending(left_out=lambda name: index(name) == 0)
    world.end_jobs()
    with pytest.raises(NotConserved, match="holds 0 of 1"):
        world.deliver_all()
    assert world.job()["status"] == "CLOSING"
    assert world.pending() == []


def test_a_document_whose_counts_differ_from_its_results_does_not_end(world: World) -> None:
    begin(world)
    world.end_jobs()
    world.deliver("JobEventsQueue")
    key = {"document_id": {"S": world.document()["document_id"]}, "record": {"S": "m0000007"}}
    clients.dynamodb().delete_item(TableName="Results", Key=key)
    with pytest.raises(NotConserved, match="records is 120, but 119 results; succeeded is 120, but 119"):
        world.deliver("DocumentsQueue")
    assert world.document()["status"] == "QUEUED"
