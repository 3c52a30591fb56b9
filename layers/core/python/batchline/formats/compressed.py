"""Gzip: what is inside decides, within bounds of how much it may unpack to."""

import io
import zlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import BinaryIO, Final, cast

from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats.content import Content
from batchline.formats.detection import HEAD_BYTES, STREAMED, Format, detect
from batchline.formats.streams import read_exactly, rewound

MAX_BYTES: Final = 50_000_000_000
# Logs and tables seldom shrink more than fifty times; a bomb of zeros shrinks a thousand times.
MAX_RATIO: Final = 200
FREE_BYTES: Final = 100_000_000  # so much may be unpacked at any ratio
MAX_SEEKABLE_BYTES: Final = 64_000_000  # of a format that cannot be read as a stream
READ_BYTES: Final = 65_536
GZIP: Final = 31  # the largest window, with gzip's header


def read(stream: BinaryIO, name: str, *, size: int, rows: bool, columns: Sequence[str] = ()) -> Content:
    path = PurePosixPath(name)
    inner = path.stem if path.suffix.lower() in {".gz", ".gzip"} else path.name
    unpacked = cast("BinaryIO", Unpacked(stream))
    head = read_exactly(unpacked, HEAD_BYTES)
    kind = detect(head, inner)
    if kind is Format.GZIP:
        raise Refused(
            Code.FILE_TOO_COMPLEX, "The file is compressed twice. Unpack it once and upload it again."
        )
    again = rewound(unpacked, head)
    if kind not in STREAMED:
        again, size = _seekable(again)
    return formats.read(again, inner, size=size, rows=rows, columns=columns)


def _seekable(stream: BinaryIO) -> tuple[BinaryIO, int]:
    """Take a stream into memory, where it can be read in any order, and tell its bytes."""
    data = read_exactly(stream, MAX_SEEKABLE_BYTES + 1)
    if len(data) > MAX_SEEKABLE_BYTES:
        raise Refused(
            Code.UPLOAD_TOO_LARGE,
            f"The file unpacks to more than {MAX_SEEKABLE_BYTES:,} bytes of a format that is not read as a "
            "stream. Upload it without compression.",
        )
    return io.BytesIO(data), len(data)


class Unpacked(io.RawIOBase):
    """The content of a gzip stream, also of several after each other. Cannot seek.

    `read` raises Refused with FILE_DAMAGED, or FILE_TOO_COMPLEX where a bound is passed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._member = zlib.decompressobj(GZIP)
        self._taken = self._given = 0
        self._packed = b""
        self._begun = False  # whether the current member has been read from

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(READ_BYTES), b""))
        while True:
            ended = not self._packed and not self._more()
            if not self._begun:
                self._packed = self._packed.lstrip(b"\0")  # tapes pad with zeros
                if ended:
                    return b""
                if not self._packed:
                    continue
            try:
                block = self._member.decompress(self._packed, size)
            except zlib.error as error:
                raise self._damaged("is damaged") from error
            self._begun = True
            self._packed = self._member.unconsumed_tail
            if self._member.eof:
                self._packed = self._member.unused_data
                self._member = zlib.decompressobj(GZIP)
                self._begun = False
            elif ended and not block:
                raise self._damaged("breaks off")
            if block:
                self._bound(len(block))
                return block

    def _more(self) -> bool:
        """Read more of the packed bytes; tell whether there are any."""
        self._packed = self._stream.read(READ_BYTES)
        self._taken += len(self._packed)
        return bool(self._packed)

    def _damaged(self, what: str) -> Refused:
        return Refused(
            Code.FILE_DAMAGED,
            f"The gzip file {what} at or before byte {self._taken:,}. Compress it anew and upload it again.",
        )

    def _bound(self, given: int) -> None:
        self._given += given
        if self._given > max(FREE_BYTES, self._taken * MAX_RATIO) or self._given > MAX_BYTES:
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"The gzip file unpacks to more than {self._given:,} bytes from {self._taken:,}, which is "
                "what an attack looks like. Upload its content without compression.",
            )
