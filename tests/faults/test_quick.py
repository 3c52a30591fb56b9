"""The quick AWS answers what moto answers, call by call."""

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from batchline.aws import clients
from batchline.aws.dynamo import code_of
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.faults import audit
from tests.faults.bedrock import MoodyAccount
from tests.faults.conftest import FEW, small_limits
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.test_every_call import RICH
from tests.integration.moto_world import open_moto_world
from tests.integration.world import INBOX, START, WORK
from tests.quick.cloud import Cloud, through


def answer(ask: Callable[..., Any], *asked: Any) -> dict[str, Any] | ClientError:
    """Ask; return the refusal too."""
    try:
        reply: dict[str, Any] = ask(*asked)
    except ClientError as error:
        return error
    return reply


def comparable(said: Any, operation: str) -> dict[str, Any]:
    """Bring what DynamoDB has answered into one order, without what only says that it has."""
    refused = isinstance(said, ClientError)
    reply: Any = said.response if refused else said
    found: dict[str, Any] = {"items": [ordered(one) for one in reply.get("Items") or ()]}
    if operation == "Scan":
        found["items"].sort(key=repr)
    if refused:
        found["code"] = reply["Error"]["Code"]
        found["reasons"] = [one["Code"] for one in reply.get("CancellationReasons", ())]
    for table, items in reply.get("Responses", {}).items():
        found[table] = sorted((ordered(one) for one in items), key=repr)
    for name in ("Item", "Attributes"):
        if reply.get(name):
            found[name] = [ordered(reply[name])]
    return found


def ordered(item: dict[str, Any]) -> dict[str, Any]:
    """Bring an item's attributes and sets into one order, and its numbers into one notation."""
    return {name: same(value) for name, value in sorted(item.items())}


def same(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    match kind:
        case "N":
            return Decimal(inner)
        case "SS":
            return set(inner)
        case "L":
            return [same(one) for one in inner]
        case "M":
            return ordered(inner)
    return value


@pytest.mark.parametrize(
    ("few", "scenario"),
    [(2, one) for one in SCENARIOS] + [(FEW, one) for one in RICH],
    ids=lambda given: given.name if isinstance(given, Scenario) else f"batches of {given}",
)
def test_dynamodb_answers_as_in_moto(monkeypatch: pytest.MonkeyPatch, few: int, scenario: Scenario) -> None:
    """A whole run on moto; every call to DynamoDB is made to the quick one too."""
    small_limits(monkeypatch, min_records=few)
    for name, value in scenario.patches:
        monkeypatch.setattr(name, value)
    quick, lock = Cloud(lambda: START), threading.RLock()
    compared = 0
    with open_moto_world(monkeypatch, MoodyAccount) as make:
        on_moto = BaseClient._make_api_call

        def both(client: BaseClient, operation: str, asked: Any) -> Any:
            nonlocal compared
            if client.meta.service_model.service_name != "dynamodb":
                return on_moto(client, operation, asked)
            with lock:
                reply, other = [answer(one, client, operation, asked) for one in (on_moto, quick.call)]
                compared += 1
            assert comparable(other, operation) == comparable(reply, operation), operation
            if isinstance(reply, ClientError):
                raise reply
            return reply

        monkeypatch.setattr(BaseClient, "_make_api_call", both)
        world = make()
        world.bedrock.minimum, world.fatal = few, True
        scenario.prepare(world)
        scenario.act(world)
        world.run()
        audit.check_end(world)
    assert compared > 50


def stored() -> list[Any]:
    """Do with S3 and SQS what the stages do, and some of what they must not; list what was answered."""
    s3, sqs, found = clients.s3(), clients.sqs(), []
    s3.create_bucket(Bucket=INBOX)
    s3.create_bucket(Bucket=WORK)
    s3.put_bucket_versioning(Bucket=INBOX, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=INBOX, Key="a/b", Body=b"old")["VersionId"]
    new = s3.put_object(Bucket=INBOX, Key="a/b", Body=b"newer")["VersionId"]
    etag = s3.put_object(Bucket=WORK, Key="x/2", Body=b"0123456789")["ETag"]
    s3.put_object(Bucket=WORK, Key="x/1", Body=b"")
    s3.put_object(Bucket=WORK, Key="y", Body=b"")
    found.append(
        [
            (one["Key"], one["Size"], one["ETag"])
            for one in s3.list_objects_v2(Bucket=WORK, Prefix="x/")["Contents"]
        ]
    )
    found.append("Contents" in s3.list_objects_v2(Bucket=WORK, Prefix="z"))
    found.append([s3.get_object(Bucket=INBOX, Key="a/b", VersionId=one)["Body"].read() for one in (old, new)])
    found.append(s3.head_object(Bucket=INBOX, Key="a/b")["ContentLength"])
    for asked in (
        {"Bucket": WORK, "Key": "x/2", "Range": "bytes=2-4", "IfMatch": etag},
        {"Bucket": WORK, "Key": "x/2", "Range": "bytes=8-99"},
        {"Bucket": WORK, "Key": "x/2", "Range": "bytes=10-12"},
        {"Bucket": WORK, "Key": "x/2", "IfMatch": '"other"'},
        {"Bucket": WORK, "Key": "none"},
    ):
        try:
            found.append(s3.get_object(**asked)["Body"].read())
        except ClientError as error:
            found.append(
                (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
            )
    with pytest.raises(ClientError) as missing:
        s3.head_object(Bucket=WORK, Key="none")
    found.append(code_of(missing.value))
    s3.delete_object(Bucket=INBOX, Key="a/b", VersionId=new)
    found.append(s3.get_object(Bucket=INBOX, Key="a/b")["Body"].read())
    s3.put_object(Bucket=INBOX, Key="a/b", Body=b"newest")
    s3.put_object(Bucket=INBOX, Key="a/a", Body=b"")
    found.append([(one["Key"], one["Size"]) for one in s3.list_object_versions(Bucket=INBOX)["Versions"]])
    s3.delete_object(Bucket=WORK, Key="x/2")
    s3.delete_object(Bucket=WORK, Key="none")
    found.append([one["Key"] for one in s3.list_objects_v2(Bucket=WORK)["Contents"]])
    url = sqs.create_queue(QueueName="Bells", Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="one")
    sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=900)
    for _ in range(2):  # the second time it is hidden
        reply = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
        )
        messages = reply.get("Messages", ())
        found.append([(one["Body"], one["Attributes"]["ApproximateReceiveCount"]) for one in messages])
    return found


def test_s3_and_sqs_answer_as_in_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, open_moto_world(patch):
        in_moto = stored()
    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", through(Cloud(lambda: START)))
        assert stored() == in_moto
