"""The faults that were thought of before anything was built, each by its name."""

import json
from typing import Any

import pytest
from batchline.aws import dynamo

from tests.faults import audit
from tests.faults.conftest import Make
from tests.faults.scenarios import answer, rows
from tests.faults.test_every_call import begin
from tests.integration.calls import Died
from tests.integration.world import World


def upload(world: World, count: int = 3) -> None:
    for number in range(count):
        world.upload(f"inbox/rows/{number}.jsonl", rows(f"plain {number}", f"other {number}"))


def state(world: World) -> dict[str, list[dict[str, Any]]]:
    """All rows but those of reconcile, which say when it last looked or added up a month."""
    found = {name: world.table(name) for name in ("Documents", "Results", "Jobs", "Costs")}
    found["Costs"] = [one for one in found["Costs"] if not one["scope"].startswith("month#")]
    return found


def test_a_chunk_that_died_is_delivered_again_after_pack_has_run(make: Make) -> None:
    world = make()
    begin(world)
    upload(world)
    messages = world.receive("UploadsQueue", 100)
    world.handle("UploadsQueue", messages)  # and it died before it could acknowledge
    world.clock.advance(120)
    assert len(world.pack().jobs) == 1
    assert world.pending() == []
    world.handle("UploadsQueue", messages)
    assert world.pending() == []
    for one in messages:
        world.delete("UploadsQueue", one)
    world.run()
    audit.check_end(world)


def test_a_batch_of_uploads_comes_again_in_other_subsets(make: Make) -> None:
    world = make()
    begin(world)
    upload(world, 9)
    messages = world.receive("UploadsQueue", 100)
    world.handle("UploadsQueue", messages[:4])
    for start, stop in ((2, 7), (0, 5), (6, 9), (3, 9), (0, 9)):
        world.handle("UploadsQueue", messages[start:stop])
        audit.check(world)
    assert len(world.documents()) == 9
    for one in messages:
        world.delete("UploadsQueue", one)
    world.run()
    audit.check_end(world)


@pytest.mark.parametrize("call", ["dynamodb.TransactWriteItems", "dynamodb.BatchWriteItem", "s3.PutObject"])
def test_a_packer_thaws_after_another_one_has_run(make: Make, call: str) -> None:
    """It freezes just before a call, for longer than its lease; the world goes on without it."""
    world = make()
    begin(world)
    upload(world)
    world.clock.advance(120)
    world.deliver("UploadsQueue")
    world.clock.advance(120)

    def freeze(name: str, _parameters: Any) -> None:
        if name == call:
            world.calls.watch = None
            for _ in range(4):
                world.minute()
            world.calls.begin("pack")

    world.calls.watch = freeze
    world.pack()
    assert world.calls.watch is None, "the packer did not come so far"
    audit.check(world)
    world.run()
    audit.check_end(world)
    asked = [one for job in world.jobs() for one in audit.plan(world, job["job_id"])]
    assert len({one.shard_id for one in asked}) == len(asked), "a shard is in two jobs"


def test_two_packers_at_once(make: Make) -> None:
    """Before each call of one packer another one runs."""
    world = make()
    begin(world)
    upload(world, 9)
    world.deliver("UploadsQueue")
    world.clock.advance(120)

    def other(_name: str, _parameters: Any) -> None:
        world.calls.watch = None
        world.pack()
        world.calls.begin("pack")
        world.calls.watch = other

    world.calls.watch = other
    world.pack()
    world.calls.watch = None
    audit.check(world)
    world.run()
    audit.check_end(world)


def test_bedrock_forgets_a_request_token(make: Make) -> None:
    world = make()
    begin(world)
    upload(world)
    world.deliver("UploadsQueue")
    world.clock.advance(120)
    world.pack()
    world.calls.change = _die_after("bedrock.CreateModelInvocationJob")
    world.deliver("JobsQueue")
    world.calls.change = None
    assert world.job()["status"] == "READY"
    assert len(world.bedrock.jobs) == 1
    world.bedrock.forget_tokens()
    world.clock.advance(3600)
    world.run()
    assert len([one for one in world.jobs() if one["engine"] == "batch"]) == len(world.bedrock.jobs) == 1
    audit.check_end(world)


