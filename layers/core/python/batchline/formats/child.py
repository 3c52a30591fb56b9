"""The other side of `isolated`: the fork server, and the children that run parsers within limits.

It imports little, since it is started with a function's first document: none of what its parent needs.
"""

import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from batchline.errors import Refused
from batchline.formats.content import Image, Section

type Item = Section | Image | Mapping[str, Any]

SECTION_CHARS: Final = 16_384
# A frame: its kind, the bytes of its JSON head, the bytes of its body.
FRAME: Final = struct.Struct(">cII")
SECTION, IMAGE, ROW, REFUSED, END = b"S", b"I", b"R", b"X", b"."
# How a child says that it ran out of memory or depth; sysexits.h calls it a temporary failure.
EXHAUSTED: Final = 75


class Limits(NamedTuple):
    """What one document may take: bytes of memory, seconds of processor, seconds without a word."""

    memory_bytes: int = 800_000_000
    cpu_seconds: int = 600
    silence_seconds: float = 60


def _serve(channel: socket.socket) -> tuple[dict[str, Any], int, int]:
    """Answer the parent for ever. Only a forked child comes back, with its job, source and pipe."""
    while True:
        message, files, _, _ = socket.recv_fds(channel, 1 << 16, 2)
        if not message:
            os._exit(0)  # without the clean-up of libraries, which takes as long as loading them
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


def _encoded(item: Item) -> tuple[bytes, bytes, bytes]:
    # A lone surrogate, which a damaged file may hold, becomes a question mark.
    if isinstance(item, Section):
        head = json.dumps([item.page, [_clean(heading) for heading in item.headings]])
        return SECTION, head.encode(), item.text.encode("utf-8", "replace")
    if isinstance(item, Image):
        return IMAGE, json.dumps([item.format, item.page]).encode(), item.data
    import orjson  # noqa: PLC0415 - parsers of rows have it, the others are spared it

    return ROW, b"null", orjson.dumps({_clean(name): _clean(cell) for name, cell in item.items()})


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


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
