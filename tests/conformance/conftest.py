"""Runs the suite against an endpoint: the emulator by default, AWS itself by hand.

Every case is marked with the page that says so. To run against AWS set BATCHLINE_CONFORMANCE=aws and
BATCHLINE_CONFORMANCE_ROLE, _BUCKET (input and output), _MODEL (a Nova model or profile) and
_CLAUDE, with credentials in the usual places; jobs there take many minutes and cost money. Any other
emulator is tested with BATCHLINE_CONFORMANCE=<its URL> and AWS_ENDPOINT_URL for S3.
"""

import asyncio
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.model import ListShape, MapShape, Shape, StructureShape
from moto.server import ThreadedMotoServer

from local.bedrock import server
from local.bedrock.settings import Settings

TERMINAL = {"Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "source(url): the page that a conformance case is taken from")


@pytest.fixture(autouse=True)
def names_its_source(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("source")
    if marker is None or not re.match(r"https://|botocore", marker.args[0]):
        pytest.fail("a conformance case must name its source")


@dataclass(frozen=True)
class Target:
    """Where the suite runs, and the names that it may use there."""

    bedrock_url: str | None
    aws_url: str | None
    role: str
    bucket: str
    model: str
    claude: str
    patience: float

    def client(self, service: str) -> Any:
        is_bedrock = service.startswith("bedrock")
        made = self.session().client(service, endpoint_url=self.bedrock_url if is_bedrock else self.aws_url)
        if is_bedrock:
            made.meta.events.register("after-call", check_answer)
        return made

    def session(self) -> boto3.Session:
        if self.bedrock_url is None:
            return boto3.Session()
        return boto3.Session("test", "test", region_name="us-east-1")


class Mismatch(AssertionError):
    """An answer is not what the service model describes."""


def check_answer(http_response: Any, model: Any, **_: Any) -> None:
    """Compare the raw answer with botocore's output shape: names, types, enums, patterns."""
    shape = model.output_shape
    if http_response.status_code >= 300 or shape is None or shape.serialization.get("payload"):
        return
    compare(shape, json.loads(http_response.content or b"{}"), model.name)


def compare(shape: Shape, value: Any, path: str) -> None:
    if isinstance(shape, StructureShape):
        if shape.is_document_type:
            return
        wanted = {m.serialization.get("name", n): m for n, m in shape.members.items()}
        if unknown := value.keys() - wanted.keys():
            raise Mismatch(f"{path} has members that the model does not know: {sorted(unknown)}")
        if missing := set(shape.required_members) - value.keys():
            raise Mismatch(f"{path} lacks {sorted(missing)}")
        for name, member in value.items():
            compare(wanted[name], member, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for at, element in enumerate(value):
            compare(shape.member, element, f"{path}[{at}]")
    elif isinstance(shape, MapShape):
        for key, element in value.items():
            compare(shape.value, element, f"{path}[{key}]")
    else:
        compare_scalar(shape, value, path)


KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (str,),
}
# Timestamps of the control plane are ISO-8601 text, not numbers.
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def compare_scalar(shape: Shape, value: Any, path: str) -> None:
    if not isinstance(value, KINDS[shape.type_name]):
        raise Mismatch(f"{path} is {value!r}, not a {shape.type_name}")
    if shape.type_name == "timestamp" and not INSTANT.fullmatch(value):
        raise Mismatch(f"{path} is {value!r}, not an ISO-8601 instant")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        raise Mismatch(f"{path} is {value!r}, not one of {allowed}")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, str(value)):
        raise Mismatch(f"{path} is {value!r}, which does not match {pattern}")
    if "min" in shape.metadata and shape.type_name in {"integer", "long"} and value < shape.metadata["min"]:
        raise Mismatch(f"{path} is {value!r}, below {shape.metadata['min']}")


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    where = os.environ.get("BATCHLINE_CONFORMANCE", "emulator")
    if where == "emulator":
        yield from own_emulator()
    elif where == "aws":
        if boto3.Session().get_credentials() is None:
            pytest.skip("no AWS credentials")
        yield Target(None, None, *named(), patience=3 * 3600)
    else:
        yield Target(where, os.environ.get("AWS_ENDPOINT_URL", where), *named(), patience=120)


def named() -> tuple[str, str, str, str]:
    def variable(name: str, default: str) -> str:
        return os.environ.get(f"BATCHLINE_CONFORMANCE_{name}", default)

    return (
        variable("ROLE", "arn:aws:iam::000000000000:role/BedrockBatch"),
        variable("BUCKET", "conformance"),
        variable("MODEL", "us.amazon.nova-lite-v1:0"),
        variable("CLAUDE", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    )


def own_emulator() -> Iterator[Target]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    aws_url = f"http://127.0.0.1:{moto._server.socket.getsockname()[1]}"
    settings = Settings(s3_endpoint=aws_url, events_endpoint=aws_url, step_seconds=0.1)
    config = uvicorn.Config(server.build(settings), host="127.0.0.1", port=0, log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()))
    thread.start()
    while not running.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    made = Target(url, aws_url, *named(), patience=60)
    made.client("s3").create_bucket(Bucket=made.bucket)
    yield made
    running.should_exit = True
    thread.join(timeout=20)
    moto.stop()


@pytest.fixture(scope="session")
def bedrock(target: Target) -> Any:
    return target.client("bedrock")


@pytest.fixture(scope="session")
def runtime(target: Target) -> Any:
    return target.client("bedrock-runtime")


@pytest.fixture(scope="session")
def s3(target: Target) -> Any:
    return target.client("s3")


class Jobs:
    """Creates jobs and waits for them."""

    def __init__(self, target: Target, bedrock: Any, s3: Any) -> None:
        self._target = target
        self._bedrock = bedrock
        self._s3 = s3

    def request(self, **changes: Any) -> dict[str, Any]:
        name = f"conformance-{uuid.uuid4().hex[:12]}"
        base = f"s3://{self._target.bucket}/{name}"
        return {
            "jobName": name,
            "roleArn": self._target.role,
            "modelId": self._target.model,
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"{base}/input/"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{base}/output/"}},
            **changes,
        }

    def create(self, files: dict[str, list[Any]], **changes: Any) -> str:
        request = self.request(**changes)
        folder = f"{request['jobName']}/input"
        for name, records in files.items():
            body = "".join(json.dumps(record) + "\n" for record in records)
            self._s3.put_object(Bucket=self._target.bucket, Key=f"{folder}/{name}", Body=body.encode())
        arn: str = self._bedrock.create_model_invocation_job(**request)["jobArn"]
        return arn

    def until(self, arn: str, condition: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + self._target.patience
        while not condition(job := self._bedrock.get_model_invocation_job(jobIdentifier=arn)):
            assert time.monotonic() < deadline, f"the job stays {job['status']}"
            time.sleep(0.02 if self._target.bedrock_url else 30)
        return job

    def finished(self, arn: str) -> Any:
        return self.until(arn, lambda job: job["status"] in TERMINAL)

    def output(self, arn: str, name: str) -> bytes:
        job = self._bedrock.get_model_invocation_job(jobIdentifier=arn)
        uri = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
        key = f"{uri.split('/', 3)[3]}{arn.rsplit('/', 1)[1]}/{name}"
        content: bytes = self._s3.get_object(Bucket=self._target.bucket, Key=key)["Body"].read()
        return content

    def lines(self, arn: str, name: str) -> list[Any]:
        return [json.loads(line) for line in self.output(arn, name).splitlines()]


@pytest.fixture(scope="session")
def jobs(target: Target, bedrock: Any, s3: Any) -> Jobs:
    return Jobs(target, bedrock, s3)