def _die_after(call: str) -> Any:
    def die(name: str, _parameters: Any, reply: Any) -> Any:
        if name == call:
            raise Died
        return reply

    return die


def test_every_doorbell_rings_again_at_the_end(make: Make) -> None:
    world = make()
    world.bedrock.answer = answer
    begin(world)
    bodies: list[tuple[str, dict[str, Any]]] = []
    names = {url: name for name, url in world.queues.items()}

    def remember(name: str, parameters: Any) -> None:
        if name == "sqs.SendMessage":
            bodies.append((names[parameters["QueueUrl"]], json.loads(parameters["MessageBody"])))
        if name == "sqs.SendMessageBatch":
            queue = names[parameters["QueueUrl"]]
            bodies.extend((queue, json.loads(entry["MessageBody"])) for entry in parameters["Entries"])

    world.calls.watch = remember
    first = world.upload("inbox/rows/large.jsonl", rows("flaky", *(f"row {n}" for n in range(10))))
    second = world.upload("inbox/rows/small.jsonl", rows("plain", "hopeless"))
    world.run()
    audit.check_end(world)
    world.calls.watch = None
    before = state(world)
    stages = {"JobsQueue", "OnDemandQueue", "JobEventsQueue", "DocumentsQueue"}
    assert {queue for queue, _ in bodies} >= stages
    for queue, body in [*bodies, ("UploadsQueue", first), ("UploadsQueue", second)]:
        world.send(queue, body)
    for job in world.bedrock.jobs.values():
        world.send("JobEventsQueue", {"detail": {"batchJobName": job.name}})
    for _ in range(10):
        world.minute()
    assert state(world) == before
    audit.check_end(world)


def test_all_records_are_settled_before_a_large_document_is_sealed(make: Make) -> None:
    """Chunk stops before its last call; the rest of the world finishes what it has registered."""
    world = make()
    begin(world)
    world.upload("inbox/rows/large.jsonl", rows(*(f"row {n}" for n in range(8))))

    def hurry(name: str, parameters: Any) -> None:
        if name == "dynamodb.UpdateItem" and ":new_sealed" in parameters["ExpressionAttributeValues"]:
            world.calls.watch = None
            for _ in range(6):
                world.minute()
            row = world.document()
            assert (row["status"], row["open"], row["succeeded"]) == ("CHUNKING", 0, 8)
            world.calls.begin("chunk")

    world.calls.watch = hurry
    world.deliver("UploadsQueue")
    assert world.calls.watch is None
    world.run()
    assert world.document()["status"] == "COMPLETED"
    audit.check_end(world)


def test_chunk_dies_as_it_seals_a_document_that_is_settled_already(make: Make) -> None:
    """The seal takes effect, and nobody is left to ring for the document."""
    world = make()
    begin(world)
    world.upload("inbox/rows/large.jsonl", rows(*(f"row {n}" for n in range(8))))

    def hurry(name: str, parameters: Any) -> None:
        if name == "dynamodb.UpdateItem" and ":new_sealed" in parameters["ExpressionAttributeValues"]:
            world.calls.watch = None
            for _ in range(6):
                world.minute()
            world.calls.begin("chunk")

    def seal_only(name: str, parameters: Any, reply: Any) -> Any:
        if name == "dynamodb.UpdateItem" and ":new_sealed" in parameters["ExpressionAttributeValues"]:
            raise Died
        return reply

    world.calls.watch, world.calls.change = hurry, seal_only
    world.deliver("UploadsQueue")
    world.calls.change = None
    row = world.document()
    assert (row["status"], row["sealed"], row["open"]) == ("QUEUED", True, 0)
    world.run()
    assert world.document()["status"] == "COMPLETED"
    audit.check_end(world)


