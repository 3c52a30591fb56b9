"""Faults on demand, and the events that a job's states cause."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import STEP, Bench, client, converse_record


@pytest.fixture
def queue(bench: Bench) -> str:
    sqs = client("sqs", bench.aws_url)
    url: str = sqs.create_queue(QueueName="job-events")["QueueUrl"]
    events = client("events", bench.aws_url)
    pattern = {"source": ["aws.bedrock"], "detail-type": ["Batch Inference Job State Change"]}
    events.put_rule(Name="jobs", EventPattern=json.dumps(pattern))
    arn = "arn:aws:sqs:us-east-1:123456789012:job-events"
    events.put_targets(Rule="jobs", Targets=[{"Id": "1", "Arn": arn}])
    return url


def received(bench: Bench, queue: str) -> list[dict[str, Any]]:
    sqs = client("sqs", bench.aws_url)
    found: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def run(bench: Bench, faults: dict[str, Any], *, records: int = 200, name: str = "job-1") -> Any:
    bench.control("PUT", "faults", faults)
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(records)])
    return bench.finish(bench.create(name))


def lines(bench: Bench, job: Any) -> list[Any]:
    return bench.output(job["jobArn"], "a.jsonl.out")


class TestEvents:
    def test_every_state_change_is_an_event_in_the_shape_of_aws(self, bench: Bench, queue: str) -> None:
        job = run(bench, {})
        events = received(bench, queue)
        assert [event["detail"]["status"] for event in events] == [
            "Submitted", "Validating", "Scheduled", "InProgress", "Completed",
        ]  # fmt: skip
        last = events[-1]
        assert last["source"] == "aws.bedrock"
        assert last["detail-type"] == "Batch Inference Job State Change"
        assert last["resources"] == [job["jobArn"]]
        assert last["detail"] == {
            "version": "0.0",
            "accountId": "000000000000",
            "batchJobName": "job-1",
            "batchJobArn": job["jobArn"],
            "batchModelId": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "status": "Completed",
            "failureMessage": "",
            "creationTime": job["submitTime"].strftime("%b %d, %Y, %I:%M:%S %p"),
        }

    def test_a_failure_tells_its_reason(self, bench: Bench, queue: str) -> None:
        run(bench, {}, records=3)
        assert received(bench, queue)[-1]["detail"]["failureMessage"] == (
            "Batch job contains less records (3) than the required minimum of: 100"
        )

    def test_lost(self, bench: Bench, queue: str) -> None:
        run(bench, {"lost_events": 1})
        assert received(bench, queue) == []

    def test_doubled(self, bench: Bench, queue: str) -> None:
        run(bench, {"doubled_events": 1})
        assert len(received(bench, queue)) == 10

    def test_late_ones_overtake_each_other(self, bench: Bench, queue: str) -> None:
        run(bench, {"late_events": 1, "late_seconds": 1000, "seed": 3})
        early = received(bench, queue)
        bench.advance(1000)
        states = [event["detail"]["status"] for event in early + received(bench, queue)]
        assert sorted(states) == ["Completed", "InProgress", "Scheduled", "Submitted", "Validating"]
        assert states != ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]


class TestRecords:
    def test_errors_have_the_chosen_codes_and_are_repeatable(self, bench: Bench) -> None:
        faults = {"record_errors": 0.3, "record_error_codes": [429, 500], "seed": 7}
        job = run(bench, faults)
        errors = {li["recordId"]: li["error"] for li in lines(bench, job) if "error" in li}
        assert 30 < len(errors) < 90
        assert {error["errorCode"] for error in errors.values()} == {429, 500}
        assert all(error["retryable"] is True for error in errors.values())
        assert bench.manifest(job["jobArn"])["errorRecordCount"] == len(errors)
        again = run(bench, faults, name="job-2")
        assert {li["recordId"] for li in lines(bench, again) if "error" in li} == set(errors)

    def test_missing_lines_are_counted_but_not_written(self, bench: Bench) -> None:
        job = run(bench, {"missing_lines": 0.2})
        assert 100 < len(lines(bench, job)) < 200
        assert bench.manifest(job["jobArn"])["successRecordCount"] == 200

    def test_duplicate_lines(self, bench: Bench) -> None:
        job = run(bench, {"duplicate_lines": 0.2})
        ids = [line["recordId"] for line in lines(bench, job)]
        assert len(set(ids)) == 200 < len(ids)

    def test_truncated_answers_say_so(self, bench: Bench) -> None:
        outputs = [line["modelOutput"] for line in lines(bench, run(bench, {"truncated_answers": 1}))]
        assert {output["stopReason"] for output in outputs} == {"max_tokens"}

    def test_malformed_answers_are_no_json(self, bench: Bench) -> None:
        schema = {"type": "object", "properties": {"summary": {"type": "string"}}}
        structure = {"jsonSchema": {"schema": json.dumps(schema)}}
        config = {"textFormat": {"type": "json_schema", "structure": structure}}
        bench.control("PUT", "faults", {"malformed_answers": 0.5})
        bench.put_records("jobs/a.jsonl", [converse_record(n, outputConfig=config) for n in range(100)])
        job = bench.finish(bench.create())
        broken = 0
        for line in lines(bench, job):
            text = line["modelOutput"]["output"]["message"]["content"][0]["text"]
            try:
                assert set(json.loads(text)) == {"summary"}
            except json.JSONDecodeError:
                broken += 1
        assert 20 < broken < 80


class TestJobs:
    def test_failure(self, bench: Bench) -> None:
        job = run(bench, {"fail_jobs": "Internal error"})
        assert (job["status"], job["message"]) == ("Failed", "Internal error")
        assert "Contents" not in bench.s3.list_objects_v2(Bucket="output")

    def test_only_jobs_of_a_name(self, bench: Bench) -> None:
        faults = {"fail_jobs": "Internal error", "only_jobs": "bad"}
        assert run(bench, faults, name="bad-1")["status"] == "Failed"
        assert run(bench, faults, name="good-1")["status"] == "Completed"

    def test_expiry(self, bench: Bench) -> None:
        job = run(bench, {"expire_jobs": True})
        assert job["status"] == "Scheduled"
        bench.advance(24 * 3600)
        job = bench.get(job["jobArn"])
        assert job["status"] == "Expired"
        assert "Contents" not in bench.s3.list_objects_v2(Bucket="output")

    def test_partial_completion_keeps_what_was_done(self, bench: Bench) -> None:
        job = run(bench, {"complete_only": 0.4})
        assert job["status"] == "PartiallyCompleted"
        assert (job["totalRecordCount"], job["processedRecordCount"]) == (200, 80)
        assert len(lines(bench, job)) == 80
        assert bench.manifest(job["jobArn"])["processedRecordCount"] == 80

    def test_stop_by_itself(self, bench: Bench) -> None:
        job = run(bench, {"stop_at": 0.5})
        assert job["status"] == "Stopping"
        bench.advance(2 * STEP)
        assert bench.get(job["jobArn"])["status"] == "Stopped"
        assert bench.manifest(job["jobArn"])["processedRecordCount"] == 100

    def test_a_slow_job_runs_into_its_timeout(self, bench: Bench) -> None:
        job = run(bench, {"seconds_per_record": 200}, records=600)
        assert job["status"] == "InProgress"
        bench.advance(25 * 3600)
        bench.advance(25 * 3600)
        job = bench.get(job["jobArn"])
        assert job["status"] == "PartiallyCompleted"
        assert job["processedRecordCount"] == 432  # 24 hours at 200 seconds each

    @pytest.mark.parametrize("side", ["input", "output"])
    def test_s3_denied(self, bench: Bench, side: str) -> None:
        job = run(bench, {"s3_denied": [side]})
        assert job["status"] == "Failed"
        assert f"Access denied to s3://{side}/" in job["message"]


class TestCalls:
    def test_an_operation_fails_as_often_as_told(self, bench: Bench) -> None:
        fault = {"operation": "GetModelInvocationJob", "code": "InternalServerException", "times": 2}
        bench.control("PUT", "faults", {"api": [fault]})
        arn = bench.create()
        for _ in range(2):
            with pytest.raises(ClientError) as refused:
                bench.get(arn)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert bench.get(arn)["jobArn"] == arn

    def test_throttled_calls_are_retried_by_the_sdk(self, bench: Bench) -> None:
        bench.control("PUT", "faults", {"api": [{"times": 1}]})
        with pytest.raises(ClientError) as refused:
            bench.bedrock.list_model_invocation_jobs()
        assert refused.value.response["Error"]["Code"] == "ThrottlingException"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429

    def test_control_plane_rate(self, bench: Bench) -> None:
        bench.control("PUT", "limits", {"control_requests_per_minute": 2})
        for _ in range(2):
            bench.bedrock.list_model_invocation_jobs()
        with pytest.raises(ClientError, match="ThrottlingException"):
            bench.bedrock.list_model_invocation_jobs()
        bench.advance(61)
        bench.bedrock.list_model_invocation_jobs()
