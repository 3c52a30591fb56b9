"""The output of an ended job: results, retries, money; every odd thing that an output may hold."""

import json
from decimal import Decimal
from typing import Any

import pytest
from batchline.aws import output
from batchline.models import Usage

from tests.faults import audit
from tests.integration.fake_bedrock import Ending, Say, prompt_of
from tests.integration.test_pack import ready, upload
from tests.integration.world import NOVA, World

STRUCTURED = {"schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}}


def begin(world: World, count: int = 120, **keys: Any) -> None:
    """Bring a batch job of one document to Bedrock."""
    ready(world, **({"max_wait": "0s", "attempts": 2} | keys))
    upload(world, count)
    world.pack()
    world.deliver("JobsQueue")


def finish(world: World, **ending: Any) -> dict[str, Any]:
    """Let the first job end so and all later ones well; return the first job's row."""
    first = world.job()["job_id"]
    world.bedrock.ending = Ending(**ending)
    world.end_jobs()
    world.bedrock.ending = Ending()
    world.run()
    audit.check_end(world)
    return next(one for one in world.jobs() if one["job_id"] == first)


def index(record_id: str) -> int:
    return int(record_id[17:24])


def test_rows_and_ledger_of_a_good_job(world: World) -> None:
    begin(world)
    row = finish(world)
    document = world.document()
    job_id, name = row["job_id"], document["document_id"]
    result = world.results(name)[7]
    result.pop("expires_at")
    assert result == {
        "document_id": name,
        "record": "m0000007",
        "output": "answer to row 7",
        "stop": "end_turn",
        "input_tokens": 100,
        "output_tokens": 20,
        "cost_usd": Decimal("0.0000054"),
        "model": NOVA,
        "job_id": job_id,
        "attempt": 1,
    }
    assert row["counts"] == {
        "succeeded": 120,
        "failed": 0,
        "retried": 0,
        "missing": 0,
        "duplicates": 0,
        "foreign": 0,
    }
    assert (row["status"], row["message"], row["codes"]) == ("CLOSED", "", {})
    assert [one.split(" ")[1].rstrip(":") for one in row["history"][-3:]] == [
        "COLLECTING",
        "CLOSING",
        "CLOSED",
    ]
    scopes = sorted((one["scope"], one["entry"]) for one in world.costs())
    assert scopes == [
        ("day#2026-11-22", f"rows#{job_id}"),
        (f"document#{name}", job_id),
        (f"job#{job_id}", "total"),
    ]
    for entry in world.costs():
        # 12000 in and 2400 out at 0.03 and 0.12; on demand costs twice as much
        assert (entry["cost_usd"], entry["saved_usd"]) == (Decimal("0.000648"), Decimal("0.000648"))
    (total,) = world.costs("job#")
    assert (total["manifest_input_tokens"], total["manifest_output_tokens"], total["verified"]) == (
        12000,
        2400,
        True,
    )
    assert (document["input_tokens"], document["output_tokens"]) == (12000, 2400)
    assert document["cost_usd"] == Decimal("0.000648")
    assert document["applied"] == {job_id}
    for budget in world.control("budget#"):  # of the pipeline's day, of the stack's month
        assert (budget["committed"], budget["spent"]) == (Decimal("0.000648"), Decimal("0.000648"))


def test_results_of_a_second_reading_are_the_same(world: World) -> None:
    begin(world)
    finish(world)
    before = {name: world.table(name) for name in ("Documents", "Results", "Jobs", "Costs", "Control")}
    world.send("JobEventsQueue", {"job_id": world.job()["job_id"]})
    world.send("JobEventsQueue", {"detail": {"batchJobName": next(iter(world.bedrock.jobs.values())).name}})
    world.send("JobEventsQueue", {"detail": {"batchJobName": "somebody-elses-job"}})
    world.deliver_all()
    assert {name: world.table(name) for name in before} == before


def test_an_event_before_the_end_is_nothing(world: World) -> None:
    begin(world)
    world.send("JobEventsQueue", {"job_id": world.job()["job_id"]})
    world.deliver_all()
    assert world.job()["status"] == "RUNNING"
    assert "lease_owner" not in world.job()


# retries


def test_errors_that_may_pass_are_tried_again(world: World) -> None:
    world.bedrock.answer = lambda name, body: (
        Say(error=503) if prompt_of(body) == "row 3" and name else Say(f"ok {prompt_of(body)}")
    )
    begin(world)
    row = finish(world)
    assert (row["counts"]["succeeded"], row["counts"]["retried"], row["codes"]) == (
        119,
        1,
        {"MODEL_ERROR": 1},
    )
    document = world.document()
    assert (document["status"], document["succeeded"]) == ("COMPLETED", 120)
    attempts = {one["record"]: one["attempt"] for one in world.results(document["document_id"])}
    assert attempts["m0000003"] == 2
    assert set(attempts.values()) == {1, 2}
    assert len(document["applied"]) == 2


def test_errors_that_will_not_pass_are_not(world: World) -> None:
    world.bedrock.answer = lambda _name, body: Say(error=400) if prompt_of(body) == "row 3" else Say("ok")
    begin(world)
    finish(world)
    assert len(world.jobs()) == 1
    assert world.document()["status"] == "PARTIAL"


def test_attempts_have_an_end(world: World) -> None:
    world.bedrock.answer = lambda _name, body: (
        Say("no JSON") if prompt_of(body) == "row 3" else Say('{"n": 1}')
    )
    begin(world, attempts=3, output=STRUCTURED)
    finish(world)
    document = world.document()
    (bad,) = [one for one in world.results(document["document_id"]) if "error" in one]
    assert (bad["attempt"], bad["error"]["code"]) == (3, "ANSWER_INVALID")
    assert (document["status"], document["failed"]) == ("PARTIAL", 1)
    assert len(world.jobs()) == 3
    # all three answers were paid for, and all are booked on the document
    assert document["input_tokens"] == (119 + 3) * 100


def test_an_answer_cut_off_gets_more_room(world: World) -> None:
    def short(_name: str, body: dict[str, Any]) -> Say:
        if prompt_of(body) == "row 3" and body["inferenceConfig"]["maxTokens"] < 200:
            return Say("It was", "max_tokens", Usage(100, 100))
        return Say("done")

    world.bedrock.answer = short
    begin(world)
    row = finish(world)
    assert row["codes"] == {"ANSWER_TRUNCATED": 1}
    (retry,) = [one for one in world.jobs() if one["engine"] == "on_demand"]
    (shard,) = audit.plan(world, retry["job_id"])
    asked = json.loads(world.object(shard.key))
    assert asked["modelInput"]["inferenceConfig"]["maxTokens"] == 200
    assert asked["recordId"].endswith("m00000032")
    assert shard.output_tokens == 200
    assert world.document()["status"] == "COMPLETED"


def test_missing_records_are_asked_for_again(world: World) -> None:
    begin(world)
    row = finish(world, left_out=lambda name: index(name) in {5, 6, 50})
    assert (row["counts"]["missing"], row["counts"]["retried"]) == (3, 3)
    (retry,) = [one for one in world.jobs() if one["engine"] == "on_demand"]
    (shard,) = audit.plan(world, retry["job_id"])
    name = world.document()["document_id"]
    assert shard.ranges == (f"{name} m 5 2 2", f"{name} m 50 1 2")
    assert world.document()["status"] == "COMPLETED"


def test_lines_that_cannot_be_read_are_asked_for_again_and_booked(world: World) -> None:
    """They were paid for: their tokens are in the manifest, and nobody's."""
    begin(world)
    row = finish(world, garbled=lambda name: index(name) in {5, 6})
    assert row["counts"]["retried"] == 2
    (unowned,) = world.costs("document#-")
    assert (unowned["input_tokens"], unowned["output_tokens"]) == (200, 40)
    assert world.document()["status"] == "COMPLETED"


# odd outputs


def test_of_two_lines_of_a_record_the_first_counts(world: World) -> None:
    begin(world)
    row = finish(world, twice=lambda name: index(name) < 10)
    assert row["counts"]["duplicates"] == 10
    (unowned,) = world.costs("document#-")
    assert (unowned["input_tokens"], unowned["output_tokens"]) == (1000, 200)
    assert world.document()["input_tokens"] == 12000


def test_foreign_lines_are_nobodys(world: World) -> None:
    usage = {"inputTokens": 7, "outputTokens": 3}
    said = {"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn", "usage": usage}
    foreign = tuple(
        json.dumps({"recordId": name, "modelInput": {}, "modelOutput": said}).encode()
        for name in ("CALL0000001", "a" * 16 + "m00000001")
    )
    begin(world)
    row = finish(world, foreign=foreign, manifest=False)
    assert row["counts"]["foreign"] == 2
    (unowned,) = world.costs("document#-")
    assert (unowned["input_tokens"], unowned["output_tokens"]) == (14, 6)
    (total,) = world.costs("job#")
    assert total["verified"] is False
    assert "manifest_input_tokens" not in total


def test_what_the_manifest_has_more_is_booked_on_nobody(world: World) -> None:
    begin(world)
    row = finish(world, more_in_manifest=Usage(300, 50))
    (unowned,) = world.costs("document#-")
    assert (unowned["input_tokens"], unowned["output_tokens"]) == (300, 50)
    assert row["input_tokens"] == 12300
    (nobody,) = [one for one in world.costs("day#") if one["entry"].startswith("-#")]
    assert nobody["cost_usd"] == Decimal("0.000015")


def test_an_output_is_read_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PART_BYTES", 5_000)
    begin(world)
    row = finish(world, twice=lambda name: index(name) % 7 == 0)
    assert row["parts"] > 5
    assert len(row["parts_done"]) == row["parts"]
    assert row["counts"]["succeeded"] == 120
    assert row["counts"]["duplicates"] == 18


# endings


@pytest.mark.parametrize("status", ["PartiallyCompleted", "Stopped"])
def test_what_an_unfinished_job_answered_is_kept(world: World, status: str) -> None:
    begin(world)
    row = finish(world, status=status, left_out=lambda name: index(name) >= 100)
    assert (row["ended"], row["counts"]["succeeded"], row["counts"]["retried"]) == (status, 100, 20)
    assert (world.document()["status"], world.document()["input_tokens"]) == ("COMPLETED", 12000)


def test_an_expired_job_is_tried_again_as_a_whole(world: World) -> None:
    begin(world)
    row = finish(world, status="Expired", message="Expired in the queue")
    assert (row["counts"]["retried"], row["message"]) == (120, "Expired in the queue")
    assert [one["engine"] for one in world.jobs()] == ["batch", "batch"]
    assert world.document()["status"] == "COMPLETED"


def test_a_failed_job_costs_its_records_no_attempt(world: World) -> None:
    begin(world, attempts=1)
    row = finish(world, status="Failed", message="Model access denied")
    assert (row["counts"]["failed"], row["counts"]["retried"]) == (0, 120)
    assert (row["codes"], row["message"]) == ({"JOB_FAILED": 120}, "Model access denied")
    assert row["cost_usd"] == 0
    name = world.document()["document_id"]
    assert row["examples"] == {"JOB_FAILED": [f"{name}m{n:07d}1" for n in range(5)]}
    (lane,) = world.control("lanes")
    assert lane["fails"] == 0  # 1 after this job, forgotten after the next
    assert world.document()["status"] == "COMPLETED"
    assert {one["attempt"] for one in world.results(name)} == {1}


def test_a_completed_job_without_a_success_says_why(world: World) -> None:
    world.bedrock.answer = lambda _name, _body: Say(error=400)
    begin(world)
    row = finish(world)
    assert row["ended"] == "Completed"
    assert row["message"] == "No record succeeded: 120 of 120 ended as MODEL_ERROR."
    assert world.document()["status"] == "FAILED"


def test_a_job_that_ends_the_next_day_settles_the_day_it_was_opened(world: World) -> None:
    begin(world)
    world.clock.advance(24 * 3600)
    finish(world)
    committed = {one["pk"]: one["committed"] for one in world.control("budget#")}
    assert committed == dict.fromkeys(("budget#rows#2026-11-22", "budget#*#2026-11"), Decimal("0.000648"))
    (day,) = world.costs("day#")
    assert day["scope"] == "day#2026-11-23"  # billed when it ended


def test_a_late_reading_of_the_first_attempt_does_not_undo_the_second(world: World) -> None:
    """A collector froze while it read part 0; the record was settled by a later job meanwhile."""
    world.bedrock.answer = lambda name, body: Say(" ") if prompt_of(body) == "row 3" and name else Say("good")
    begin(world)
    world.end_jobs(tell=False)
    job_id = world.job()["job_id"]
    stale = world.collector()
    world.send("JobEventsQueue", {"job_id": job_id})
    world.run()
    row = next(one for one in world.jobs() if one["job_id"] == job_id)
    before = world.results(world.document()["document_id"])
    stale.output.read(row, 0, stale._expected(row), lambda: None)
    assert world.results(world.document()["document_id"]) == before
    audit.check_end(world)
