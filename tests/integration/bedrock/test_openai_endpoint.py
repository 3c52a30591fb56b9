"""A real model behind an OpenAI-compatible endpoint; the endpoint here is a small server of the test's."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.bedrock.errors import ApiError
from local.bedrock.openai_endpoint import EndpointWriter
from local.bedrock.prompts import Prompt, Tool, Turn
from local.bedrock.settings import Settings

from .conftest import HAIKU, NOVA, STEP, Bench, Running, converse_record


class ModelServer(ThreadingHTTPServer):
    """Answers chat completions with the last message in capitals; notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Chat)
        self.lock = threading.Lock()
        self.requests: list[Any] = []
        self.failures: list[int] = []
        self.running = 0
        self.most_running = 0
        self.barrier: threading.Barrier | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Chat(BaseHTTPRequestHandler):
    server: ModelServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(request)
            failure = self.server.failures.pop(0) if self.server.failures else None
            self.server.running += 1
            self.server.most_running = max(self.server.most_running, self.server.running)
        if self.server.barrier is not None:
            self.server.barrier.wait(timeout=10)
        with self.server.lock:
            self.server.running -= 1
        status = failure or 200
        body = b"no" if failure else json.dumps(_completion(request)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _completion(request: Any) -> Any:
    said = request["messages"][-1]["content"]
    text = '{"colour": "blue"}' if "response_format" in request else said.upper()
    cut = request["max_tokens"] < 5
    return {
        "choices": [
            {
                "message": {"role": "assistant", "content": text[:7] if cut else text},
                "finish_reason": "length" if cut else "stop",
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 2 if cut else 7},
    }


@pytest.fixture
def model() -> Iterator[ModelServer]:
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def real(model: ModelServer, aws_url: str, bench: Bench) -> Iterator[Bench]:
    running = Running(
        Settings(
            port=0,
            s3_endpoint=aws_url,
            events=False,
            step_seconds=STEP,
            manual_clock=True,
            model_endpoint=model.url,
            model_name="small",
            model_concurrency=3,
        )
    )
    yield Bench(running.url, aws_url)
    running.stop()


def ask(bench: Bench, model_id: str = NOVA, **members: Any) -> Any:
    messages = [{"role": "user", "content": [{"text": "hello you"}]}]
    return bench.runtime.converse(
        modelId=model_id, messages=messages, system=[{"text": "be kind"}], **members
    )


def test_text_tokens_and_stop_reason_are_the_models_own(real: Bench, model: ModelServer) -> None:
    answer = ask(real, inferenceConfig={"temperature": 0.5, "maxTokens": 50})
    assert answer["output"]["message"]["content"] == [{"text": "HELLO YOU"}]
    assert answer["usage"] == {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
    assert model.requests == [
        {
            "model": "small",
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "hello you"},
            ],
            "max_tokens": 50,
            "temperature": 0.5,
        }
    ]
    cut = ask(real, inferenceConfig={"maxTokens": 2})
    assert (cut["stopReason"], cut["usage"]["outputTokens"]) == ("max_tokens", 2)


def test_a_schema_is_handed_on(real: Bench, model: ModelServer) -> None:
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}}
    structure = {"jsonSchema": {"schema": json.dumps(schema)}}
    answer = ask(real, HAIKU, outputConfig={"textFormat": {"type": "json_schema", "structure": structure}})
    assert answer["output"]["message"]["content"] == [{"text": '{"colour": "blue"}'}]
    assert model.requests[0]["response_format"]["json_schema"]["schema"] == schema


def test_a_batch_runs_with_bounded_concurrency(real: Bench, model: ModelServer) -> None:
    # Three requests must be under way at once before any of them is answered: with 102 records the
    # barrier fills 34 times, and it never holds a fourth.
    model.barrier = threading.Barrier(3)
    real.put_records("jobs/a.jsonl", [converse_record(n) for n in range(102)])
    arn = real.create()
    job = real.finish(arn)
    assert (job["status"], job["successRecordCount"]) == ("Completed", 102)
    assert model.most_running == 3
    assert real.manifest(arn)["outputTokenCount"] == 102 * 7
    for line in real.output(arn, "a.jsonl.out"):
        asked = line["modelInput"]["messages"][0]["content"][0]["text"]
        assert line["modelOutput"]["output"]["message"]["content"][0]["text"] == asked.upper()


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "ThrottlingException"), (503, "ModelErrorException"), (400, "ModelErrorException")],
)
def test_lasting_failures_become_errors_of_aws(model: ModelServer, status: int, code: str) -> None:
    model.failures = [status] * 3
    writer = EndpointWriter(model.url, "small", concurrency=1, timeout=5, backoff=0)
    with pytest.raises(ApiError) as failed:
        writer.write(Prompt(turns=(Turn("user", "hi"),), max_tokens=10))
    assert failed.value.code == code
    assert len(model.requests) == (1 if status == 400 else 3)


def test_a_passing_failure_is_retried(model: ModelServer) -> None:
    model.failures = [503, 429]
    writer = EndpointWriter(model.url, "small", concurrency=1, timeout=5, backoff=0)
    assert writer.write(Prompt(turns=(Turn("user", "hi"),), max_tokens=10)).text == "HI"


def test_no_server_is_service_unavailable() -> None:
    writer = EndpointWriter("http://127.0.0.1:9/v1", "small", concurrency=1, timeout=5, backoff=0)
    with pytest.raises(ApiError) as failed:
        writer.write(Prompt(turns=(Turn("user", "hi"),), max_tokens=10))
    assert failed.value.code == "ServiceUnavailableException"


def test_failures_of_the_model_are_errors_of_the_record(real: Bench, model: ModelServer) -> None:
    model.failures = [400] * 10
    real.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    arn = real.create()
    assert real.finish(arn)["errorRecordCount"] == 10
    errors = [line["error"] for line in real.output(arn, "a.jsonl.out") if "error" in line]
    assert {error["errorCode"] for error in errors} == {424}


def test_a_demanded_tool_is_filled_by_the_model(model: ModelServer) -> None:
    writer = EndpointWriter(model.url, "small", concurrency=1, timeout=5)
    schema = {"type": "object"}
    prompt = Prompt(turns=(Turn("user", "hi"),), max_tokens=10, tool=Tool("t", schema))
    assert writer.fill(prompt, schema) == {"colour": "blue"}


def test_the_runtime_passes_the_models_failure_on(real: Bench, model: ModelServer) -> None:
    model.failures = [400]
    with pytest.raises(ClientError) as failed:
        ask(real)
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
