"""Uploads become rows and shards: shapes, refusals, waiting for a pipeline, repetition."""

import json
from decimal import Decimal
from typing import Any

import pytest
from batchline import chunk, ids
from batchline.aws import clients

from tests.integration.world import INBOX, NOVA, World

LANE = f"{NOVA}#Converse"


def ready(world: World, name: str = "notes", **keys: Any) -> None:
    world.pipeline(name, **keys)
    world.deliver("UploadsQueue")


def take(world: World, key: str, data: str | bytes) -> dict[str, Any]:
    world.upload(key, data)
    world.deliver("UploadsQueue")
    return world.document(key)


def test_a_small_document_is_queued_with_all_its_records(world: World) -> None:
    ready(world, inference={"max_tokens": 200})
    row = take(world, "inbox/notes/2026/über uns.txt", "Guten Tag")
    expected_id = row["document_id"]
    assert len(expected_id) == ids.DOCUMENT_LENGTH
    assert {name: row[name] for name in row if name != "source"} == {
        "document_id": expected_id,
        "pipeline": "notes",
        "pipeline_version": world.control("pipeline#notes")[0]["version"],
        "received_at": "2026-11-22T09:00:00.000Z",
        "day_key": "notes#2026-11-22",
        "day_order": f"2026-11-22T09:00:00.000Z#{expected_id}",
        "status": "QUEUED",
        "sealed": True,
        "cursor": 1,
        "stage": 0,
        "records": 1,
        "succeeded": 0,
        "failed": 0,
        "open": 1,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": 0,
        "saved_usd": 0,
        "overhead_usd": 0,
        # "Say Guten Tag": 13 bytes are 4 tokens, 12 more frame them. As nothing was answered yet, a quarter
        # of 200 tokens is expected: 16 in and 50 out, in a batch at 0.03 and 0.12.
        "estimate_usd": Decimal("0.00000648"),
        # At most 52 in, for Nova's may be low by 224 percent, and 200 out; on demand at 0.06 and 0.24.
        "at_most_usd": Decimal("0.00005112"),
        "committed_usd": Decimal("0.00005112"),
    }
    assert row["source"]["key"] == "inbox/notes/2026/über uns.txt"
    assert row["source"]["version_id"]


def test_the_shard_of_a_small_document_waits_in_its_lane(world: World) -> None:
    ready(world, max_wait="90s", inference={"max_tokens": 200})
    document_id = take(world, "inbox/notes/a.txt", "A note.")["document_id"]
    (shard,) = world.pending()
    assert (shard["pk"], shard["lane"]) == (f"pending#{LANE}#notes", LANE)
    assert shard["sk"] == f"2026-11-22T09:00:00.000Z#{shard['shard_id']}"
    assert shard["urgent_at"] == "2026-11-22T09:01:30.000Z"
    assert shard["ranges"] == [f"{document_id} m 0 1 1"]
    assert (shard["records"], shard["output_tokens"]) == (1, 200)
    line = json.loads(world.object(shard["key"]))
    assert line == {
        "recordId": f"{document_id}m00000001",
        "modelInput": {
            "messages": [{"role": "user", "content": [{"text": "Say A note."}]}],
            "inferenceConfig": {"maxTokens": 200},
        },
    }
    assert shard["bytes"] == len(world.object(shard["key"]))
    assert world.control("lanes") == [{"pk": "lanes", "sk": LANE, "pipelines": {"notes"}}]


def test_150_small_documents_take_two_transactions(world: World) -> None:
    ready(world)
    messages = [world.upload(f"inbox/notes/{n}.txt", f"note {n}") for n in range(100)]
    for body in messages[:50]:
        world.send("UploadsQueue", body)  # S3 tells of some twice
    while world.deliver("UploadsQueue"):
        pass
    for n in range(100, 150):
        world.upload(f"inbox/notes/{n}.txt", f"note {n}")
    while world.deliver("UploadsQueue"):
        pass
    rows = world.documents()
    assert len(rows) == 150
    assert {(one["status"], one["open"]) for one in rows} == {("QUEUED", 1)}
    ranges = [one for shard in world.pending() for one in shard["ranges"]]
    assert sorted(ranges) == sorted(f"{one['document_id']} m 0 1 1" for one in rows)
    assert sum(one["records"] for one in world.pending()) == 150


def test_99_documents_fit_beside_their_shard(world: World) -> None:
    ready(world)
    for n in range(100):
        world.upload(f"inbox/notes/{n}.txt", f"note {n}")
    world.deliver("UploadsQueue")
    sizes = [len(call.parameters["TransactItems"]) for call in world.calls.of("dynamodb.TransactWriteItems")]
    assert sorted(sizes) == [2, 100]


