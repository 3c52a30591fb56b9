"""Large uploads go on over several runs of the function, wherever one of them stops."""

import json
from typing import Any

import pytest
from batchline import chunk, units
from batchline.aws import clients, cutting, large

from tests.faults.audit import check_end
from tests.integration.calls import Died, Fault
from tests.integration.test_chunk import ready, take
from tests.integration.world import INBOX, World

ROWS = {"chunk": {"by": "row"}, "prompt": "Say {{ row.a }}"}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "SMALL_RECORDS", 2)
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 4)


def table(count: int) -> str:
    return "a\n" + "".join(f"{n}\n" for n in range(count))


def asked(world: World) -> list[str]:
    """What all pending records ask, by record."""
    lines = [json.loads(line) for one in world.pending() for line in world.object(one["key"]).splitlines()]
    assert len({one["recordId"] for one in lines}) == len(lines)
    return [
        one["modelInput"]["messages"][0]["content"][0]["text"]
        for one in sorted(lines, key=lambda one: str(one["recordId"]))
    ]


def run_out(world: World, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Let the time run out after so many looks at the clock, in every run."""
    real = cutting.Cutter.cut

    def cut(self: cutting.Cutter, arrival: Any, version: str, run: Any, *, row: Any) -> None:
        left = [looks]

        def clock() -> Any:
            left[0] -= 1
            return run.until if left[0] < 0 else world.clock()

        object.__setattr__(self, "clock", clock)
        real(self, arrival, version, run, row=row)

    monkeypatch.setattr(cutting.Cutter, "cut", cut)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("looks", range(12))
def test_the_time_may_run_out_at_every_step(
    world: World, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    ready(world, **ROWS)
    run_out(world, monkeypatch, looks)
    world.upload("inbox/notes/large.csv", table(10))
    world.deliver_all()
    row = world.document()
    assert (row["status"], row["sealed"], row["records"], row["open"]) == ("QUEUED", True, 10, 10)
    assert asked(world) == [f"Say {n}" for n in range(10)]
    # A run of `looks` looks makes one unit more than that; ten units in all, and one run may only seal.
    assert world.deliveries["UploadsQueue"] - 1 <= 1 + -(-10 // (looks + 1))


@pytest.mark.usefixtures("small_shards")
def test_a_run_that_is_overtaken_before_it_begins_adds_nothing(world: World) -> None:
    """Another run begins the document and dies after a shard; this one has read the upload from its start."""
    ready(world, **ROWS)
    world.upload("inbox/notes/large.csv", table(20))
    messages = world.receive("UploadsQueue")
    left = [3]

    def die(name: str, _parameters: Any) -> None:
        left[0] -= name == "dynamodb.TransactWriteItems"
        if not left[0]:
            raise Died

    def overtake(name: str, _parameters: Any) -> None:
        if name == "dynamodb.TransactWriteItems":
            world.calls.watch, world.fatal = die, False
            world.handle("UploadsQueue", messages)
            world.calls.watch, world.fatal = None, True
            world.calls.begin("chunk")

    world.calls.watch = overtake
    world.handle("UploadsQueue", messages)
    row = world.document()
    assert (row["status"], row["cursor"], row["records"]) == ("CHUNKING", 1, 4)
    assert asked(world) == [f"Say {n}" for n in range(4)]
    world.handle("UploadsQueue", messages)
    assert asked(world) == [f"Say {n}" for n in range(20)]


@pytest.mark.usefixtures("small_shards")
def test_a_document_that_goes_round_too_often_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MAX_HOPS", 3)
    monkeypatch.setattr(units, "MOST_TOGETHER", 1)  # so that each of four runs makes one record
    ready(world, **ROWS)
    run_out(world, monkeypatch, 0)
    world.upload("inbox/notes/large.csv", table(10))
    world.deliver_all()
    row = world.document()
    assert (row["sealed"], row["unread"]["code"]) == (True, "FILE_TOO_COMPLEX")
    assert "3 runs" in row["unread"]["message"]
    assert row["records"] == row["open"] == 4


@pytest.mark.usefixtures("small_shards")
def test_each_call_of_a_long_run_may_be_its_last(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies after one call, then after two, and so on; SQS brings the message back every time."""
    ready(world, **ROWS)
    run_out(world, monkeypatch, 5)
    world.fatal = False
    world.upload("inbox/notes/large.csv", table(20))
    messages = world.receive("UploadsQueue")
    for number in range(1, 40):
        world.calls.arm(Fault.DIED_BEFORE, number + 1)
        world.handle("UploadsQueue", messages)
        assert sum(one["records"] for one in world.documents()) == len(asked(world))
    world.delete("UploadsQueue", messages[0])
    world.calls.disarm()
    world.fatal = True
    world.deliver_all()
    assert asked(world) == [f"Say {n}" for n in range(20)]


@pytest.mark.usefixtures("small_shards")
def test_two_runs_at_once_make_no_record_twice(world: World) -> None:
    """Before each call of one run the same message is delivered to another, which runs to its end."""
    ready(world, **ROWS)
    world.upload("inbox/notes/large.csv", table(20))
    messages = world.receive("UploadsQueue")
    calls = [0]

    def other(_name: str, _parameters: Any) -> None:
        calls[0] += 1
        if calls[0] in {3, 7, 12}:
            world.handle("UploadsQueue", messages)
            world.calls.begin("chunk")

    world.calls.watch = other
    world.handle("UploadsQueue", messages)
    world.calls.watch = None
    assert len(world.documents()) == 1
    assert asked(world) == [f"Say {n}" for n in range(20)]


@pytest.mark.usefixtures("small_shards")
def test_a_large_document_is_answered_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(world, **ROWS)
    run_out(world, monkeypatch, 3)
    world.upload("inbox/notes/large.csv", table(11))
    world.run()
    row = world.document()
    assert (row["status"], row["succeeded"]) == ("COMPLETED", 11)
    check_end(world)


def test_a_large_upload_gets_a_message_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "LARGE_BYTES", 1000)
    ready(world, **ROWS)
    world.upload("inbox/notes/large.csv", table(300))
    world.upload("inbox/notes/small.csv", table(3))
    world.deliver("UploadsQueue")
    assert world.document("inbox/notes/small.csv")["status"] == "QUEUED"
    row = world.document("inbox/notes/large.csv")
    assert (row["status"], row["records"]) == ("CHUNKING", 0)
    assert world.bodies("UploadsQueue") == [{"document_id": row["document_id"], "hop": 1}]
    world.deliver_all()
    assert world.document("inbox/notes/large.csv")["records"] == 300


