"""Whatever is sent, the emulator answers as AWS would and goes on serving.

BATCHLINE_FUZZ_CASES says how many requests and how many input lines are tried (default 300 each).
"""

import http.client
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.bedrock import catalog, inference, records, shapes, wire
from local.bedrock.errors import STATUS_BY_CODE, ApiError
from local.bedrock.extractive import ExtractiveWriter

from .conftest import Bench, converse_record

CASES = int(os.environ.get("BATCHLINE_FUZZ_CASES", "300"))
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/bedrock/aws4_request, x",
    "Content-Type": "application/json",
}
FUZZ = settings(
    max_examples=CASES,
    # The short run tries the same cases every time; a run that asks for a number tries new ones.
    derandomize="BATCHLINE_FUZZ_CASES" not in os.environ,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4)
    ),
    max_leaves=12,
)
JOB_ARN = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job"
NEAR_MISSES = {
    "modelId": ["us.amazon.nova-lite-v1:0", "amazon.titan-embed-text-v2:0", "acme.x-v1:0", ""],
    "jobName": ["job", "a" * 63, "a" + "-" * 62 + "!", "名"],
    "roleArn": ["arn:aws:iam::000000000000:role/R", "arn:aws:iam::0:role/R"],
    "s3Uri": ["s3://input/jobs/", "s3://input", "s3://in put/", "s3://x"],
    "jobIdentifier": ["abcdefghijkl", "name", f"{JOB_ARN}/abcdefghijkl"],
    "text": ["Summarize:\n\nA cat sat.", " ", "{", '{"type": "object", "properties": {"a": {"$ref": "#"}}}'],
    "schema": ['{"type": "object"}', "[]", "{", '{"$ref": "#"}', '{"type": 5}', '{"enum": 3}'],
    "role": ["user", "assistant", "system"],
}  # fmt: skip


