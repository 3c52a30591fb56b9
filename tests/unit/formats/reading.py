"""Reading an upload whole, for tests."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Section, Table, Text


class Dripping(io.RawIOBase):
    """A stream that cannot seek and gives a few bytes at a time, whatever it is asked for."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = io.BytesIO(data)
        self._sizes = sizes
        self._turn = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        self._turn += 1
        most = self._sizes[self._turn % len(self._sizes)]
        return self._data.read(most if size is None or size < 0 else min(size, most))


class Repeating(io.RawIOBase):
    """A stream of a start, a part over and over, and an end, that never holds more than a part."""

    def __init__(self, start: bytes, part: bytes, times: int, end: bytes = b"") -> None:
        self._parts = self._all(start, part, times, end)
        self._rest = b""

    @staticmethod
    def _all(start: bytes, part: bytes, times: int, end: bytes) -> Iterator[bytes]:
        yield start
        for _ in range(times):
            yield part
        yield end

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0, "a stream of any length is not read whole"
        while not self._rest:
            following = next(self._parts, None)
            if following is None:
                return b""
            self._rest = following
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


def sections(data: bytes, name: str) -> list[Section]:
    content = formats.read(io.BytesIO(data), name, size=len(data), rows=False)
    assert isinstance(content, Text)
    return list(content.sections)


def text(data: bytes, name: str = "a.txt") -> str:
    return "".join(section.text for section in sections(data, name))


def rows(data: bytes, name: str) -> list[dict[str, Any]]:
    content = formats.read(io.BytesIO(data), name, size=len(data), rows=True)
    assert isinstance(content, Table)
    return [dict(row) for row in content.rows]


def refusal(data: bytes, name: str, *, by_row: bool = False) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        (rows if by_row else sections)(data, name)
    return caught.value.code, caught.value.message
