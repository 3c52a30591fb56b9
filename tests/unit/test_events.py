import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from batchline import chunk, ids
from batchline.aws.chunk import uploads
from batchline.chunk import DocumentFile, PipelineFile
from batchline.ids import RecordId

EVENTS = sorted((Path(__file__).resolve().parents[2] / "events").glob("*.json"))


def bodies(name: str) -> list[dict[str, Any]]:
    event = json.loads((EVENTS[0].parent / name).read_text("utf-8"))
    return [json.loads(record["body"]) for record in event["Records"]]


def test_every_function_has_an_event() -> None:
    functions = {path.parent.name for path in EVENTS[0].parents[1].glob("functions/*/app.py")}
    assert functions == {path.stem for path in EVENTS} & functions
    assert {path.stem.split("-")[0] for path in EVENTS} == functions


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_an_event_is_what_its_source_sends(path: Path) -> None:
    event = json.loads(path.read_text("utf-8"))
    if event.get("source") == "aws.events":
        assert event["detail-type"] == "Scheduled Event"
        return
    for record in event["Records"]:
        assert record["eventSource"] == "aws:sqs"
        assert record["eventSourceARN"].startswith("arn:aws:sqs:")
        assert hashlib.md5(record["body"].encode()).hexdigest() == record["md5OfBody"]
        assert isinstance(json.loads(record["body"]), dict)


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("chunk.json", [DocumentFile("summary", "2026/supplier agreement.txt")]),
        ("chunk-japanese-key.json", [DocumentFile("summary", "契約書/業務委託 2026年度.txt")]),
        ("chunk-pipeline.json", [PipelineFile("summary")]),
        ("chunk-test-event.json", []),
        ("chunk-release.json", []),
    ],
)
def test_uploads_are_read_from_s3s_events(name: str, targets: list[object]) -> None:
    found = [upload for body in bodies(name) for upload in uploads(body)]
    assert [chunk.destination(upload.key) for upload in found] == targets
    for upload in found:
        assert upload.bucket
        assert upload.version_id
        assert upload.size > 0
        int(upload.sequencer, 16)


def test_a_batch_of_uploads_is_read_whole() -> None:
    messages = bodies("chunk-batch.json")
    found = [upload for body in messages for upload in uploads(body)]
    assert len(found) == len(messages) > 1
    assert all(chunk.destination(upload.key) for upload in found)
    assert len({upload.sequencer for upload in found}) == len(found)


def test_bedrocks_event_names_our_job() -> None:
    (event,) = bodies("collect-bedrock-event.json")
    name = event["detail"]["batchJobName"]
    prefix, _, job = name.partition("-")
    assert event["detail-type"] == "Batch Inference Job State Change"
    assert ids.job_of(name, prefix=prefix) == job
    assert ids.job_of(name, prefix="00000000") is None


@pytest.mark.parametrize("name", ["submit.json", "invoke.json", "collect.json"])
def test_doorbells_name_jobs(name: str) -> None:
    for body in bodies(name):
        assert ids.job_of(ids.job_name("0" * 8, body["job_id"]), prefix="0" * 8) == body["job_id"]


@pytest.mark.parametrize("name", ["aggregate.json", "chunk-release.json"])
def test_doorbells_name_documents(name: str) -> None:
    for body in bodies(name):
        assert RecordId.parse(str(RecordId(body["document_id"], "m", 0, 1)))


def test_a_wake_says_how_often_it_was_passed_on() -> None:
    assert [body["hop"] for body in bodies("pack-wake.json")] == [0]
