"""boto3 clients, made once per process. Endpoints and credentials come from AWS's own variables."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from batchline import settings
from batchline.aws.meter import Meter
from batchline.money.overhead import REGION

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_ce import CostExplorerClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

RETRIES = Config(
    retries={"mode": "standard", "total_max_attempts": 6},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
    tcp_keepalive=True,
)
# A paid call is never repeated behind our back: Converse takes no idempotency token.
PAID = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=300, max_pool_connections=64)
# Somebody waits at a terminal: say soon that nothing answers.
ATTENDED = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=4, read_timeout=30)


@cache
def meter() -> Meter:
    """Count this process's own calls, to say what they cost."""
    return Meter(boto3.session.Session().region_name or REGION, settings.Function().memory_mb)


@cache
def s3() -> "S3Client":
    return meter().watch(boto3.client("s3", config=RETRIES))


@cache
def sqs() -> "SQSClient":
    return meter().watch(boto3.client("sqs", config=RETRIES))


@cache
def dynamodb() -> "DynamoDBClient":
    # Our own items are checked by mypy and the tests; botocore's check costs half of a batch write.
    made = boto3.client("dynamodb", config=RETRIES.merge(Config(parameter_validation=False)))
    return meter().watch(made)


@cache
def events() -> "EventBridgeClient":
    return meter().watch(boto3.client("events", config=RETRIES))


@cache
def bedrock() -> "BedrockClient":
    return boto3.client("bedrock", config=RETRIES)


@cache
def bedrock_runtime() -> "BedrockRuntimeClient":
    return boto3.client("bedrock-runtime", config=PAID)


@cache
def sts() -> "STSClient":
    return boto3.client("sts", config=ATTENDED)


@cache
def cloudformation() -> "CloudFormationClient":
    return boto3.client("cloudformation", config=ATTENDED)


@cache
def service_quotas() -> "ServiceQuotasClient":
    return boto3.client("service-quotas", config=ATTENDED)


@cache
def cost_explorer() -> "CostExplorerClient":
    return boto3.client("ce", region_name="us-east-1", config=ATTENDED)  # it is nowhere else
