"""Batch inference as AWS's documents describe it."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Jobs, Target

API = "https://docs.aws.amazon.com/bedrock/latest/APIReference/"
GUIDE = "https://docs.aws.amazon.com/bedrock/latest/userguide/"
MODEL = "botocore bedrock/2023-04-20/service-2.json"


def nova(number: int) -> dict[str, Any]:
    text = f"Summarize in one sentence:\n\nShip {number} reached the harbour. It carried {number} boxes."
    return {
        "recordId": f"CALL{number:07d}",
        "modelInput": {"messages": [{"role": "user", "content": [{"text": text}]}]},
    }


def refusal(action: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as refused:
        action(**arguments)
    response = refused.value.response
    assert response["Error"]["Message"]
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture(scope="module")
def completed(jobs: Jobs) -> str:
    """One finished job of two files, shared by the cases that only look."""
    arn = jobs.create(
        {"a.jsonl": [nova(n) for n in range(70)], "b.jsonl": [nova(n) for n in range(70, 120)]},
        modelInvocationType="Converse",
    )
    assert jobs.finished(arn)["status"] == "Completed"
    return arn


class TestCreate:
    @pytest.mark.source(MODEL)
    @pytest.mark.parametrize(
        "change",
        [
            {"jobName": "a" * 64},
            {"jobName": "under_score"},
            {"roleArn": "arn:aws:iam::123:role/x"},
            {"modelId": "two words"},
            {"timeoutDurationInHours": 169},
            {"modelInvocationType": "Stream"},
            {"clientRequestToken": "a/b"},
            {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/day=1/"}}},
            {"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "https://bucket/key"}}},
            {"tags": [{"key": "a", "value": "!"}]},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_constraints(self, jobs: Jobs, bedrock: Any, change: dict[str, Any]) -> None:
        request = jobs.request(**change)
        assert refusal(bedrock.create_model_invocation_job, **request) == ("ValidationException", 400)

    @pytest.mark.source(API + "API_CreateModelInvocationJob.html")
    def test_a_repeated_token_makes_no_second_job(self, jobs: Jobs, bedrock: Any) -> None:
        request = jobs.request(clientRequestToken=str(uuid.uuid4()))
        first = bedrock.create_model_invocation_job(**request)["jobArn"]
        assert bedrock.create_model_invocation_job(**request)["jobArn"] == first
        listed = bedrock.list_model_invocation_jobs(nameContains=request["jobName"])
        assert len(listed["invocationJobSummaries"]) == 1
        jobs.finished(first)

    @pytest.mark.source(GUIDE + "inference-profiles-support.html")
    def test_a_model_with_profiles_only_needs_a_profile(self, jobs: Jobs, bedrock: Any) -> None:
        request = jobs.request(modelId="anthropic.claude-haiku-4-5-20251001-v1:0")
        code, status = refusal(bedrock.create_model_invocation_job, **request)
        assert (code, status) == ("ValidationException", 400)


class TestGetAndList:
    @pytest.mark.source(API + "API_GetModelInvocationJob.html")
    def test_by_arn_and_by_id(self, bedrock: Any, completed: str) -> None:
        by_id = bedrock.get_model_invocation_job(jobIdentifier=completed.rsplit("/", 1)[1])
        assert by_id["jobArn"] == completed

    @pytest.mark.source(MODEL)
    def test_not_by_name(self, bedrock: Any, completed: str) -> None:
        name = bedrock.get_model_invocation_job(jobIdentifier=completed)["jobName"]
        code, _ = refusal(bedrock.get_model_invocation_job, jobIdentifier=name)
        assert code == "ValidationException"

    @pytest.mark.source(API + "API_GetModelInvocationJob.html")
    def test_unknown(self, bedrock: Any) -> None:
        answer = refusal(bedrock.get_model_invocation_job, jobIdentifier="zzzzzzzzzzzz")
        assert answer == ("ResourceNotFoundException", 404)

    @pytest.mark.source(GUIDE + "batch-inference-monitor.html")
    def test_counters_of_a_finished_job(self, bedrock: Any, completed: str) -> None:
        job = bedrock.get_model_invocation_job(jobIdentifier=completed)
        counters = [job[f"{kind}RecordCount"] for kind in ("total", "processed", "success", "error")]
        assert counters == [120, 120, 120, 0]

    @pytest.mark.source(API + "API_ListModelInvocationJobs.html")
    def test_filters(self, bedrock: Any, completed: str) -> None:
        job = bedrock.get_model_invocation_job(jobIdentifier=completed)

        def found(**filters: Any) -> bool:
            pages = bedrock.get_paginator("list_model_invocation_jobs").paginate(**filters)
            return any(s["jobArn"] == completed for p in pages for s in p["invocationJobSummaries"])

        assert found(nameContains=job["jobName"][:-1], statusEquals="Completed")
        assert not found(nameContains=job["jobName"], statusEquals="Failed")
        assert found(submitTimeAfter=job["submitTime"] - timedelta(minutes=1))
        assert not found(submitTimeAfter=datetime.now(UTC) + timedelta(minutes=1))
        assert not found(submitTimeBefore=job["submitTime"] - timedelta(minutes=1))
        assert found(sortBy="CreationTime", sortOrder="Ascending", PaginationConfig={"PageSize": 1})

    @pytest.mark.source(MODEL)
    @pytest.mark.parametrize("bad", [{"statusEquals": "Done"}, {"maxResults": 1001}])
    def test_filter_constraints(self, bedrock: Any, bad: dict[str, Any]) -> None:
        answer = refusal(bedrock.list_model_invocation_jobs, **bad)
        assert answer == ("ValidationException", 400)


class TestValidation:
    @pytest.mark.source("https://docs.aws.amazon.com/general/latest/gr/bedrock.html")
    def test_too_few_records_fail_later(self, jobs: Jobs) -> None:
        job = jobs.finished(jobs.create({"a.jsonl": [nova(1)]}, modelInvocationType="Converse"))
        assert job["status"] == "Failed"
        assert "Batch job contains less records (1) than the required minimum of: 100" in job["message"]
        assert job["totalRecordCount"] == 0

    @pytest.mark.source(API + "API_GetModelInvocationJob.html")
    def test_a_line_that_is_no_record(self, jobs: Jobs) -> None:
        records = [nova(n) for n in range(100)]
        job = jobs.finished(jobs.create({"a.jsonl": [*records, ["not", "an", "object"]]}))
        assert job["status"] == "Failed"
        assert job["message"]


class TestOutput:
    @pytest.mark.source(GUIDE + "batch-inference-results.html")
    def test_one_output_file_per_input_file(self, jobs: Jobs, completed: str) -> None:
        for name, numbers in (("a", range(70)), ("b", range(70, 120))):
            lines = jobs.lines(completed, f"{name}.jsonl.out")
            by_id = {line["recordId"]: line for line in lines}
            assert by_id.keys() == {f"CALL{n:07d}" for n in numbers}
            for number in numbers:
                line = by_id[f"CALL{number:07d}"]
                assert line["modelInput"] == nova(number)["modelInput"]
                assert "error" not in line
                assert line["modelOutput"]["output"]["message"]["content"][0]["text"]

    @pytest.mark.source(GUIDE + "batch-inference-results.html")
    def test_the_manifest_is_one_line_of_six_counts(self, jobs: Jobs, completed: str) -> None:
        content = jobs.output(completed, "manifest.json.out").strip()
        assert b"\n" not in content
        manifest = json.loads(content)
        assert manifest.keys() >= {
            "totalRecordCount",
            "processedRecordCount",
            "successRecordCount",
            "errorRecordCount",
            "inputTokenCount",
            "outputTokenCount",
        }
        usage = [
            line["modelOutput"]["usage"]
            for name in ("a", "b")
            for line in jobs.lines(completed, f"{name}.jsonl.out")
        ]
        assert manifest["inputTokenCount"] == sum(u["inputTokens"] for u in usage)
        assert manifest["outputTokenCount"] == sum(u["outputTokens"] for u in usage)

    @pytest.mark.source(GUIDE + "batch-inference-data.html")
    def test_an_omitted_record_id_is_added(self, jobs: Jobs) -> None:
        records = [{"modelInput": nova(n)["modelInput"]} for n in range(100)]
        arn = jobs.create({"a.jsonl": records}, modelInvocationType="Converse")
        assert jobs.finished(arn)["status"] == "Completed"
        ids = {line["recordId"] for line in jobs.lines(arn, "a.jsonl.out")}
        assert len(ids) == 100

    @pytest.mark.source("https://github.com/BerriAI/litellm/pull/36159")
    def test_a_job_of_failing_records_is_completed(self, jobs: Jobs, target: Target) -> None:
        bad = [{"recordId": f"R{n}", "modelInput": {"max_tokens": 9, "messages": []}} for n in range(100)]
        arn = jobs.create({"a.jsonl": bad}, modelId=target.claude)
        job = jobs.finished(arn)
        assert (job["status"], job["errorRecordCount"]) == ("Completed", 100)
        for line in jobs.lines(arn, "a.jsonl.out"):
            assert "modelOutput" not in line
            assert line["error"]["errorCode"] == 400
            assert "anthropic_version: Field required" in line["error"]["errorMessage"]

    @pytest.mark.source(GUIDE + "batch-inference.html")
    def test_tools_are_refused_in_converse_records(self, jobs: Jobs) -> None:
        tools = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}
        records = [nova(n) for n in range(100)]
        records[0]["modelInput"]["toolConfig"] = tools
        arn = jobs.create({"a.jsonl": records}, modelInvocationType="Converse")
        assert jobs.finished(arn)["errorRecordCount"] == 1
        [failed] = [line for line in jobs.lines(arn, "a.jsonl.out") if "error" in line]
        assert (failed["recordId"], failed["error"]["errorCode"]) == ("CALL0000000", 400)

    @pytest.mark.source(GUIDE + "structured-output.html")
    def test_structured_output_works_in_batch(self, jobs: Jobs) -> None:
        schema = {"type": "object", "properties": {"boxes": {"type": "integer"}}, "required": ["boxes"]}
        structure = {"jsonSchema": {"schema": json.dumps(schema), "name": "cargo"}}
        records = [nova(n) for n in range(100)]
        for record in records:
            record["modelInput"]["outputConfig"] = {
                "textFormat": {"type": "json_schema", "structure": structure}
            }
        arn = jobs.create({"a.jsonl": records}, modelInvocationType="Converse")
        jobs.finished(arn)
        for line in jobs.lines(arn, "a.jsonl.out"):
            text = line["modelOutput"]["output"]["message"]["content"][0]["text"]
            assert json.loads(text) == {"boxes": int(line["recordId"][4:])}


class TestStop:
    @pytest.mark.source(API + "API_StopModelInvocationJob.html")
    def test_a_running_job_is_stopped(self, jobs: Jobs, bedrock: Any) -> None:
        arn = jobs.create({"a.jsonl": [nova(n) for n in range(100)]}, modelInvocationType="Converse")
        bedrock.stop_model_invocation_job(jobIdentifier=arn)
        assert jobs.finished(arn)["status"] == "Stopped"

    @pytest.mark.source(MODEL)
    def test_a_finished_job_is_not(self, bedrock: Any, completed: str) -> None:
        code, status = refusal(bedrock.stop_model_invocation_job, jobIdentifier=completed)
        assert status == 400
        assert code == "ConflictException"

    @pytest.mark.source(API + "API_StopModelInvocationJob.html")
    def test_an_unknown_job(self, bedrock: Any) -> None:
        answer = refusal(bedrock.stop_model_invocation_job, jobIdentifier="zzzzzzzzzzzz")
        assert answer == ("ResourceNotFoundException", 404)


class TestTags:
    @pytest.mark.source(API + "API_TagResource.html")
    def test_tag_list_untag(self, bedrock: Any, completed: str) -> None:
        bedrock.tag_resource(resourceARN=completed, tags=[{"key": "team", "value": "a b"}])
        listed = bedrock.list_tags_for_resource(resourceARN=completed)["tags"]
        assert {"key": "team", "value": "a b"} in listed
        bedrock.untag_resource(resourceARN=completed, tagKeys=["team"])
        assert bedrock.list_tags_for_resource(resourceARN=completed)["tags"] == []


class TestEvents:
    @pytest.mark.source(GUIDE + "monitoring-eventbridge-how-it-works.html")
    def test_state_changes_are_events(self, target: Target, jobs: Jobs) -> None:
        """Needs a queue of the target's account: made and removed here."""
        sqs, events = target.client("sqs"), target.client("events")
        name = f"conformance-{uuid.uuid4().hex[:8]}"
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
            },
        }
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        pattern = {"source": ["aws.bedrock"], "detail-type": ["Batch Inference Job State Change"]}
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
        try:
            job_arn = jobs.create({"a.jsonl": [nova(1)]})
            job = jobs.finished(job_arn)
            seen: list[Any] = []
            while not any(event["detail"]["status"] == "Failed" for event in seen):
                got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                seen += [json.loads(m["Body"]) for m in got.get("Messages", [])]
        finally:
            events.remove_targets(Rule=name, Ids=["1"])
            events.delete_rule(Name=name)
            sqs.delete_queue(QueueUrl=url)
        [failed] = [event for event in seen if event["detail"]["status"] == "Failed"]
        assert failed["resources"] == [job_arn]
        assert failed["detail"]["batchJobArn"] == job_arn
        assert failed["detail"]["batchJobName"] == job["jobName"]
        assert failed["detail"]["failureMessage"] == job["message"]
        assert failed["detail"].keys() == {
            "version", "accountId", "batchJobName", "batchJobArn", "batchModelId", "status",
            "failureMessage", "creationTime",
        }  # fmt: skip