def values(shape: Shape, name: str = "", depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values for a shape that are right, nearly right, or quite wrong."""
    if depth > 6:
        return JSON
    right = _right(shape, name, depth)
    return st.one_of(right, right, right, right, JSON)


def _right(shape: Shape, name: str, depth: int) -> st.SearchStrategy[Any]:
    if isinstance(shape, StructureShape) and not shape.is_document_type:
        members = {n: values(m, n, depth + 1) for n, m in shape.members.items()}
        required = {n: members.pop(n) for n in shape.required_members if n in members}
        return st.fixed_dictionaries(required, optional=members)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member, name, depth + 1), max_size=3)
    if isinstance(shape, MapShape):
        return st.dictionaries(st.text(max_size=5), values(shape.value, name, depth + 1), max_size=3)
    return _scalar(shape, name)


def _scalar(shape: Shape, name: str) -> st.SearchStrategy[Any]:
    if shape.type_name == "string":
        known = [*NEAR_MISSES.get(name, []), *shape.metadata.get("enum", [])]
        return st.sampled_from(known) | st.text(max_size=30) if known else st.text(max_size=30)
    return {
        "structure": JSON,
        "boolean": st.booleans(),
        "blob": st.sampled_from(["", "aGVsbG8=", "e30=", "!"]),
    }.get(shape.type_name, st.integers(-5, 2000) | st.floats(0, 1))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Draw a method, a path with its query, and a body."""
    service = draw(st.sampled_from(sorted(wire.OPERATIONS)))
    operation = draw(st.sampled_from(wire.OPERATIONS[service]))
    model = shapes.service(service).operation_model(operation)
    shape = model.input_shape
    assert isinstance(shape, StructureShape)
    path, query, body = model.http["requestUri"], [], {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        wire_name = member.serialization.get("name", name)
        if location == "uri":
            text = str(draw(values(member, name)))
            path = path.replace(f"{{{wire_name}}}", quote(text.encode("utf-8", "replace"), safe="") or "x")
        elif location == "querystring":
            if draw(st.booleans()):
                text = str(draw(values(member, name)))
                query.append(f"{wire_name}={quote(text.encode('utf-8', 'replace'), safe='')}")
        elif location is None and (name in shape.required_members or draw(st.booleans())):
            body[name] = draw(values(member, name))
    content = draw(st.one_of(st.just(_encoded(body)), st.just(_encoded(body)), st.binary(max_size=60)))
    method = draw(st.sampled_from([model.http["method"]] * 9 + ["PUT"]))
    return method, path + ("?" + "&".join(query) if query else ""), content


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "replace")


@pytest.fixture
def connection(bench: Bench) -> Any:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    made = http.client.HTTPConnection(urlsplit(bench.url).netloc, timeout=30)
    yield made
    made.close()
    # Whatever came in, the server still works.
    bench.control("POST", "reset")
    assert bench.finish(bench.create())["status"] == "Completed"


@FUZZ
@given(request=requests())
def test_every_request_gets_an_answer_of_the_protocol(
    connection: http.client.HTTPConnection, request: tuple[str, str, bytes]
) -> None:
    method, path, body = request
    connection.request(method, path, body, SIGNED)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status == 200:
        assert isinstance(orjson.loads(content), dict)
        return
    error = orjson.loads(content)
    assert STATUS_BY_CODE[error["__type"]] == answer.status < 500, error
    assert answer.headers["x-amzn-errortype"] == error["__type"]
    assert error["message"]


@FUZZ
@given(path=st.binary(max_size=40), body=st.binary(max_size=200))
def test_any_path_and_bytes(connection: http.client.HTTPConnection, path: bytes, body: bytes) -> None:
    connection.request("POST", "/" + quote(path, safe="/"), body, SIGNED)
    answer = connection.getresponse()
    assert answer.status in {400, 403, 404}
    assert orjson.loads(answer.read())["message"]


CONVERSE = shapes.service("bedrock-runtime").operation_model("Converse").input_shape
BODIES = {
    "us.amazon.nova-lite-v1:0": {"messages": [{"role": "user", "content": [{"text": "A."}]}]},
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "A."}]}],
        "tools": [{"name": "t", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"},
    },
    "us.meta.llama3-3-70b-instruct-v1:0": {"prompt": "A."},
    "mistral.mistral-small-2402-v1:0": {"prompt": "A."},
    "mistral.mistral-large-2407-v1:0": {"messages": [{"role": "user", "content": "A."}]},
    "amazon.titan-text-express-v1": {"inputText": "A.", "textGenerationConfig": {"maxTokenCount": 5}},
    "amazon.titan-embed-text-v2:0": {"inputText": "A.", "dimensions": 256},
    "cohere.command-r-v1:0": {"message": "A.", "chat_history": [{"role": "USER", "message": "B."}]},
    "openai.gpt-oss-20b-1:0": {
        "messages": [{"role": "user", "content": "A."}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
    },
}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a model and a body of its dialect in which one place holds something else."""
    model = draw(st.sampled_from(sorted(BODIES)))
    body: Any = json.loads(json.dumps(BODIES[model]))
    place = body
    while True:
        steps = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not steps:
            break
        step = draw(st.sampled_from(steps))
        if isinstance(place[step], (dict, list)) and draw(st.booleans()):
            place = place[step]
            continue
        place[step] = draw(JSON)
        break
    return model, body


WRITER = ExtractiveWriter()


def outcome_of(answer: Callable[[], inference.Outcome]) -> tuple[int, Any]:
    """Return the status and the output or message that a record ends with."""
    try:
        return 200, answer().output
    except ApiError as error:
        return error.status, error.message


@FUZZ
@given(case=damaged())
def test_any_invoke_record_becomes_an_answer_or_an_error(case: tuple[str, Any]) -> None:
    identifier, body = case
    model = catalog.invocable(identifier, batch=False)
    status, output = outcome_of(lambda: inference.invoke_record(model, body, WRITER))
    assert status in {200, 400, 403}
    assert orjson.dumps(output)


@FUZZ
@given(body=st.one_of(values(CONVERSE), JSON).filter(lambda value: isinstance(value, dict)))
def test_any_converse_record_becomes_an_answer_or_an_error(body: dict[str, Any]) -> None:
    body.pop("modelId", None)
    model = catalog.invocable("us.amazon.nova-lite-v1:0", batch=True)
    status, output = outcome_of(lambda: inference.converse_record(model, body, WRITER))
    assert status in {200, 400, 403}
    assert orjson.dumps(output)


@FUZZ
@given(line=st.one_of(st.binary(max_size=80), JSON.map(_encoded)))
def test_any_line_is_a_record_or_rejected(line: bytes) -> None:
    try:
        record = records.parse(line, job_id="abcdefghijkl", file="a.jsonl", number=1)
    except records.Rejected:
        return
    assert record.record_id
    assert isinstance(record.model_input, dict)
