"""Requests and answers of the control plane as an unmodified boto3 sees them."""

import re
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import NOVA, STEP, Bench, client, converse_record

LONG_NAME = "a" * 64


def refusal(action: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        action(**arguments)
    response = refused.value.response
    return {**response["Error"], "Status": response["ResponseMetadata"]["HTTPStatusCode"]}


def s3_input(uri: str, **members: str) -> dict[str, Any]:
    return {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri, **members}}}


def s3_output(**members: str) -> dict[str, Any]:
    return {"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://output/x/", **members}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jobName": LONG_NAME}, "'jobName' failed to satisfy constraint: Member must have length less"),
        ({"jobName": "with space"}, "'jobName' failed to satisfy constraint: Member must satisfy regular"),
        ({"jobName": "-leading"}, "at 'jobName'"),
        ({"jobName": "名前"}, "at 'jobName'"),
        ({"roleArn": "arn:aws:iam::1:role/x"}, "at 'roleArn'"),
        ({"roleArn": "arn:aws:iam::000000000000:user/x"}, "at 'roleArn'"),
        ({"clientRequestToken": "under_score"}, "at 'clientRequestToken'"),
        ({"clientRequestToken": "t" * 257}, "at 'clientRequestToken'"),
        ({"modelId": "no spaces here"}, "at 'modelId'"),
        ({"modelId": "arn:aws:bedrock:us-east-1:000000000000:provisioned-model/a"}, "at 'modelId'"),
        ({"timeoutDurationInHours": 169}, "Member must have value less than or equal to 168"),
        ({"modelInvocationType": "Chat"}, "Member must satisfy enum value set: [InvokeModel, Converse]"),
        (s3_input("s3://input/dt=2026-11-21/"), "at 'inputDataConfig.s3InputDataConfig.s3Uri'"),
        (s3_input("s3://input/請求書.jsonl"), "at 'inputDataConfig.s3InputDataConfig.s3Uri'"),
        (s3_input("s3://input/x/", s3InputFormat="CSV"), "s3InputDataConfig.s3InputFormat'"),
        (s3_input("s3://input/x/", s3BucketOwner="12"), "s3InputDataConfig.s3BucketOwner'"),
        (s3_output(s3EncryptionKeyId="a key"), "s3OutputDataConfig.s3EncryptionKeyId'"),
        ({"vpcConfig": {"subnetIds": ["s"] * 17, "securityGroupIds": ["g"]}}, "'vpcConfig.subnetIds'"),
        ({"tags": [{"key": "k#", "value": "v"}]}, "at 'tags.1.member.key'"),
        ({"tags": [{"key": "k", "value": "v" * 257}]}, "at 'tags.1.member.value'"),
        ({"tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}, "keys must be unique"),
        ({"modelId": "anthropic.claude-haiku-4-5-20251001-v1:0"}, "on-demand throughput isn’t supported"),
        ({"modelId": "acme.model-v1:0"}, "The provided model identifier is invalid."),
        ({"modelId": "cohere.command-r-v1:0"}, "Batch inference is not supported"),
    ],
)  # fmt: skip
def test_what_botocore_lets_through_is_refused(bench: Bench, changes: dict[str, Any], message: str) -> None:
    error = refusal(bench.create, **changes)
    assert (error["Code"], error["Status"]) == ("ValidationException", 400)
    assert message in error["Message"]


def test_all_violations_are_named_at_once(bench: Bench) -> None:
    error = refusal(bench.create, jobName="no good", timeoutDurationInHours=1000)
    assert error["Message"].startswith("2 validation errors detected: Value 'no good' at 'jobName'")


def test_a_hostile_job_name_is_refused_at_once(bench: Bench) -> None:
    assert refusal(bench.create, jobName="a" + "-" * 61 + "!")["Code"] == "ValidationException"


def test_arn_and_bare_id_are_accepted_and_a_name_is_not(bench: Bench) -> None:
    arn = bench.create("named")
    assert bench.get(arn)["jobArn"] == bench.get(arn[-12:])["jobArn"] == arn
    assert refusal(bench.get, arn="named")["Code"] == "ValidationException"
    assert refusal(bench.get, arn="abcdefghijkl") == {
        "Code": "ResourceNotFoundException",
        "Message": "Could not find model invocation job abcdefghijkl",
        "Status": 404,
    }
    other_region = arn.replace("us-east-1", "eu-west-1")
    assert refusal(bench.get, arn=other_region)["Code"] == "ResourceNotFoundException"


