"""What AWS says of an account is read, kept in the work bucket and adopted by the functions."""

from typing import Any

import boto3
import pytest
from batchline import catalog
from batchline.aws import account, clients
from batchline.aws.account import NotAllowed, Source
from batchline.aws.objects import Work
from batchline.catalog import AccountError
from botocore.stub import Stubber

from tests.integration.world import START, WORK, World

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILES = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile"
JOBS = "Sum of in-progress and submitted batch inference jobs using a base model for Claude Haiku 4.5"


def profile(name: str, *regions: str) -> dict[str, Any]:
    return {
        "inferenceProfileName": name,
        "inferenceProfileArn": f"{PROFILES}/{name}",
        "inferenceProfileId": name,
        "models": [{"modelArn": f"arn:aws:bedrock:{one}::foundation-model/{HAIKU}"} for one in regions],
        "status": "ACTIVE",
        "type": "APPLICATION",
    }


@pytest.fixture
def world(moto_world: World) -> World:
    """Stubs answer for services that the quick AWS does not have."""
    return moto_world


@pytest.fixture
def aws(world: World) -> tuple[Source, Stubber, Stubber]:
    """Clients that answer what a test says."""
    quotas = boto3.client("service-quotas", region_name="us-east-1")
    bedrock = boto3.client("bedrock", region_name="us-east-1")
    stubs = Stubber(quotas), Stubber(bedrock)
    for one in stubs:
        one.activate()
    return Source(quotas, bedrock), *stubs


def test_quotas_and_profiles_are_read_kept_and_adopted(
    world: World, aws: tuple[Source, Stubber, Stubber]
) -> None:
    source, quotas, bedrock = aws
    rows = [
        {"QuotaName": JOBS, "Value": 20.0},
        {"QuotaName": "(Flows) GetFlow requests", "Value": 1.0},
    ]
    quotas.add_response("list_service_quotas", {"Quotas": rows}, {"ServiceCode": "bedrock"})
    found = [profile("aaa", "us-east-1", "us-west-2"), profile("bbb", ""), profile("ccc", "eu-west-1")]
    bedrock.add_response(
        "list_inference_profiles", {"inferenceProfileSummaries": found}, {"typeEquals": "APPLICATION"}
    )
    read = source.read(world.clock())
    assert read.models == {HAIKU: {"concurrent_jobs": 20}}
    assert read.profiles == {"aaa": f"us.{HAIKU}", "bbb": f"global.{HAIKU}", "ccc": HAIKU}
    work = Work(clients.s3(), WORK)
    assert account.load(work) == catalog.NO_ACCOUNT
    account.save(work, read)
    try:
        account.adopt(WORK)
        assert catalog.limits(f"{PROFILES}/aaa").concurrent_jobs == 20
        assert catalog.model(f"{PROFILES}/bbb").base_id == HAIKU
    finally:
        catalog.adopt(catalog.NO_ACCOUNT)


def test_a_missing_permission_is_named(aws: tuple[Source, Stubber, Stubber]) -> None:
    source, quotas, bedrock = aws
    quotas.add_client_error("list_service_quotas", "AccessDeniedException")
    with pytest.raises(NotAllowed, match="servicequotas:ListServiceQuotas"):
        source.read(START)
    bedrock.add_client_error("get_inference_profile", "AccessDeniedException")
    with pytest.raises(NotAllowed, match="bedrock:GetInferenceProfile"):
        source.profile(f"{PROFILES}/aaa")


def test_a_file_that_somebody_has_spoilt_is_said_to_be(world: World) -> None:
    work = Work(clients.s3(), WORK)
    work.put(account.KEY, b'{"source": "s", "read_at": "t", "models": {"m": {"max_record": 1}}}')
    with pytest.raises(AccountError, match=r"models\.m\.max_record"):
        account.load(work)
