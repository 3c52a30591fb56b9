"""Streams of bytes that give what they have, read block by block."""

import io
from typing import BinaryIO, cast


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end: a socket gives what it has."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def rewound(stream: BinaryIO, head: bytes) -> BinaryIO:
    """Give a stream as if `head`, its first bytes, had not been read yet."""
    if stream.seekable():
        stream.seek(0)
        return stream
    return cast("BinaryIO", _Rewound(head, stream))


class _Rewound(io.RawIOBase):
    """A stream behind bytes that were taken from it. Cannot seek."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        if not self._head:
            return self._rest.read(size)
        part, self._head = self._head[:size], self._head[size:]
        return part

    def readall(self) -> bytes:
        part, self._head = self._head, b""
        return part + self._rest.read()