def test_regions_are_apart(bench: Bench) -> None:
    arn = bench.create("here")
    tokyo = client("bedrock", bench.url, region_name="ap-northeast-1")
    assert tokyo.list_model_invocation_jobs()["invocationJobSummaries"] == []
    error = refusal(tokyo.get_model_invocation_job, jobIdentifier=arn[-12:])
    assert error["Code"] == "ResourceNotFoundException"


def test_get_returns_what_create_was_given(bench: Bench) -> None:
    arn = bench.create("whole", timeoutDurationInHours=48, clientRequestToken="token-1")
    job = bench.get(arn)
    assert job["jobName"] == "whole"
    assert job["modelId"] == NOVA
    assert job["clientRequestToken"] == "token-1"
    assert job["modelInvocationType"] == "Converse"
    assert job["timeoutDurationInHours"] == 48
    assert job["jobExpirationTime"] - job["submitTime"] == timedelta(hours=48)
    assert job["message"] == ""
    assert job["processedRecordCount"] == 0
    assert "endTime" not in job


def test_a_repeated_token_returns_the_first_job(bench: Bench) -> None:
    first = bench.create("once", clientRequestToken="same")
    assert bench.create("once", clientRequestToken="same") == first
    assert bench.create("twice", clientRequestToken="same") == first
    (only,) = bench.bedrock.list_model_invocation_jobs()["invocationJobSummaries"]
    assert only["jobName"] == "once"


def test_a_name_in_use_is_refused(bench: Bench) -> None:
    bench.create("once")
    assert "currently in use" in refusal(bench.create, name="once")["Message"]


class TestList:
    @pytest.fixture
    def jobs(self, bench: Bench) -> list[str]:
        made = []
        for number in range(5):
            made.append(bench.create(f"{'even' if number % 2 == 0 else 'odd'}-{number}"))
            bench.advance(1)
        return made

    def names(self, bench: Bench, **filters: Any) -> list[str]:
        found = bench.bedrock.list_model_invocation_jobs(**filters)["invocationJobSummaries"]
        return [job["jobName"] for job in found]

    @pytest.mark.usefixtures("jobs")
    def test_newest_first_unless_asked(self, bench: Bench) -> None:
        expected = ["even-0", "odd-1", "even-2", "odd-3", "even-4"]
        assert self.names(bench) == expected[::-1]
        assert self.names(bench, sortBy="CreationTime", sortOrder="Ascending") == expected

    @pytest.mark.usefixtures("jobs")
    def test_by_name(self, bench: Bench) -> None:
        assert self.names(bench, nameContains="odd") == ["odd-3", "odd-1"]

    def test_by_time(self, bench: Bench, jobs: list[str]) -> None:
        second: datetime = bench.get(jobs[1])["submitTime"]
        assert self.names(bench, submitTimeAfter=second + timedelta(seconds=0.5)) == [
            "even-4", "odd-3", "even-2",
        ]  # fmt: skip
        assert self.names(bench, submitTimeBefore=second) == ["even-0"]

    def test_by_status(self, bench: Bench, jobs: list[str]) -> None:
        bench.bedrock.stop_model_invocation_job(jobIdentifier=jobs[2])
        assert self.names(bench, statusEquals="Stopping") == ["even-2"]
        assert len(self.names(bench, statusEquals="Submitted")) == 4

    @pytest.mark.usefixtures("jobs")
    def test_pages_cover_all_once(self, bench: Bench) -> None:
        pages = bench.bedrock.get_paginator("list_model_invocation_jobs").paginate(
            PaginationConfig={"PageSize": 2}
        )
        sizes, names = [], []
        for page in pages:
            sizes.append(len(page["invocationJobSummaries"]))
            names.extend(job["jobName"] for job in page["invocationJobSummaries"])
        assert sizes == [2, 2, 1]
        assert names == self.names(bench)

    @pytest.mark.usefixtures("jobs")
    def test_a_token_is_opaque_and_bound_to_its_filters(self, bench: Bench) -> None:
        token = bench.bedrock.list_model_invocation_jobs(maxResults=2)["nextToken"]
        listing = bench.bedrock.list_model_invocation_jobs
        assert refusal(listing, nextToken=token, nameContains="odd")["Code"] == "ValidationException"
        assert refusal(listing, nextToken="garbage")["Code"] == "ValidationException"

    @pytest.mark.parametrize(
        "filters",
        [
            {"statusEquals": "Bogus"},
            {"maxResults": 1001},
            {"nameContains": "_"},
            {"sortBy": "Name"},
            {"sortOrder": "Sideways"},
        ],
    )
    def test_bad_filters(self, bench: Bench, filters: dict[str, Any]) -> None:
        error = refusal(bench.bedrock.list_model_invocation_jobs, **filters)
        assert (error["Code"], error["Status"]) == ("ValidationException", 400)