def test_a_large_upload_that_is_refused_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "LARGE_BYTES", 5)
    ready(world, **ROWS)
    world.upload("inbox/notes/bad.csv", "a\n1,2,3\n")
    world.run()
    row = world.document()
    assert (row["status"], row["error"]["code"], row["records"]) == ("FAILED", "ROWS_INVALID", 0)


def test_what_comes_late_in_a_run_is_for_another(world: World) -> None:
    ready(world)
    body = world.upload("inbox/notes/a.txt", "x", send=False)
    world.calls.begin("chunk")
    world.chunker().take({**body, "hop": 2}, until=world.clock())
    assert world.documents() == []
    assert world.bodies("UploadsQueue") == [{**body, "hop": 3}]


# what S3 tells twice


@pytest.mark.usefixtures("small_shards")
def test_a_pipeline_that_changes_while_a_document_is_chunked_makes_no_second_one(world: World) -> None:
    """Chunk dies in a large document, the pipeline changes, and then the message comes again."""
    ready(world, **ROWS)
    world.fatal = False
    world.upload("inbox/notes/large.csv", table(10))
    messages = world.receive("UploadsQueue")

    def die(name: str, _parameters: Any) -> None:
        if name == "dynamodb.TransactWriteItems" and world.documents():
            raise Died

    world.calls.watch = die
    world.handle("UploadsQueue", messages)
    world.calls.watch = None
    assert world.document()["status"] == "CHUNKING"
    ready(world, **ROWS, max_wait="5m")
    world.fatal = True
    world.handle("UploadsQueue", messages)
    assert asked(world) == [f"Say {n}" for n in range(10)]
    assert world.document()["sealed"]
    world.handle("UploadsQueue", messages)
    assert len(world.documents()) == 1


@pytest.mark.parametrize("count", [2, 10])
@pytest.mark.usefixtures("small_shards")
def test_an_event_that_comes_twice_after_the_upload_was_deleted_is_nothing(world: World, count: int) -> None:
    ready(world, **ROWS)
    body = world.upload("inbox/notes/a.csv", table(count))
    body["Records"][0]["eventTime"] = "2026-11-22T08:59:58.000Z"
    world.run()
    version = body["Records"][0]["s3"]["object"]["versionId"]
    clients.s3().delete_object(Bucket=INBOX, Key="inbox/notes/a.csv", VersionId=version)
    world.clock.advance(86_400)
    world.send("UploadsQueue", body)
    world.deliver_all()
    assert world.document()["status"] == "COMPLETED"


# deadly messages


def test_messages_that_came_before_are_written_one_by_one(world: World) -> None:
    ready(world)
    for name in ("a", "b", "c"):
        world.upload(f"inbox/notes/{name}.txt", name)
    world.fatal = False
    messages = world.receive("UploadsQueue")
    killed = 0

    def die(name: str, parameters: Any) -> None:
        nonlocal killed
        if name == "s3.GetObject" and parameters["Key"].endswith("b.txt"):
            killed += 1
            raise Died

    world.calls.watch = die
    world.handle("UploadsQueue", messages)
    world.calls.begin("")
    for _ in range(2):
        world.clock.advance(1000)
        world.deliver("UploadsQueue")
    assert killed == 3
    assert sorted(one["source"]["key"][-5] for one in world.documents()) == ["a", "c"]


# variables of a prompt


def test_a_prompt_may_use_what_s3_knows_of_an_upload(moto_world: World) -> None:
    world = moto_world
    prompt = (
        "{{ document.metadata.client }} {{ document.tags.kind }} {{ document.size }} "
        "{{ document.content_type }} {{ document.uploaded_at[:4] }} {{ text }}"
    )
    ready(world, prompt=prompt)
    body = world.upload("inbox/notes/a.txt", "A note.", send=False)
    reply = clients.s3().put_object(
        Bucket=INBOX,
        Key="inbox/notes/a.txt",
        Body=b"A note.",
        ContentType="text/plain",
        Metadata={"client": "ACME"},
        Tagging="kind=memo",
    )
    body["Records"][0]["s3"]["object"]["versionId"] = reply["VersionId"]
    world.send("UploadsQueue", body)
    world.deliver("UploadsQueue")
    (said,) = asked(world)
    before, _, after = said.partition("text/plain")
    assert before == "ACME memo 7 "
    assert after.endswith(" A note.")


def test_tags_are_asked_for_only_where_a_prompt_uses_them(world: World) -> None:
    ready(world, prompt="{{ document.metadata }} {{ document.name }} {{ text }}")
    take(world, "inbox/notes/a.txt", "A note.")
    assert world.calls.of("s3.GetObjectTagging") == []
