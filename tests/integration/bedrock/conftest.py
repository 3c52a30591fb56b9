"""An emulator on a free port, moto's server behind it for S3 and EventBridge, and boto3 in front."""

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from moto.server import ThreadedMotoServer

from local.bedrock import server
from local.bedrock.settings import Settings

ROLE = "arn:aws:iam::000000000000:role/BedrockBatch"
NOVA = "us.amazon.nova-lite-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
STEP = 10.0


class Running:
    """A server in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        config = uvicorn.Config(
            server.build(settings), host="127.0.0.1", port=0, log_level="error", lifespan="on"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()
        wait_until(lambda: self._server.started)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail("the condition did not come true in time")
        time.sleep(0.01)
    return value


def client(service: str, url: str, **options: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=options.pop("region_name", "us-east-1"),
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
        **options,
    )


class Bench:
    """What a test of batch jobs needs: buckets, an emulator on a manual clock, and short cuts."""

    def __init__(self, url: str, aws_url: str) -> None:
        self.url = url
        self.aws_url = aws_url
        self.bedrock = client("bedrock", url)
        self.runtime = client("bedrock-runtime", url)
        self.s3 = client("s3", aws_url)

    def control(self, method: str, path: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{path}", body, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def advance(self, seconds: float = STEP) -> None:
        self.control("POST", "clock/advance", {"seconds": seconds})

    def put_records(self, key: str, records: list[Any]) -> None:
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        self.s3.put_object(Bucket="input", Key=key, Body=lines.encode())

    def create(self, name: str = "job-1", **changes: Any) -> str:
        request = {
            "jobName": name,
            "roleArn": ROLE,
            "modelId": NOVA,
            "modelInvocationType": "Converse",
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://input/jobs/"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://output/results/"}},
            **changes,
        }
        arn: str = self.bedrock.create_model_invocation_job(**request)["jobArn"]
        return arn

    def get(self, arn: str) -> Any:
        return self.bedrock.get_model_invocation_job(jobIdentifier=arn)

    def finish(self, arn: str) -> Any:
        """Let four states pass: a job without trouble has ended then."""
        self.advance(4 * STEP)
        return self.get(arn)

    def output(self, arn: str, name: str) -> list[Any]:
        key = f"results/{arn.rsplit('/', 1)[1]}/{name}"
        body = self.s3.get_object(Bucket="output", Key=key)["Body"].read()
        return [json.loads(line) for line in body.splitlines()]

    def manifest(self, arn: str) -> Any:
        [manifest] = self.output(arn, "manifest.json.out")
        return manifest


def converse_record(number: int, text: str = "", **members: Any) -> dict[str, Any]:
    words = text or f"Order {number} was delivered to the warehouse. It holds {number} boxes."
    prompt = f"Summarize the following text in one sentence:\n\n{words}"
    return {
        "recordId": f"R{number:07d}",
        "modelInput": {
            "messages": [{"role": "user", "content": [{"text": prompt}]}],
            "inferenceConfig": {"maxTokens": 100},
            **members,
        },
    }


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    yield f"http://127.0.0.1:{moto._server.socket.getsockname()[1]}"
    moto.stop()


@pytest.fixture(scope="session")
def running(aws_url: str) -> Iterator[Running]:
    emulator = Running(
        Settings(
            port=0,
            s3_endpoint=aws_url,
            events_endpoint=aws_url,
            step_seconds=STEP,
            manual_clock=True,
        )
    )
    yield emulator
    emulator.stop()


@pytest.fixture
def bench(running: Running, aws_url: str) -> Bench:
    urllib.request.urlopen(urllib.request.Request(f"{aws_url}/moto-api/reset", method="POST")).close()
    made = Bench(running.url, aws_url)
    made.control("POST", "reset")
    for bucket in ("input", "output"):
        made.s3.create_bucket(Bucket=bucket)
    return made