def test_tags(bench: Bench) -> None:
    arn = bench.create(tags=[{"key": "app", "value": "batch"}])
    bedrock = bench.bedrock

    def tags() -> dict[str, str]:
        listed = bedrock.list_tags_for_resource(resourceARN=arn)["tags"]
        return {tag["key"]: tag["value"] for tag in listed}

    assert tags() == {"app": "batch"}
    bedrock.tag_resource(resourceARN=arn, tags=[{"key": "cost centre", "value": "7"}])
    assert tags() == {"app": "batch", "cost centre": "7"}
    bedrock.untag_resource(resourceARN=arn, tagKeys=["app"])
    assert tags() == {"cost centre": "7"}
    many = [{"key": f"k{n}", "value": ""} for n in range(50)]
    error = refusal(bedrock.tag_resource, resourceARN=arn, tags=many)
    assert (error["Code"], error["Status"]) == ("TooManyTagsException", 400)
    unknown = arn[:-12] + "abcdefghijkl"
    error = refusal(bedrock.list_tags_for_resource, resourceARN=unknown)
    assert error["Code"] == "ResourceNotFoundException"


def test_models_and_profiles(bench: Bench) -> None:
    bedrock = bench.bedrock
    listed = bedrock.list_foundation_models(byProvider="Amazon", byOutputModality="EMBEDDING")
    assert [model["modelId"] for model in listed["modelSummaries"]] == [
        "amazon.titan-embed-text-v2:0",
        "amazon.titan-embed-text-v1",
        "amazon.titan-embed-image-v1",
        "amazon.nova-2-multimodal-embeddings-v1:0",
    ]
    details = bedrock.get_foundation_model(modelIdentifier="amazon.nova-lite-v1:0")["modelDetails"]
    assert details["modelArn"] == "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
    assert refusal(bedrock.get_foundation_model, modelIdentifier="acme.model-v1:0")["Status"] == 404
    profile = bedrock.get_inference_profile(inferenceProfileIdentifier=NOVA)
    assert profile["inferenceProfileId"] == NOVA
    assert (
        bedrock.get_inference_profile(inferenceProfileIdentifier=profile["inferenceProfileArn"])["models"]
        == profile["models"]
    )
    pages = bedrock.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 10})
    ids = [p["inferenceProfileId"] for page in pages for p in page["inferenceProfileSummaries"]]
    assert NOVA in ids
    assert len(ids) == len(set(ids)) > 10
    assert not any(profile_id.startswith("eu.") for profile_id in ids)


def test_an_unsigned_request_is_refused(bench: Bench) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{bench.url}/model-invocation-jobs")
    assert refused.value.code == 403
    assert refused.value.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    refused.value.close()


def test_counters_lag_while_in_progress(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(1100)])
    bench.control("PUT", "faults", {"seconds_per_record": 0.05})
    arn = bench.create()
    bench.advance(3 * STEP + 26)
    job = bench.get(arn)
    assert (job["status"], job["totalRecordCount"], job["processedRecordCount"]) == (
        "InProgress", 1100, 0,
    )  # fmt: skip
    bench.advance(60)
    assert bench.get(arn)["processedRecordCount"] == 1100
    assert re.search("Completed", bench.get(arn)["status"])