def test_an_upload_that_is_gone_when_chunk_goes_on_ends_its_document(make: Make) -> None:
    world = make()
    begin(world)
    body = world.upload("inbox/rows/large.jsonl", rows(*(f"row {n}" for n in range(11))))
    version = body["Records"][0]["s3"]["object"]["versionId"]
    world.calls.watch = _die_at("dynamodb.TransactWriteItems", 3)
    world.deliver("UploadsQueue")
    world.calls.watch = None
    assert world.document("inbox/rows/large.jsonl")["status"] == "CHUNKING"
    s3 = world.chunker().inbox.client
    s3.delete_object(Bucket="batchline-inbox", Key="inbox/rows/large.jsonl", VersionId=version)
    world.run(minutes=60)
    row = world.document()
    assert (row["status"], row["succeeded"], row["error"]["code"]) == ("PARTIAL", 4, "UPLOAD_GONE")


def test_a_pipeline_changes_while_a_large_document_is_chunked(make: Make) -> None:
    """Chunk dies half-way, and a new version is in force when the message comes again."""
    world = make()
    begin(world)
    world.upload("inbox/rows/large.jsonl", rows(*(f"row {n}" for n in range(11))))
    world.calls.watch = _die_at("dynamodb.TransactWriteItems", 3)
    world.deliver("UploadsQueue")
    world.calls.watch = None
    assert world.document()["status"] == "CHUNKING"
    world.pipeline("rows", chunk={"by": "row"}, prompt="Tell {{ row.text }}", attempts=2)
    world.run(minutes=90)
    row = world.document()
    assert (row["status"], row["records"]) == ("COMPLETED", 11)
    audit.check_end(world)


def _die_at(call: str, number: int) -> Any:
    left = number

    def die(name: str, _parameters: Any) -> None:
        nonlocal left
        left -= name == call
        if not left and name == call:
            raise Died

    return die


def test_invoke_dies_before_a_checkpoint(make: Make) -> None:
    """At most the calls of one checkpoint are made again."""
    world = make()
    begin(world)
    world.upload("inbox/rows/few.jsonl", rows("a", "b", "c"))
    world.deliver("UploadsQueue")
    world.clock.advance(120)
    world.pack()

    def die(name: str, _parameters: Any) -> None:
        if name == "s3.PutObject":
            world.calls._dead = True
            raise Died

    world.calls.watch = die
    world.deliver("OnDemandQueue")
    world.calls.watch = None
    assert sum(world.bedrock.paid.values()) == 3
    world.run()
    assert sum(world.bedrock.paid.values()) == 6
    assert world.document()["status"] == "COMPLETED"
    audit.check_end(world, in_flight=3)


def test_outsiders_fill_the_quota_for_an_hour(make: Make) -> None:
    world = make()
    begin(world)
    upload(world, 9)
    world.bedrock.quota = 0
    for _ in range(60):
        world.minute()
    assert {one["status"] for one in world.jobs()} == {"WAITING"}
    world.bedrock.quota = 3
    world.run()
    audit.check_end(world)


def test_the_audit_finds_what_is_wrong(make: Make) -> None:
    """An audit that cannot fail proves nothing."""
    breaks = {
        "Documents": "SET #records = :more",
        "Costs": "SET #input_tokens = :more",
        "Jobs": "SET #input_tokens = :more",
    }
    world = make()
    begin(world)
    upload(world)
    world.run()
    audit.check_end(world)
    client = world.packer().control.client
    for table, expression in breaks.items():
        row = world.table(table)[0]
        names = {"Documents": ["document_id"], "Costs": ["scope", "entry"], "Jobs": ["job_id"]}[table]
        key = {name: row[name] for name in names}
        dynamo.write(client, dynamo.update(table, key, expression, values={"more": 999}))
        with pytest.raises(AssertionError):
            audit.check(world)
        dynamo.write(client, dynamo.put(table, row))
        audit.check(world)
    world.bedrock.paid.update([next(iter(world.bedrock.paid))])
    with pytest.raises(AssertionError):
        audit.check(world)
