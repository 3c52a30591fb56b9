"""What the tests on LocalStack need of AWS: clients, and resources with names of their own."""

import base64
import io
import json
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

from local.settings import Settings
from tests.waiting import eventually

ROLE = "arn:aws:iam::000000000000:role/function"
# One try: a test must see the first answer.
CONFIG = Config(retries={"total_max_attempts": 1}, read_timeout=60)


@dataclass(frozen=True)
class Invoked:
    payload: Any
    error: str | None
    log: str


class Aws:
    def __init__(self, settings: Settings) -> None:
        env = settings.client_environment()
        self._session = boto3.Session(
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=env["AWS_REGION"],
        )
        self._endpoint = settings.localstack_url

    def client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._endpoint, config=CONFIG)  # type: ignore[call-overload]

    @cached_property
    def functions(self) -> Any:
        return self.client("lambda")

    @cached_property
    def queues(self) -> Any:
        return self.client("sqs")

    @cached_property
    def dynamodb(self) -> Any:
        return self.client("dynamodb")

    @cached_property
    def logs(self) -> Any:
        return self.client("logs")

    def function(self, code: str, **options: Any) -> str:
        """Create a function from the text of its module `app` and wait until it can be called."""
        name = unique("function")
        settings = {"Handler": "app.handler", "Timeout": 10, "MemorySize": 256, **options}
        self.functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=ROLE,
            Code={"ZipFile": zipped({"app.py": code})},
            **settings,
        )
        eventually(
            lambda: self.functions.get_function(FunctionName=name)["Configuration"]["State"] == "Active"
        )
        return name

    def invoke(self, function: str, event: Any = None) -> Invoked:
        answer = self.functions.invoke(FunctionName=function, Payload=json.dumps(event), LogType="Tail")
        return Invoked(
            payload=json.loads(answer["Payload"].read()),
            error=answer.get("FunctionError"),
            log=base64.b64decode(answer["LogResult"]).decode(),
        )

    def queue(self, **attributes: str) -> tuple[str, str]:
        """Create a queue; returns its URL and ARN."""
        url = self.queues.create_queue(QueueName=unique("queue"), Attributes=attributes)["QueueUrl"]
        described = self.queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, described["Attributes"]["QueueArn"]

    def receive(self, queue_url: str, *, seconds: float = 30) -> list[str]:
        """Wait for messages and take them; returns their bodies."""

        def take() -> list[str]:
            got = self.queues.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
            messages = got.get("Messages", [])
            for message in messages:
                self.queues.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            return [message["Body"] for message in messages]

        return eventually(take, seconds=seconds)

    def log_of(self, function: str) -> str:
        """Read what CloudWatch Logs has of the function so far."""
        try:
            events = self.logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        except self.logs.exceptions.ResourceNotFoundException:
            return ""
        return "\n".join(event["message"] for event in events)


def unique(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


def zipped(files: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for name, text in files.items():
            target.writestr(name, text)
    return archive.getvalue()
