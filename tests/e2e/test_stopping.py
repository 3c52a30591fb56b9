"""Jobs that fail, lanes that pause, and what a person stops, asks again and sends again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from batchline.models import timestamp

from tests.e2e.stack import Stack
from tests.waiting import eventually

ROWS = 300
PIPELINE = """
model: {model}
prompt: "Summarise in one sentence: {{{{ row.note }}}}"
chunk: {{by: row}}
combine: list
max_wait: 1s
"""
# A model each: what happens in a lane is then of one test alone.
PAUSED = "us.meta.llama4-scout-17b-instruct-v1:0"
MODELS = {
    "paused": PAUSED,
    "cancelled": "us.meta.llama4-maverick-17b-instruct-v1:0",
    "retried": "us.meta.llama3-3-70b-instruct-v1:0",
    "redriven": "us.anthropic.claude-sonnet-4-6",
}


@pytest.fixture(scope="module")
def pipelines(stack: Stack) -> None:
    for name, model in MODELS.items():
        stack.publish(name, PIPELINE.format(model=model))


def upload(stack: Stack, pipeline: str, rows: int = ROWS) -> str:
    notes = "\n".join(f"Lock {number} of the canal opens at {number % 24}:00." for number in range(rows))
    return stack.drop(f"inbox/{pipeline}/locks.csv", f"note\n{notes}\n".encode())


def running(stack: Stack, pipeline: str) -> dict[str, Any]:
    """Wait until Bedrock works on a job of the pipeline."""
    bedrock = boto3.client("bedrock")

    def at_work() -> dict[str, Any] | None:
        for job in stack.jobs_of(pipeline):
            if job["status"] == "RUNNING":
                theirs = bedrock.get_model_invocation_job(jobIdentifier=job["arn"])
                if theirs["status"] == "InProgress":
                    return job
        return None

    return eventually(at_work, seconds=60)


@pytest.mark.usefixtures("pipelines")
def test_two_failed_jobs_pause_the_lane_until_somebody_resumes_it(stack: Stack) -> None:
    with stack.faults(fail_jobs="The role may not be assumed any more."):
        key = upload(stack, "paused")

        def held() -> dict[str, Any] | None:
            row = stack.documents(key).get(key)
            return row if row and row["status"] == "HELD" else None

        document = eventually(held, seconds=90)
    assert document["error"]["code"] == "LANE_PAUSED"
    assert "The role may not be assumed any more." in document["error"]["message"]
    failed = stack.jobs_of("paused")
    assert [job["counts"]["retried"] for job in failed] == [ROWS, ROWS]
    assert stack.command("resume", PAUSED) == {"resumed": [f"{PAUSED}#Converse"]}
    row = stack.ended(key)[key]
    assert (row["status"], row["succeeded"]) == ("COMPLETED", ROWS)
    # A job that fails as a whole has answered nobody: it costs no attempt.
    assert {one["attempt"] for one in answers(stack, row)} == {1}


def answers(stack: Stack, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in stack.rows("Results") if one["document_id"] == document["document_id"]]


@pytest.mark.usefixtures("pipelines")
def test_cancelling_a_running_job_keeps_what_was_answered(stack: Stack) -> None:
    with stack.faults(seconds_per_record=0.2):  # a minute in all
        key = upload(stack, "cancelled")
        job = running(stack, "cancelled")
        stack.command("cancel", key)
        row = stack.ended(key)[key]
    assert (row["status"], row["records"]) == ("CANCELLED", ROWS)
    assert 0 < row["succeeded"] < ROWS
    assert row["succeeded"] + row["failed"] == ROWS
    assert row["cost_usd"] > 0
    theirs = boto3.client("bedrock").get_model_invocation_job(jobIdentifier=job["arn"])
    assert theirs["status"] == "Stopped"
    codes = {one["error"]["code"] for one in answers(stack, row) if "error" in one}
    assert codes == {"CANCELLED"}


@pytest.mark.usefixtures("pipelines")
def test_what_has_failed_for_good_is_asked_again(stack: Stack) -> None:
    refused = {"operation": "Converse", "code": "ValidationException", "message": "Input is refused."}
    with stack.faults(api=[refused]):
        key = upload(stack, "retried", rows=2)
        failed = stack.ended(key)[key]
    assert (failed["status"], failed["failed"]) == ("FAILED", 2)
    assert stack.command("failed", "--pipeline", "retried")
    # A quarter of an hour after its end nobody is at work on a document any more.
    long_ago = timestamp(datetime.now(UTC) - timedelta(hours=1))
    stack.session.resource("dynamodb").Table(stack.outputs["DocumentsTable"]).update_item(
        Key={"document_id": failed["document_id"]},
        UpdateExpression="SET finished_at = :at",
        ExpressionAttributeValues={":at": long_ago},
    )
    assert stack.command("retry", key)["asked"] == {failed["document_id"]: 2}
    row = stack.ended(key)[key]
    assert (row["status"], row["succeeded"], row["failed"]) == ("COMPLETED", 2, 0)
    assert {one["attempt"] for one in answers(stack, row)} == {2}


@pytest.mark.usefixtures("pipelines")
def test_a_message_that_was_given_up_on_is_sent_again(stack: Stack) -> None:
    """Bedrock's event is received as often as a function that fails would do it."""
    sqs, url = stack.session.client("sqs"), stack.outputs["JobEventsQueue"]
    with stack.deaf("JobEvents"):
        key = upload(stack, "redriven", rows=100)

        def given_up() -> bool:
            sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
            counts = stack.waiting_messages()
            return bool(counts["JobEvents dead letters"]) and not counts["JobEvents"]

        eventually(given_up, seconds=60)
        waiting = stack.command("redrive")["given_up"]
        [stage] = [stage for stage, count in waiting.items() if count]
        # Not later: with somebody listening, reconcile alone brings the document to its end.
        assert stack.documents(key)[key]["status"] == "QUEUED"
    assert stack.command("redrive", stage)["redriven"] == [stage]
    row = stack.ended(key)[key]
    assert (row["status"], row["succeeded"]) == ("COMPLETED", 100)
    assert not any(stack.command("redrive")["given_up"].values())
