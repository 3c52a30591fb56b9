"""Runs a risky parser in a process of its own: a crash, a hang or a bomb costs one document.

A fork server, started with the first document, imports each parser once; every document then gets a
forked child with limits on memory and processor time. The child reads the upload from an inherited file
and writes what it finds to a pipe as it finds it, so that neither side holds a whole document. Only
pipes, sockets and plain files are used: AWS Lambda has no shared memory. The child holds no AWS
credentials.
"""

import atexit
import contextlib
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final, NoReturn, cast

import orjson

from batchline.errors import Code, Refused
from batchline.formats.content import Image, Section

type Item = Section | Image | Mapping[str, Any]

# AWS Lambda gives a function 512 MB of disk unless it asks for more.
MAX_FILE_BYTES: Final = 400_000_000
MAX_FRAME_BYTES: Final = 64_000_000
COPY_BYTES: Final = 1 << 20
SECTION_CHARS: Final = 16_384
# A frame: its kind, the bytes of its JSON head, the bytes of its body.
FRAME: Final = struct.Struct(">cII")
SECTION, IMAGE, ROW, REFUSED, END = b"S", b"I", b"R", b"X", b"."
# How a child says that it ran out of memory or depth; sysexits.h calls it a temporary failure.
EXHAUSTED: Final = 75
NATIVE_EXHAUSTED: Final = frozenset({signal.SIGABRT, signal.SIGTRAP, signal.SIGILL})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may take: bytes of memory, seconds of processor, seconds without a word."""

    memory_bytes: int = 800_000_000
    cpu_seconds: int = 600
    silence_seconds: float = 60


def run(
    parser: str, stream: BinaryIO, *, what: str, limits: Limits = Limits(), **options: object
) -> Iterator[Item]:
    """Yield what `parse(file, **options)` of the module `parser` yields, from a child process.

    `what` names the kind of file in sentences ("The PDF ..."). The stream is copied to a temporary file
    before anything is yielded. Closing the iterator ends the child. Raises Refused: the parser's own,
    UPLOAD_TOO_LARGE, FILE_DAMAGED after a crash, FILE_TOO_COMPLEX at a limit.
    """
    with kept(stream, what) as file:
        yield from run_on(parser, file, what=what, limits=limits, **options)


def run_on(
    parser: str, file: BinaryIO, *, what: str, limits: Limits = Limits(), **options: object
) -> Iterator[Item]:
    """Do what `run` does on a file of the disk, from its start."""
    receive, send = os.pipe()
    try:
        pid = _SERVER.start({"parser": parser, "options": options, "limits": asdict(limits)}, file, send)
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
        data = os.read(pipe, COPY_BYTES)
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


def _encoded(item: Item) -> tuple[bytes, bytes, bytes]:
    # A lone surrogate, which a damaged file may hold, becomes a question mark.
    if isinstance(item, Section):
        head = json.dumps([item.page, [_clean(heading) for heading in item.headings]])
        return SECTION, head.encode(), item.text.encode("utf-8", "replace")
    if isinstance(item, Image):
        return IMAGE, json.dumps([item.format, item.page]).encode(), item.data
    return ROW, b"null", orjson.dumps({_clean(name): _clean(cell) for name, cell in item.items()})


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


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
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._channel = ours
        return ours


_SERVER: Final = _Server()
atexit.register(_SERVER.stop)


def _serve(channel: socket.socket) -> tuple[dict[str, Any], int, int]:
    """Answer the parent for ever. Only a forked child comes back, with its job, source and pipe."""
    while True:
        message, files, _, _ = socket.recv_fds(channel, 1 << 16, 2)
        if not message:
            sys.exit()
        job = json.loads(message)
        if "wait" in job:
            try:
                _, status = os.waitpid(job["wait"], 0)
            except ChildProcessError:  # a child of a server that was killed, and so was the child
                status = signal.SIGKILL
            channel.send(str(int(status)).encode())
            continue
        importlib.import_module(job["parser"])  # once; the children find it imported
        pid = os.fork()
        if pid == 0:
            channel.close()
            return job, files[0], files[1]
        for file in files:
            os.close(file)
        channel.send(str(pid).encode())


def _work(job: dict[str, Any], source: int, pipe: int) -> NoReturn:
    """Run the parser within its limits. What it does not foresee ends the process, which tells the parent."""
    _limit(Limits(**job["limits"]))
    parser = importlib.import_module(job["parser"])
    try:
        with os.fdopen(source, "rb", closefd=False) as file:
            for item in _merged(parser.parse(file, **job["options"])):
                _send(pipe, *_encoded(item))
    except Refused as refused:
        _send(pipe, REFUSED, json.dumps(refused.code).encode(), refused.message.encode("utf-8", "replace"))
    except (MemoryError, RecursionError):
        os._exit(EXHAUSTED)
    _send(pipe, END, b"", b"")
    os._exit(0)  # without the clean-up of libraries, in which a hostile document may hang


def _merged(items: Iterator[Item]) -> Iterator[Item]:
    """Join the sections of one place up to SECTION_CHARS: a frame for each paragraph would be slow."""
    waiting: list[Section] = []
    size = 0
    for item in items:
        section = item if isinstance(item, Section) else None
        same = section and waiting and (section.page, section.headings) == _place(waiting[0])
        if waiting and (not same or size >= SECTION_CHARS):
            yield Section("".join(each.text for each in waiting), *_place(waiting[0]))
            waiting, size = [], 0
        if section is None:
            yield item
        else:
            waiting.append(section)
            size += len(section.text)
    if waiting:
        yield Section("".join(each.text for each in waiting), *_place(waiting[0]))


def _place(section: Section) -> tuple[int | None, tuple[str, ...]]:
    return section.page, section.headings


def _limit(limits: Limits) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 not a path of ours
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    memory = mapped + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _send(pipe: int, kind: bytes, head: bytes, body: bytes) -> None:
    frame = memoryview(FRAME.pack(kind, len(head), len(body)) + head + body)
    while frame:
        frame = frame[os.write(pipe, frame) :]


def _report(kind: type[BaseException], _: BaseException, trace: Any) -> None:
    """Log where a parser failed, but not what it said: that may quote the document."""
    where = []
    while trace is not None:
        where.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    sys.stderr.write(f"parser failed: {kind.__name__} at {' '.join(where[-4:])}\n")


if __name__ == "__main__":
    sys.excepthook = _report
    _work(*_serve(socket.socket(fileno=int(sys.argv[1]))))
