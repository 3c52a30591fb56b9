"""The Runtime API as a function's process sees it: over HTTP."""

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.localstack.batchline_localstack.runtime_api import Answer, Event, RuntimeApi

ROOT = "/2018-06-01/runtime"
EVENT = Event(
    request_id="r-1", payload=b'{"a": 1}', deadline_ms=1234, function_arn="arn:f", trace_id="Root=1"
)


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    served = RuntimeApi()
    yield served
    served.close()


@pytest.fixture
def process(api: RuntimeApi) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(api.address, timeout=10)
    yield connection
    connection.close()


def get(process: http.client.HTTPConnection, path: str) -> tuple[int, bytes, dict[str, str]]:
    process.request("GET", path)
    response = process.getresponse()
    return response.status, response.read(), dict(response.getheaders())


def post(process: http.client.HTTPConnection, path: str, body: object) -> int:
    process.request("POST", path, body=body, encode_chunked=not isinstance(body, bytes))  # type: ignore[arg-type]
    response = process.getresponse()
    response.read()
    return response.status


def test_an_event_goes_out_and_its_answer_comes_back(
    api: RuntimeApi, process: http.client.HTTPConnection
) -> None:
    api.offer(EVENT)
    status, body, headers = get(process, f"{ROOT}/invocation/next")
    assert (status, body) == (200, b'{"a": 1}')
    assert headers["Lambda-Runtime-Aws-Request-Id"] == "r-1"
    assert headers["Lambda-Runtime-Deadline-Ms"] == "1234"
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn:f"
    assert headers["Lambda-Runtime-Trace-Id"] == "Root=1"
    assert api.wait_for_answer(0) is None
    assert post(process, f"{ROOT}/invocation/r-1/response", b"2") == 202
    assert api.wait_for_answer(5) == Answer(b"2", is_error=False)


def test_an_answer_in_chunks_is_put_together(api: RuntimeApi, process: http.client.HTTPConnection) -> None:
    api.offer(EVENT)
    get(process, f"{ROOT}/invocation/next")
    assert post(process, f"{ROOT}/invocation/r-1/error", iter([b"one ", b"two"])) == 202
    assert api.wait_for_answer(5) == Answer(b"one two", is_error=True)


def test_a_process_that_waits_is_ready(api: RuntimeApi, process: http.client.HTTPConnection) -> None:
    assert not api.wait_for_start(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get, process, f"{ROOT}/invocation/next")
        assert api.wait_for_start(5)
        assert api.ready
        api.offer(EVENT)
        assert waiting.result()[0] == 200


def test_an_answer_to_another_event_is_refused(api: RuntimeApi, process: http.client.HTTPConnection) -> None:
    assert post(process, f"{ROOT}/invocation/r-1/response", b"early") == 403
    api.offer(EVENT)
    get(process, f"{ROOT}/invocation/next")
    assert post(process, f"{ROOT}/invocation/r-0/response", b"late") == 403
    assert api.wait_for_answer(0) is None


def test_a_handler_that_does_not_load_is_noted(api: RuntimeApi, process: http.client.HTTPConnection) -> None:
    assert post(process, f"{ROOT}/init/error", b'{"errorType": "X"}') == 202
    assert api.wait_for_start(5)
    assert not api.ready
    assert api.init_error == b'{"errorType": "X"}'


def test_other_paths_do_not_exist(process: http.client.HTTPConnection) -> None:
    assert get(process, "/elsewhere")[0] == 404
    assert post(process, f"{ROOT}/elsewhere", b"") == 404


def test_closing_sends_a_waiting_process_away() -> None:
    served = RuntimeApi()
    connection = http.client.HTTPConnection(served.address, timeout=10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get, connection, f"{ROOT}/invocation/next")
        assert served.wait_for_start(5)
        served.close()
        with pytest.raises(http.client.RemoteDisconnected):
            waiting.result()
    connection.close()