def test_a_duplicate_in_the_transaction_costs_only_itself(world: World) -> None:
    """Another process wrote one of the documents between our look and our transaction."""
    ready(world)
    bodies = [world.upload(f"inbox/notes/{n}.txt", f"note {n}", send=False) for n in range(3)]
    world.send("UploadsQueue", bodies[1])
    racing = world.receive("UploadsQueue", 1)
    for body in bodies:
        world.send("UploadsQueue", body)

    def race(name: str, _parameters: Any) -> None:
        if name == "dynamodb.TransactWriteItems":
            world.calls.watch = None
            world.handle("UploadsQueue", racing)
            world.calls.begin("chunk")

    world.calls.watch = race
    world.deliver("UploadsQueue")
    assert len(world.documents()) == 3
    ranges = sorted(one for shard in world.pending() for one in shard["ranges"])
    assert ranges == sorted(f"{one['document_id']} m 0 1 1" for one in world.documents())
    lines = [
        json.loads(line)["recordId"]
        for shard in world.pending()
        for line in world.object(shard["key"]).splitlines()
    ]
    assert len(lines) == len(set(lines)) == 3


def test_earlier_answers_tell_what_a_document_will_cost(world: World) -> None:
    ready(world, max_wait="0s", chunk={"by": "row"}, prompt="{{ row.a }}", inference={"max_tokens": 100})
    take(world, "inbox/notes/first.csv", "a\n1\n2\n")
    world.run()
    # Both rows were answered with 20 tokens. So 13 in and 20 out are expected, three times, in a batch at
    # 0.03 and 0.12: 1.17 + 7.2 millionths.
    take(world, "inbox/notes/second.csv", "a\n3\n4\n5\n")
    assert world.document("inbox/notes/second.csv")["estimate_usd"] == Decimal("0.00000837")


def test_a_large_document_is_written_shard_by_shard(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "SMALL_RECORDS", 4)
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 4)
    ready(world, chunk={"by": "row"}, prompt="{{ row.a }}", inference={"max_tokens": 100})
    row = take(world, "inbox/notes/large.csv", "a\n" + "".join(f"{n}\n" for n in range(10)))
    assert (row["status"], row["sealed"], row["cursor"]) == ("QUEUED", True, 3)
    assert (row["records"], row["open"]) == (10, 10)
    assert "problem" not in row
    # "0" to "9": 1 token and 12 of frame; 13 in and 25 out, ten times, at 0.03 and 0.12
    assert row["estimate_usd"] == Decimal("0.0000339")
    # 52, 52 and 26 in may be 169, 169 and 85; with 1,000 out at 0.06 and 0.24: 25.38 + 240 millionths
    assert row["at_most_usd"] == Decimal("0.00026538")
    name = row["document_id"]
    shards = world.pending()
    assert sorted(one["ranges"] for one in shards) == [
        [f"{name} m 0 4 1"],
        [f"{name} m 4 4 1"],
        [f"{name} m 8 2 1"],
    ]


# refusals

LATE = "a\n" + "".join(f"{n}\n" for n in range(9)) + "1,2,3\n"


@pytest.mark.parametrize(
    ("key", "data", "code", "says"),
    [
        ("inbox/notes/empty.txt", b"", "UPLOAD_EMPTY", "0 bytes"),
        ("inbox/notes/cut.pdf", b"%PDF-1.7 ...", "FILE_DAMAGED", "end mark"),
        ("inbox/notes/data.bin", bytes(range(32)) * 9, "FORMAT_UNSUPPORTED", "binary"),
        ("inbox/notes/space.txt", b" \n\n ", "TEXT_MISSING", "no text"),
        ("inbox/rows/bad.csv", b"a\n1,2\n", "ROWS_INVALID", "Line 2"),
        ("inbox/rows/other.csv", b"b\n1\n", "PROMPT_FAILED", "record 0"),
        ("inbox/stray.txt", b"x", "KEY_INVALID", "inbox/<pipeline>/"),
        ("inbox/no such/x.txt", b"x", "KEY_INVALID", "inbox/<pipeline>/"),
    ],
)
def test_a_refused_upload_has_a_row_that_says_why(
    world: World, key: str, data: bytes, code: str, says: str
) -> None:
    ready(world)
    ready(world, "rows", chunk={"by": "row"}, prompt="{{ row.a }}")
    row = take(world, key, data)
    assert (row["status"], row["error"]["code"], row["sealed"]) == ("FAILED", code, True)
    assert says in row["error"]["message"]
    assert (row["records"], row["open"]) == (0, 0)
    assert row["problem"] == f"{row['pipeline']}#{code}"
    assert world.pending() == []
    world.upload(key, data)
    world.deliver("UploadsQueue")  # another version of the same bytes
    assert {one["error"]["code"] for one in world.documents()} == {code}


def test_what_is_too_large_is_not_read(world: World) -> None:
    ready(world)
    body = world.upload("inbox/notes/huge.txt", "x", send=False)
    body["Records"][0]["s3"]["object"]["size"] = 10 * 2**30 + 1
    world.send("UploadsQueue", body)
    world.calls.made.clear()
    world.deliver("UploadsQueue")
    row = world.document("inbox/notes/huge.txt")
    assert row["error"]["code"] == "UPLOAD_TOO_LARGE"
    assert "10,737,418,241" in row["error"]["message"]
    assert world.calls.of("s3.GetObject") == []


