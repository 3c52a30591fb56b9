"""Uploads larger than the memory: what is held does not grow with what is read."""

import tracemalloc
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Table, Text

from tests.unit.formats.reading import Repeating

PART = 65_536
MEGABYTES = 1_000_000


def found(stream: Repeating, name: str, *, rows: bool) -> Iterator[Any]:
    content = formats.read(stream, name, size=1 << 34, rows=rows)  # type: ignore[arg-type]
    assert isinstance(content, Text | Table)
    return content.sections if isinstance(content, Text) else content.rows


def peak(stream: Repeating, name: str, *, rows: bool = False) -> int:
    tracemalloc.start()
    try:
        deque(found(stream, name, rows=rows), maxlen=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def filled(line: bytes) -> bytes:
    return line * (PART // len(line))


@pytest.mark.parametrize(
    ("name", "rows", "start", "line", "end"),
    [
        ("a.txt", False, b"", "吾輩は猫である。\n".encode(), b""),
        ("a.txt", False, b"", "吾輩は猫である。\n".encode("cp932"), b""),
        ("a.txt", False, b"", b"one line without an end ", b""),
        ("a.md", False, b"# A\n", b"## B\nSome prose that goes on for a while.\n", b""),
        ("a.md", False, b"", b"one line without an end ", b""),
        ("a.csv", True, b"a,b\n", '1,"日\n本"\n'.encode(), b""),
        ("a.csv", False, b"a,b\n", b"1,2 and some more text that goes on\n", b""),
        ("a.jsonl", True, b"", '{"a": 1, "b": "日本 and some more"}\n'.encode(), b""),
        ("a.json", True, b"[", b'{"a": 1, "b": "text that goes on"},\n', b"{}]"),
        ("a.json", False, b'{"a": [', b'{"a": 1, "b": "text that goes on"},\n', b"1]}"),
        ("a.html", False, b"<html>", b"<div><p>Some prose that goes on for a while.</p></div>\n", b""),
    ],
)
def test_memory_does_not_grow_with_the_upload(
    name: str, rows: bool, start: bytes, line: bytes, end: bytes
) -> None:
    peak(Repeating(start, filled(line), 5, end), name, rows=rows)  # what is imported stays
    small = peak(Repeating(start, filled(line), 20, end), name, rows=rows)
    large = peak(Repeating(start, filled(line), 80, end), name, rows=rows)
    assert small < 12 * MEGABYTES
    assert large < small + 1 * MEGABYTES


@pytest.mark.parametrize(
    ("name", "start", "part"),
    [
        ("a.jsonl", b'{"a": "', b"x" * PART),
        ("a.jsonl", b"", "吾輩は".encode() * 7000),
        ("a.csv", b"a,b\n1,", b"x" * PART),
        ("a.csv", b"", b"x," * (PART // 2)),
        ("a.csv", b'a,b\n1,"', b"x" * PART + b"\n"),
        ("a.json", b'[{"a": "', b"x" * PART),
        ("a.json", b"[", b"[" * PART),
    ],
)
def test_a_line_of_a_gigabyte_is_refused_in_bounded_memory(name: str, start: bytes, part: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as caught:
            deque(found(Repeating(start, part, (1 << 30) // len(part)), name, rows=True), maxlen=0)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code in {Code.ROWS_INVALID, Code.FILE_TOO_COMPLEX}
    assert held < 120 * MEGABYTES
