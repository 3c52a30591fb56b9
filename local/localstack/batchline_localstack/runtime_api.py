"""The Lambda Runtime API, by which a function's process fetches events and posts answers.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
One server, on a port of its own, serves one process from its start to its end: a process that is
replaced can never answer for its successor.
"""

import re
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import override

ROOT = "/2018-06-01/runtime"
NEXT = f"{ROOT}/invocation/next"
INIT_ERROR = f"{ROOT}/init/error"
ANSWER = re.compile(rf"{ROOT}/invocation/([^/]+)/(response|error)")
ACCEPTED = b'{"status":"OK"}'


@dataclass(frozen=True)
class Event:
    """One invocation as the process gets it; `deadline_ms` counts from the epoch."""

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str

    def headers(self) -> dict[str, str]:
        return {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
        }


@dataclass(frozen=True)
class Answer:
    """What the process posted: the handler's result, or a description of its error."""

    body: bytes
    is_error: bool


class RuntimeApi:
    """The conversation with one process.

    The process is `ready` once it asked for its first event; `init_error` is set instead when it
    could not load the handler.
    """

    def __init__(self) -> None:
        self.ready = False
        self.init_error: bytes | None = None
        self._changed = threading.Condition()
        self._offered: Event | None = None
        self._running: Event | None = None
        self._answer: Answer | None = None
        self._closed = False
        self._server = _Server(self)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="runtime-api", daemon=True
        ).start()

    def close(self) -> None:
        """Send a waiting process away and free the port."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def offer(self, event: Event) -> None:
        """Let the process have `event` as its next one."""
        with self._changed:
            self._answer = None
            self._offered = event
            self._changed.notify_all()

    def wait_for_start(self, seconds: float) -> bool:
        """Wait until the process is ready or has said why it can't be; False when time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: self.ready or self.init_error is not None, timeout=seconds)

    def wait_for_answer(self, seconds: float) -> Answer | None:
        """Wait for the answer to the event offered; None when time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None, timeout=seconds)
            return self._answer

    def next_event(self) -> Event | None:
        """Block the calling process until there is an event; None when it shall go away."""
        with self._changed:
            self.ready = True
            self._running = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._offered is not None or self._closed)
            if self._closed:
                return None
            self._running, self._offered = self._offered, None
            return self._running

    def refuse_start(self, body: bytes) -> None:
        """Note the error that kept the process from loading its handler."""
        with self._changed:
            self.init_error = body
            self._changed.notify_all()

    def take_answer(self, request_id: str, answer: Answer) -> bool:
        """Note the answer to the event that the process works on; False when it is another's."""
        with self._changed:
            if self._running is None or self._running.request_id != request_id:
                return False
            self._answer = answer
            self._changed.notify_all()
            return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm and delayed acknowledgements together cost 40 ms an answer.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for each poll of each process would drown LocalStack's log."""

    def do_GET(self) -> None:
        if self.path != NEXT:
            self._reply(HTTPStatus.NOT_FOUND)
            return
        event = self.server.api.next_event()
        if event is None:
            self.close_connection = True
            return
        self._reply(HTTPStatus.OK, event.payload, event.headers())

    def do_POST(self) -> None:
        body = self._body()
        if self.path == INIT_ERROR:
            self.server.api.refuse_start(body)
            self._reply(HTTPStatus.ACCEPTED, ACCEPTED)
        elif answered := ANSWER.fullmatch(self.path):
            request_id, kind = answered.groups()
            taken = self.server.api.take_answer(request_id, Answer(body, kind == "error"))
            self._reply(HTTPStatus.ACCEPTED if taken else HTTPStatus.FORBIDDEN, ACCEPTED)
        else:
            self._reply(HTTPStatus.NOT_FOUND)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