def test_an_upload_deleted_before_it_was_read_is_gone(world: World) -> None:
    ready(world)
    body = world.upload("inbox/notes/a.txt", "x")
    version = body["Records"][0]["s3"]["object"]["versionId"]
    clients.s3().delete_object(Bucket=INBOX, Key="inbox/notes/a.txt", VersionId=version)
    world.deliver("UploadsQueue")
    assert world.document("inbox/notes/a.txt")["error"]["code"] == "UPLOAD_GONE"


def test_an_overwritten_upload_is_a_document_of_its_own(world: World) -> None:
    ready(world)
    world.upload("inbox/notes/a.txt", "first")
    world.upload("inbox/notes/a.txt", "second")
    world.deliver("UploadsQueue")
    lines = [world.object(one["key"]).splitlines() for one in world.pending()]
    prompts = {
        json.loads(line)["modelInput"]["messages"][0]["content"][0]["text"] for some in lines for line in some
    }
    assert prompts == {"Say first", "Say second"}


def test_a_bad_row_late_in_a_large_file_leaves_what_was_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk, "SMALL_RECORDS", 2)
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 3)
    ready(world, chunk={"by": "row"}, prompt="{{ row.a }}")
    row = take(world, "inbox/notes/late.csv", LATE)
    # Nine rows are good; the last part was not whole when the bad row came.
    assert (row["status"], row["sealed"], row["open"]) == ("QUEUED", True, row["records"])
    assert 6 <= row["records"] <= 9
    world.run()
    row = world.document("inbox/notes/late.csv")
    assert row["status"] == "PARTIAL"
    assert row["error"]["code"] == "ROWS_INVALID"
    assert "Line 11" in row["error"]["message"]


# pipelines


def test_an_invalid_pipeline_file_leaves_the_last_good_version_in_force(world: World) -> None:
    ready(world)
    before = world.control("pipeline#notes")
    row = take(world, "pipelines/notes.yaml", "model: x\npromt: y\n")
    assert (row["status"], row["error"]["code"]) == ("FAILED", "PIPELINE_INVALID")
    assert "line 2" in row["error"]["message"]
    assert "did you mean prompt" in row["error"]["message"]
    assert world.control("pipeline#notes") == before
    assert take(world, "inbox/notes/a.txt", "A note.")["status"] == "QUEUED"


def test_an_older_pipeline_file_that_comes_late_loses(world: World) -> None:
    older = world.upload(
        "pipelines/notes.yaml", json.dumps({"model": NOVA, "prompt": "old {{ text }}"}), send=False
    )
    world.pipeline("notes", prompt="new {{ text }}")
    world.deliver("UploadsQueue")
    in_force = world.control("pipeline#notes")[0]["version"]
    world.send("UploadsQueue", older)
    world.deliver("UploadsQueue")
    assert world.control("pipeline#notes")[0]["version"] == in_force


def test_a_document_waits_for_its_pipeline_and_goes_on_by_itself(world: World) -> None:
    row = take(world, "inbox/notes/a.txt", "A note.")
    assert (row["status"], row["error"]["code"]) == ("HELD", "PIPELINE_UNKNOWN")
    assert (row["pipeline_version"], row["problem"]) == ("-", "notes#PIPELINE_UNKNOWN")
    world.pipeline("notes")
    world.deliver_all()
    after = world.document("inbox/notes/a.txt")
    assert (after["status"], after["document_id"]) == ("QUEUED", row["document_id"])
    assert "error" not in after
    assert "problem" not in after
    assert after["pipeline_version"] == world.control("pipeline#notes")[0]["version"]


def test_a_pipeline_that_arrives_between_look_and_row_is_seen(world: World) -> None:
    world.upload("inbox/notes/a.txt", "A note.")

    def arrive(name: str, parameters: Any) -> None:
        if name == "dynamodb.PutItem" and parameters["Item"].get("status") == {"S": "HELD"}:
            world.calls.watch = None
            world.pipeline("notes")
            (message,) = world.receive("UploadsQueue", 1)
            world.handle("UploadsQueue", [message])
            world.delete("UploadsQueue", message)
            world.calls.begin("chunk")

    world.calls.watch = arrive
    world.deliver_all()
    assert world.document("inbox/notes/a.txt")["status"] == "QUEUED"


def test_a_held_document_is_not_doubled_when_told_of_again(world: World) -> None:
    body = world.upload("inbox/notes/a.txt", "A note.")
    world.deliver("UploadsQueue")
    world.pipeline("notes")
    world.deliver_all()
    world.send("UploadsQueue", body)
    world.deliver_all()
    assert len(world.documents()) == 1
    assert len(world.pending()) == 1


def test_s3s_test_message_and_folders_are_nothing(world: World) -> None:
    ready(world)
    world.send("UploadsQueue", {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": INBOX})
    world.upload("inbox/notes/folder/", b"")
    world.deliver("UploadsQueue")
    assert world.documents() == []


def test_keys_with_odd_characters_are_read(world: World) -> None:
    ready(world)
    key = "inbox/notes/a+b %20 契約=1&2.txt"
    assert take(world, key, "A note.")["status"] == "QUEUED"
