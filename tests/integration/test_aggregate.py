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
        if name == "dynamodb.UpdateItem" and ":new_finished_at" in parameters["ExpressionAttributeValues"]:
            world.calls.watch = None
            made = {k: v for k, v in parameters.items() if not k.startswith("Return")}
            world.calls.end()
            world.aggregator().documents.client.update_item(**made)
            world.calls.begin("aggregate")

    world.calls.watch = once_more
    says(world, "Good.")
    assert world.calls.watch is None, "the end was not repeated"
    assert len(world.events()) == 1


# a reduce prompt


def merged(_record_id: str, body: dict[str, Any]) -> Say:
    """Answer rows with their number, and a request to merge with what is to be merged."""
    asked = prompt_of(body)
    return Say(asked.removeprefix("Merge: ") if asked.startswith("Merge") else asked.replace("row ", ""))


def test_a_reduce_prompt_makes_one_answer_of_many(world: World) -> None:
    ready(world, max_wait="0s", combine={"prompt": "Merge: {{ parts | join('+') }}", "max_tokens": 50})
    world.bedrock.answer = merged
    upload(world, 3)
    row = end(world)
    assert (row["status"], row["result"], row["stage"]) == ("COMPLETED", "0+1+2", 1)
    assert (row["records"], row["succeeded"], row["open"]) == (4, 4, 0)
    assert [one["record"] for one in world.results(row["document_id"])] == [
        "m0000000",
        "m0000001",
        "m0000002",
        "r0000000",
    ]
    assert len(world.events()) == 1


def test_answers_that_do_not_fit_are_reduced_in_stages(world: World) -> None:
    """Four answers of about 14,000 tokens each, two of which fit into 32,000, then two short ones."""
    step = {"prompt": "Merge: {{ parts | map('truncate', 5, true, '') | join('+') }}{{ text }}"}
    ready(world, max_wait="0s", combine=step | {"model": "mistral.mistral-small-2402-v1:0"})

    def answer(_record_id: str, body: dict[str, Any]) -> Say:
        asked = prompt_of(body)
        if asked.startswith("Merge"):
            return Say(asked.removeprefix("Merge: ").split("word")[0])
        return Say(asked.replace("row ", "") + "word " * 12_000)

    world.bedrock.answer = answer
    upload(world, 4)
    row = end(world)
    assert (row["status"], row["stage"], row["records"]) == ("COMPLETED", 2, 4 + 2 + 1)
    assert [one["record"] for one in world.results(row["document_id"])][4:] == [
        "r0000000",
        "r0000001",
        "s0000000",
    ]


def test_a_reduce_prompt_leaves_out_what_has_no_answer(world: World) -> None:
    ready(world, max_wait="0s", attempts=1, combine={"prompt": "Merge: {{ parts | join('+') }}"})
    world.bedrock.answer = lambda record_id, body: (
        Say(stop="content_filtered") if prompt_of(body) == "row 1" else merged(record_id, body)
    )
    upload(world, 3)
    row = end(world)
    assert (row["status"], row["result"]) == ("PARTIAL", "0+2")
    assert "1 of 4 records have no answer: ANSWER_BLOCKED 1" in row["error"]["message"]


def test_a_reduce_prompt_that_fails_keeps_the_answers_to_the_parts(world: World) -> None:
    ready(world, max_wait="0s", attempts=1, combine={"prompt": "Merge: {{ text }}"})
    world.bedrock.answer = lambda record_id, body: (
        Say(stop="content_filtered") if prompt_of(body).startswith("Merge") else merged(record_id, body)
    )
    upload(world, 2)
    row = end(world)
    assert (row["status"], row["error"]["code"]) == ("FAILED", "RECORDS_FAILED")
    assert "result" not in row
    assert [one.get("output") for one in world.results(row["document_id"])] == ["0", "1", None]


def test_no_answer_at_all_is_not_reduced(world: World) -> None:
    ready(world, max_wait="0s", attempts=1, combine={"prompt": "Merge: {{ text }}"})
    world.bedrock.answer = lambda _id, _body: Say(" ")
    upload(world, 2)
    row = end(world)
    assert (row["status"], row["stage"], row["records"]) == ("FAILED", 0, 2)


def test_a_reduce_prompt_that_cannot_be_rendered_fails_the_document(world: World) -> None:
    ready(world, max_wait="0s", combine={"prompt": "{{ parts }}{{ document.nmae }}"})
    upload(world, 2)
    row = end(world)
    assert (row["status"], row["error"]["code"]) == ("FAILED", "PROMPT_FAILED")
    assert (row["succeeded"], row["stage"]) == (2, 0)


# tables


def test_a_table_comes_back_with_a_line_per_row(world: World) -> None:
    ready(world, max_wait="0s", attempts=1, combine="jsonl")
    world.bedrock.answer = lambda _id, body: (
        Say(stop="content_filtered") if prompt_of(body) == "row 1" else Say(prompt_of(body))
    )
    upload(world, 120)
    row = end(world)
    assert row["table_key"] == f"results/rows/{row['document_id']}.jsonl"
    lines = [json.loads(line) for line in world.object(row["table_key"]).splitlines()]
    assert [one["row"] for one in lines] == list(range(120))
    assert [one.get("output") for one in lines[:3]] == ["row 0", None, "row 2"]
    assert lines[1]["error"]["code"] == "ANSWER_BLOCKED"
    assert result_file(world)["result"] == {"table": row["table_key"]}
    assert "result" not in row


# reviews


def test_an_unsure_document_waits_for_a_person(world: World) -> None:
    output = {"schema": {"type": "object", "properties": {"sure": {}}}}
    row = says(
        world,
        '{"sure": 0.2}',
        attempts=1,
        output=output | {"confidence": {"field": "sure", "at_least": 0.8}},
        review={"when": "confidence"},
    )
    assert (row["status"], row["error"]["code"]) == ("HELD", "REVIEW_NEEDED")
    assert row["problem"] == "rows#REVIEW_NEEDED"
    assert row["result"] == {"sure": Decimal("0.2")}
    world.send("DocumentsQueue", {"document_id": row["document_id"]})
    world.deliver_all()
    assert world.document() == row
    assert [kind for kind, _ in world.events()] == ["Document Held", "Document Held"]
    assert world.events()[0][1]["code"] == "REVIEW_NEEDED"
