"""A settled document gets its result, ends, and the world is told."""

import json
from decimal import Decimal
from typing import Any

import pytest
from batchline.models import Usage

from tests.faults import audit
from tests.integration.fake_bedrock import Say, prompt_of
from tests.integration.test_pack import ready, upload
from tests.integration.world import World

ANY = {"schema": {}}


def end(world: World) -> dict[str, Any]:
    world.run()
    audit.check_end(world)
    return world.document()


def says(world: World, text: str, count: int = 1, **keys: Any) -> dict[str, Any]:
    """Let the model answer every record of a document with the same text."""
    ready(world, max_wait="0s", **keys)
    world.bedrock.answer = lambda _id, _body: Say(text)
    upload(world, count)
    return end(world)


def result_file(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.object(world.document()["result_key"]))
    return found


def test_the_result_is_in_the_row_and_in_the_bucket(world: World) -> None:
    row = says(world, "Good.", count=2)
    assert (row["status"], row["result"]) == ("COMPLETED", "Good.\n\nGood.")
    assert row["result_key"] == f"results/rows/{row['document_id']}.json"
    assert result_file(world) == {
        "document_id": row["document_id"],
        "source": row["source"],
        "pipeline": "rows",
        "pipeline_version": row["pipeline_version"],
        "status": "COMPLETED",
        "result": "Good.\n\nGood.",
        "failed": [],
    }
    assert row["finished_at"] >= row["received_at"]
    assert world.events() == [
        (
            "Document Completed",
            {"document_id": row["document_id"], "pipeline": "rows", "status": "COMPLETED"},
        )
    ]


def test_a_failed_document_is_told_of_too(world: World) -> None:
    row = says(world, " ")
    assert (row["status"], row["error"]["code"]) == ("FAILED", "RECORDS_FAILED")
    assert "ANSWER_EMPTY 1" in row["error"]["message"]
    assert "result" not in row
    ((kind, detail),) = world.events()
    assert (kind, detail["status"]) == ("Document Failed", "FAILED")


def test_numbers_stay_numbers(world: World) -> None:
    row = says(world, '{"total": 12.5, "count": 3, "rate": 1e-7}', output=ANY)
    assert row["result"] == {"total": Decimal("12.5"), "count": 3, "rate": Decimal("1E-7")}
    assert result_file(world)["result"] == {"total": 12.5, "count": 3, "rate": 1e-7}


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "{}",
        "[]",
        '""',
        "0",
        "false",
        '{"": 1}',
        '{"iban": 123456789012345678901234567890}',
        "[" * 100 + "]" * 100,
        '{"tiny": 1e-140, "huge": 1e140}',
        '{"text": "\\u0000\\ud83d\\ude00"}',
    ],
    ids=lambda text: text[:24],
)
def test_any_json_that_fits_the_schema_is_an_answer(world: World, text: str) -> None:
    row = says(world, text, output=ANY)
    assert row["status"] == "COMPLETED"
    assert result_file(world)["result"] == json.loads(text)


def test_a_long_answer_stays_in_the_output_and_comes_back(world: World) -> None:
    long = "All is well, at length. " * 400
    row = says(world, long, count=2)
    for one in world.results(row["document_id"]):
        assert "output" not in one
        place = one["output_ref"]
        line = world.object(place["key"])[place["offset"] : place["offset"] + place["length"]]
        assert json.loads(line)["recordId"].startswith(row["document_id"])
    assert "result" not in row
    assert result_file(world)["result"] == f"{long.strip()}\n\n{long.strip()}"


def test_a_long_structured_answer_comes_back_as_it_was(world: World) -> None:
    value = {"items": [{"name": f"item {n}", "price": 0.25 * n} for n in range(300)]}
    says(world, json.dumps(value), output=ANY)
    assert result_file(world)["result"] == value


def test_an_answer_cut_off_at_the_last_attempt_is_kept(world: World) -> None:
    ready(world, max_wait="0s", attempts=2)
    world.bedrock.answer = lambda _id, _body: Say("It was the best of", "max_tokens", Usage(10, 100))
    upload(world, 1)
    row = end(world)
    assert (row["status"], row["result"]) == ("COMPLETED", "It was the best of")
    (result,) = world.results(row["document_id"])
    assert (result["stop"], result["attempt"]) == ("max_tokens", 2)


def test_a_partial_document_lists_what_failed(world: World) -> None:
    ready(world, max_wait="0s", attempts=1, combine="list")
    world.bedrock.answer = lambda _id, body: (
        Say(stop="content_filtered") if prompt_of(body) == "row 1" else Say(prompt_of(body))
    )
    upload(world, 3)
    row = end(world)
    assert (row["status"], row["result"]) == ("PARTIAL", ["row 0", "row 2"])
    assert "1 of 3 records" in row["error"]["message"]
    assert row["problem"] == "rows#RECORDS_FAILED"
    assert result_file(world)["failed"] == [
        {"record": "m0000001", "code": "ANSWER_BLOCKED", "message": "The model stopped: content_filtered."}
    ]


def test_a_doorbell_that_comes_again_publishes_again(world: World) -> None:
    row = says(world, "Good.")
    world.send("DocumentsQueue", {"document_id": row["document_id"]})
    world.deliver_all()
    assert len(world.events()) == 2
    assert world.document() == row


def test_a_document_with_open_records_is_left_alone(world: World) -> None:
    ready(world)
    upload(world, 2)
    before = world.document()
    world.send("DocumentsQueue", {"document_id": before["document_id"]})
    world.send("DocumentsQueue", {"document_id": "a" * 16})
    world.deliver_all()
    assert world.document() == before
    assert world.events() == []


def test_an_event_that_the_bus_did_not_take_is_sent_again(world: World) -> None:
    """PutEvents answers 200 and counts what it did not take."""

    def refuse(name: str, _parameters: Any, reply: Any) -> Any:
        if name != "events.PutEvents":
            return reply
        world.calls.change = None
        return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}

    world.calls.change, world.fatal = refuse, False
    says(world, "Good.")
    assert len(world.events()) == 2  # the one that was not taken, and the one that was
    assert world.bodies("DocumentsQueue") == []


def test_an_end_whose_reply_was_lost_is_published(world: World) -> None:
    """botocore repeats the update, and the repetition finds the document ended."""

    def once_more(name: str, parameters: Any) -> None:
        if name == "dynamodb.UpdateItem" and ":finished" in parameters["ExpressionAttributeValues"]:
            world.calls.watch = None
            made = {k: v for k, v in parameters.items() if not k.startswith("Return")}
            world.calls.end()
            world.aggregator().documents.client.update_item(**made)
            world.calls.begin("aggregate")

    world.calls.watch = once_more
    says(world, "Good.")
    assert len(world.events()) == 1
