"""Runs a risky parser in a process of its own: a crash, a hang or a bomb costs one document.

A fork server, started with the first document, imports each parser once; every document then gets a
forked child with limits on memory and processor time. The child reads the upload from an inherited file
and writes what it finds to a pipe as it finds it, so that neither side holds a whole document. Only
pipes, sockets and plain files are used: AWS Lambda has no shared memory. The child holds no AWS
credentials.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any, BinaryIO, Final, cast

import orjson

from batchline.errors import Code, Refused
from batchline.formats import child
from batchline.formats.child import END, EXHAUSTED, FRAME, IMAGE, REFUSED, SECTION, Item, Limits
from batchline.formats.content import Image, Section

USUAL: Final = Limits()
# AWS Lambda gives a function 512 MB of disk unless it asks for more.
MAX_FILE_BYTES: Final = 400_000_000
MAX_FRAME_BYTES: Final = 64_000_000
COPY_BYTES: Final = 1 << 20
PIPE_BYTES: Final = 1 << 16  # as many as it holds
NATIVE_EXHAUSTED: Final = frozenset({signal.SIGABRT, signal.SIGTRAP, signal.SIGILL})


def run(
    parser: str, stream: BinaryIO, *, what: str, limits: Limits = USUAL, **options: object
) -> Iterator[Item]:
    """Yield what `parse(file, **options)` of the module `parser` yields, from a child process.

    `what` names the kind of file in sentences ("The PDF ..."). The stream is copied to a temporary file
    before anything is yielded. Closing the iterator ends the child. Raises Refused: the parser's own,
    UPLOAD_TOO_LARGE, FILE_DAMAGED after a crash, FILE_TOO_COMPLEX at a limit.
    """
    with kept(stream, what) as file:
        yield from run_on(parser, file, what=what, limits=limits, **options)


def run_on(
    parser: str, file: BinaryIO, *, what: str, limits: Limits = USUAL, **options: object
) -> Iterator[Item]:
    """Do what `run` does on a file of the disk, from its start."""
    receive, send = os.pipe()
    try:
        pid = _SERVER.start({"parser": parser, "options": options, "limits": limits._asdict()}, file, send)
    finally:
        os.close(send)
    try:
        finished = yield from _items(receive, limits, what)
        if not finished:
            raise _died(_SERVER.wait(pid), limits, what)
    finally:
        os.close(receive)
        _SERVER.end(pid)


@contextlib.contextmanager
def kept(stream: BinaryIO, what: str) -> Iterator[BinaryIO]:
    """Keep a stream in a temporary file. Raises Refused(UPLOAD_TOO_LARGE)."""
    with tempfile.TemporaryFile() as file:
        _copy(stream, file, what)
        file.seek(0)
        yield file


def _copy(stream: BinaryIO, file: BinaryIO, what: str) -> None:
    size = 0
    while block := stream.read(COPY_BYTES):
        size += len(block)
        if size > MAX_FILE_BYTES:
            raise Refused(
                Code.UPLOAD_TOO_LARGE,
                f"The {what} has more than {MAX_FILE_BYTES:,} bytes, which is as many as are read of this "
                "kind. Split it into smaller files.",
            )
        file.write(block)
    file.flush()


def _items(pipe: int, limits: Limits, what: str) -> Generator[Item, None, bool]:
    """Yield items until the child says that it has ended; return whether it did."""
    buffer = bytearray()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while True:
        if not poll.poll(limits.silence_seconds * 1000):
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"Reading the {what} made no progress for {limits.silence_seconds:g} seconds. "
                "Save it anew or split it into smaller files.",
            )
        data = os.read(pipe, PIPE_BYTES)
        if not data:
            return False
        buffer += data
        start = 0
        while len(buffer) - start >= FRAME.size:
            kind, head_size, body_size = FRAME.unpack_from(buffer, start)
            if head_size + body_size > MAX_FRAME_BYTES:
                raise _too_large_a_piece(what)
            head_at = start + FRAME.size
            body_at, stop = head_at + head_size, head_at + head_size + body_size
            if len(buffer) < stop:
                break
            start = stop
            if kind == END:
                return True
            yield _decoded(kind, orjson.loads(buffer[head_at:body_at]), bytes(buffer[body_at:stop]))
        del buffer[:start]


def _decoded(kind: bytes, head: Any, body: bytes) -> Item:
    if kind == REFUSED:
        raise Refused(Code(head), body.decode())
    if kind == SECTION:
        return Section(body.decode(), head[0], tuple(head[1]))
    if kind == IMAGE:
        return Image(head[0], body, head[1])
    return cast("Mapping[str, Any]", orjson.loads(body))


def _too_large_a_piece(what: str) -> Refused:
    return Refused(
        Code.FILE_TOO_COMPLEX,
        f"One piece of the {what} has more than {MAX_FRAME_BYTES:,} bytes. Split it into smaller files.",
    )


def _died(status: int, limits: Limits, what: str) -> Refused:
    """Say why a child ended without its last word."""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return Refused(
            Code.FILE_TOO_COMPLEX,
            f"Reading the {what} takes more than {limits.cpu_seconds:,} seconds of processor time. "
            "Split it into smaller files.",
        )
    if code == EXHAUSTED or -code in NATIVE_EXHAUSTED:
        return Refused(
            Code.FILE_TOO_COMPLEX,
            f"Reading the {what} takes more than {limits.memory_bytes // 1_000_000:,} MB of memory, or it is "
            "nested too deeply. Save it anew or split it into smaller files.",
        )
    how = f"signal {-code}" if code < 0 else f"exit {code}"
    return Refused(
        Code.FILE_DAMAGED,
        f"The {what} is damaged: its reader failed on it ({how}). Open it in the program that wrote it, "
        "save it anew and upload that.",
    )


class _Server:
    """The parent's side of the fork server: started when first needed, and again when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._running: set[int] = set()

    def start(self, job: Mapping[str, object], source: BinaryIO, send: int) -> int:
        """Let a child run the job: it reads the source and writes frames to `send`. Return its pid."""
        with self._lock:
            channel = self._ready()
            socket.send_fds(channel, [json.dumps(job).encode()], [source.fileno(), send])
            pid = int(channel.recv(64))
            self._running.add(pid)
            return pid

    def wait(self, pid: int) -> int:
        """Return the wait status of a child that has closed its pipe."""
        with self._lock:
            self._running.discard(pid)
            channel = self._ready()
            channel.send(json.dumps({"wait": pid}).encode())
            return int(channel.recv(64))

    def end(self, pid: int) -> None:
        """Kill a child unless it has been waited for. Its pid is its own until the server waits for it."""
        if pid in self._running:
            with contextlib.suppress(ProcessLookupError):  # the server, and so the child, was killed
                os.kill(pid, signal.SIGKILL)
            self.wait(pid)

    def stop(self) -> None:
        """End the server, which ends when its channel does."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.wait()
        self._channel = self._process = None

    def _ready(self) -> socket.socket:
        if self._channel is not None and self._process is not None and self._process.poll() is None:
            return self._channel
        self._forget()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 our own interpreter and module
                [sys.executable, "-S", "-m", child.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._channel = ours
        return ours


_SERVER: Final = _Server()
atexit.register(_SERVER.stop)
