"""A quick AWS for tests: tables, buckets and queues as plain dicts, a hundred times faster than moto.

It stands behind boto3's clients, knows what Batchline uses and refuses anything else. A test of the faults
has it answer the calls of whole runs beside moto and holds each answer to moto's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore import xform_name
from botocore.client import BaseClient

from tests.quick.buckets import Buckets
from tests.quick.queues import Queue, Queues
from tests.quick.refusal import Refusal
from tests.quick.tables import Tables

# What may be asked, by operation. What changes no answer here is in it too.
NAMES = {"ExpressionAttributeNames", "ExpressionAttributeValues"}
WRITE = NAMES | {"TableName", "ConditionExpression", "ReturnValuesOnConditionCheckFailure"}
READ = NAMES | {"TableName", "IndexName", "ConsistentRead"}
VERSION = {"Bucket", "Key", "VersionId"}
UNDERSTOOD = {
    "BatchGetItem": {"RequestItems"},
    "BatchWriteItem": {"RequestItems"},
    "CreateBucket": {"Bucket"},
    "CreateQueue": {"QueueName", "Attributes"},
    "CreateTable": {
        "TableName",
        "AttributeDefinitions",
        "KeySchema",
        "GlobalSecondaryIndexes",
        "BillingMode",
    },
    "DeleteItem": WRITE | {"Key"},
    "DeleteMessage": {"QueueUrl", "ReceiptHandle"},
    "DeleteObject": VERSION,
    "DeleteTable": {"TableName"},
    "GetItem": {"TableName", "Key", "ConsistentRead"},
    "GetObject": VERSION | {"Range", "IfMatch"},
    "GetObjectTagging": VERSION,
    "HeadObject": VERSION | {"ChecksumMode"},
    "ListObjectVersions": {"Bucket"},
    "ListObjectsV2": {"Bucket", "Prefix"},
    "PutBucketVersioning": {"Bucket", "VersioningConfiguration"},
    "PutEvents": {"Entries"},
    "PutItem": WRITE | {"Item"},
    "PutObject": {"Bucket", "Key", "Body", "ContentType", "ChecksumAlgorithm"},
    "Query": READ | {"KeyConditionExpression", "ScanIndexForward"},
    "ReceiveMessage": {"QueueUrl", "MaxNumberOfMessages", "MessageSystemAttributeNames", "WaitTimeSeconds"},
    "Scan": READ | {"FilterExpression"},
    "SendMessage": {"QueueUrl", "MessageBody", "DelaySeconds"},
    "SendMessageBatch": {"QueueUrl", "Entries"},
    "TransactWriteItems": {"TransactItems", "ClientRequestToken"},
    "UpdateItem": WRITE | {"Key", "UpdateExpression", "ReturnValues"},
}


@dataclass
class Events:
    """EventBridge, which takes everything; what was published is in the calls."""

    def put_events(self, asked: dict[str, Any]) -> dict[str, Any]:
        entries = [{"EventId": str(number)} for number, _ in enumerate(asked["Entries"])]
        return {"FailedEntryCount": 0, "Entries": entries}


@dataclass
class Cloud:
    """An empty account of AWS at the time of a clock."""

    clock: Callable[[], datetime]
    services: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.services = {
            "dynamodb": Tables(),
            "s3": Buckets(self.clock),
            "sqs": Queues(self.clock),
            "events": Events(),
        }

    def call(self, client: BaseClient, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what a client asks for, or raise what botocore would."""
        service = self.services[client.meta.service_model.service_name]
        assert asked.keys() <= UNDERSTOOD[operation], f"not understood: {operation} with {sorted(asked)}"
        try:
            reply: dict[str, Any] = getattr(service, xform_name(operation))(asked)
        except Refusal as refusal:
            error = client.exceptions.from_code(refusal.code)
            raise error(refusal.response, operation) from None
        return reply

    def queue(self, name: str) -> Queue:
        found: Queue = self.services["sqs"].queues[name]
        return found


def through(cloud: Cloud) -> Callable[[BaseClient, str, dict[str, Any]], dict[str, Any]]:
    """Make what takes the place of `BaseClient._make_api_call`."""

    def call(client: BaseClient, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        return cloud.call(client, operation, asked)

    return call
