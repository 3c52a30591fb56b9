"""Large outputs and long closes: parts that are read at once, cursors, and death at any write."""

import json
from datetime import timedelta
from typing import Any

import pytest
from batchline.aws import close, output
from batchline.models import Usage

from tests.faults import audit
from tests.faults.conftest import Make, make  # noqa: F401 - a fixture
from tests.integration.calls import READS, Fault
from tests.integration.fake_bedrock import Ending, Say, prompt_of
from tests.integration.test_collect import begin, finish, index
from tests.integration.test_pack import ready, upload
from tests.integration.world import RUN_TIME, World


def in_parts(
    world: World, monkeypatch: pytest.MonkeyPatch, size: int = 9_000, **ending: Any
) -> dict[str, Any]:
    """Bring a job to where its parts are rung for; return its row."""
    monkeypatch.setattr(output, "PART_BYTES", size)
    begin(world)
    world.bedrock.ending = Ending(**ending)
    world.end_jobs()
    world.bedrock.ending = Ending()
    world.deliver("JobEventsQueue")
    return world.job()


def part_bodies(world: World) -> list[dict[str, Any]]:
    return [body for body in world.bodies("JobEventsQueue") if "part" in body]


# parts


def test_each_part_is_a_message_and_the_last_one_rings_for_the_close(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = in_parts(world, monkeypatch)
    job_id = row["job_id"]
    assert row["status"] == "COLLECTING"
    assert row["parts"] > 2
    assert "lease_owner" not in row
    assert part_bodies(world) == [{"job_id": job_id, "part": n} for n in range(row["parts"])]
    world.deliver_all()
    assert world.job()["status"] == "CLOSED"
    assert world.job()["counts"]["succeeded"] == 120
    audit.check_end(world)


def test_parts_are_read_in_any_order_and_more_than_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = in_parts(world, monkeypatch)
    collector = world.collector()
    for number in reversed(range(row["parts"])):
        assert collector.read_part(row["job_id"], number)
    before = world.results(world.document()["document_id"])
    assert len(before) == 120
    assert not collector.read_part(row["job_id"], 0)
    world.deliver_all()
    assert world.results(world.document()["document_id"]) == before
    # A reader that was frozen since before the close thaws.
    assert not collector.read_part(row["job_id"], 0)
    audit.check_end(world)


def test_a_doorbell_rings_for_parts_once_and_again_when_they_are_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = in_parts(world, monkeypatch)
    for message in world.receive("JobEventsQueue", 99):
        world.delete("JobEventsQueue", message)
    assert world.collector().read_part(row["job_id"], 1)

    def rung(seconds: float) -> list[int]:
        world.clock.advance(seconds)
        world.collector().run(row["job_id"], world.owner(), until=world.clock() + RUN_TIME)
        return [body["part"] for body in part_bodies(world)]

    assert rung(60) == []
    assert rung(36 * 60) == [n for n in range(row["parts"]) if n != 1]
    world.deliver_all()
    assert world.job()["status"] == "CLOSED"
    audit.check_end(world)


def test_a_line_that_stands_in_two_parts_counts_once_and_the_first_one_wins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both say something else; whichever part is read last, the row holds the first line's answer."""
    usage = {"inputTokens": 7, "outputTokens": 3}

    def foreign(record_id: str) -> bytes:
        said = {
            "output": {"message": {"content": [{"text": "later"}]}},
            "stopReason": "end_turn",
            "usage": usage,
        }
        return json.dumps({"recordId": record_id, "modelInput": {}, "modelOutput": said}).encode()

    begin(world)
    name = world.document()["document_id"]
    again = [f"{name}m{n:07d}1" for n in (3, 50, 119)]
    monkeypatch.setattr(output, "PART_BYTES", 9_000)
    world.bedrock.ending = Ending(foreign=tuple(map(foreign, again)))
    world.end_jobs()
    world.deliver("JobEventsQueue")
    collector, row = world.collector(), world.job()
    for number in range(row["parts"]):  # the later lines are written last
        collector.read_part(row["job_id"], number)
    rows = {one["record"]: one["output"] for one in world.results(name)}
    assert rows["m0000003"] == "later"
    world.deliver_all()
    audit.check_end(world)
    rows = {one["record"]: one["output"] for one in world.results(name)}
    assert [rows[f"m{n:07d}"] for n in (3, 50, 119)] == [
        "answer to row 3",
        "answer to row 50",
        "answer to row 119",
    ]
    row = world.job()
    assert (row["counts"]["duplicates"], row["counts"]["succeeded"]) == (3, 120)
    (unowned,) = world.costs("document#-")
    assert (unowned["input_tokens"], unowned["output_tokens"]) == (21, 9)
    assert "difference" not in row


def test_a_job_without_any_output_is_closed(world: World) -> None:
    begin(world, attempts=1)
    row = finish(world, status="Expired")
    assert (row["parts"], row["files"], row["counts"]["failed"]) == (0, [], 120)
    (total,) = world.costs("job#")
    assert total["verified"] is False
    assert world.document()["status"] == "FAILED"


# time


def test_a_close_goes_on_where_the_time_was_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten documents, two at a time: a run for each two; and the retry shards before them likewise."""
    monkeypatch.setattr(close, "DOCUMENTS_AT_ONCE", 2)
    ready(world, max_wait="0s", attempts=2)
    for n in range(10):
        upload(world, 12, f"inbox/rows/{n}.jsonl", start=12 * n)
    world.pack()
    world.deliver("JobsQueue")
    world.bedrock.ending = Ending(left_out=lambda name: index(name) == 3)
    world.end_jobs(tell=False)
    world.bedrock.ending = Ending()
    job_id = world.job()["job_id"]
    runs = []
    while not runs or runs[-1] is None:
        runs.append(world.collector().run(job_id, world.owner(), until=world.clock() + timedelta(seconds=-1)))
        accounted = [one for one in world.documents() if job_id in one.get("applied", ())]
        assert len(accounted) == 2 * len(runs)
        if runs[-1] is None:
            assert world.bodies("JobEventsQueue")[-1] == {"job_id": job_id}
        assert "lease_owner" not in world.job()
    assert len(runs) == 5
    world.run()
    audit.check_end(world)
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    # Each document is accounted once by the job and, for the record that was missing, once by the next.
    assert all(len(one["applied"]) == 2 for one in world.documents())


# death


def answer(record_id: str, body: dict[str, Any]) -> Say:
    prompt = prompt_of(body)
    if "flaky" in prompt and record_id.endswith("1"):
        return Say(error=500)
    if "long" in prompt and body["inferenceConfig"]["maxTokens"] < 100:
        return Say("the beginning of", "max_tokens", Usage(100, 64))
    return Say("", "end_turn") if "hopeless" in prompt else Say(f"answer to {prompt}")


def to_the_end_of_the_job(world: World) -> None:
    """Two documents with every kind of ending run as one batch job, which has just ended."""
    world.bedrock.answer = answer
    world.fatal = True
    shape: dict[str, Any] = {"chunk": {"by": "row"}, "prompt": "Say {{ row.text }}"}
    world.pipeline("rows", **shape, inference={"max_tokens": 64}, attempts=2, budget={"per_day_usd": 5})
    world.deliver_all()
    for name, texts in (("a", ("plain", "flaky", "long")), ("b", ("hopeless", "lost", "twice"))):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        world.upload(f"inbox/rows/{name}.jsonl", lines)
    world.deliver_all()
    world.clock.advance(200)
    world.pack()
    world.deliver("JobsQueue")
    (name,) = [one["document_id"] for one in world.documents() if one["source"]["key"].endswith("b.jsonl")]
    world.bedrock.ending = Ending(
        left_out=lambda record: record.startswith(f"{name}m0000001"),
        twice=lambda record: record.startswith(f"{name}m0000002"),
    )
    world.end_jobs()
    world.bedrock.ending = Ending()
    world.fatal = False


def endings(world: World) -> dict[str, Any]:
    return {
        one["source"]["key"]: (one["status"], one["succeeded"], one["failed"], one.get("codes"))
        for one in world.documents()
    }


@pytest.mark.parametrize("size", [64_000_000, 1_500], ids=["in one part", "in parts"])
def test_collect_may_die_at_any_write(
    make: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    monkeypatch.setattr(output, "PART_BYTES", size)
    monkeypatch.setattr(close, "DOCUMENTS_AT_ONCE", 1)

    def play(fault: Fault | None, at: int) -> World:
        world = make()
        to_the_end_of_the_job(world)
        seen = len(world.calls.made)
        if fault:
            world.calls.arm(fault, at, counted=_is_write)
        world.deliver_all()
        world.clock.advance(1200)  # the lease of who died is over, its message visible again
        world.run(minutes=60)
        world.calls.made[:seen] = []
        return world

    whole = play(None, 0)
    audit.check_end(whole)
    expected = endings(whole)
    assert expected["inbox/rows/a.jsonl"] == ("COMPLETED", 3, 0, None)
    assert expected["inbox/rows/b.jsonl"] == ("PARTIAL", 2, 1, {"ANSWER_EMPTY": 1})
    first_close = next(n for n, call in enumerate(whole.calls.made) if _closes(call.parameters))
    writes = sum(_is_write(call.stage, call.name) for call in whole.calls.made[: first_close + 2])
    assert writes > 12
    for at in range(1, writes + 1):
        # Dying before a write is dying after the one before it.
        world = play(Fault.DIED_AFTER, at)
        where = f"write {at}, {world.calls.struck}"
        assert world.calls.struck, where
        audit.check_end(world)
        assert endings(world) == expected, where


def _is_write(stage: str, name: str) -> bool:
    return stage == "collect" and not name.partition(".")[2].startswith(READS)


def _closes(parameters: Any) -> bool:
    """Tell whether a call is the transaction that closes a job."""
    writes = parameters.get("TransactItems", ()) if isinstance(parameters, dict) else ()
    return any(
        one.get("Update", {}).get("ExpressionAttributeValues", {}).get(":to") == {"S": "CLOSED"}
        for one in writes
    )
