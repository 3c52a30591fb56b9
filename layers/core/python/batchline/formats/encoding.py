"""Bytes to text: any encoding, in constant memory."""

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from batchline.errors import Code, Refused

BLOCK_BYTES: Final = 262_144
BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's mark does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Bytes that no text has: the C0 controls but tab, line feed, form feed, carriage return and escape.
CONTROLS: Final = frozenset(range(32)) - {9, 10, 12, 13, 27}


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end: a socket gives what it has."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def decode(stream: BinaryIO) -> Iterator[str]:
    """Yield the text of a stream in blocks, with line feeds at the end of lines.

    Raises Refused with FORMAT_UNSUPPORTED, TEXT_TRUNCATED or TEXT_ENCODING.
    """
    block = read_exactly(stream, BLOCK_BYTES)
    mark, encoding = next((one for one in BYTE_ORDER_MARKS if block.startswith(one[0])), (b"", "utf-8"))
    if encoding == "utf-8":
        _refuse_binary(block)
    decoder = codecs.getincrementaldecoder(encoding)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    position = len(mark)
    block = block[len(mark) :]
    while block:
        following = read_exactly(stream, BLOCK_BYTES)
        waiting = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not following)
        except UnicodeDecodeError as error:
            raise _undecodable(error, position - waiting) from error
        yield newlines.decode(text, final=not following)
        position += len(block)
        block = following


def _refuse_binary(data: bytes) -> None:
    position = next((i for i, byte in enumerate(data[:4096]) if byte in CONTROLS), None)
    if position is not None:
        raise Refused(
            Code.FORMAT_UNSUPPORTED,
            f"The file is binary (byte {position} is 0x{data[position]:02x}) and of no kind that is read. "
            "Convert it to text or PDF.",
        )


def _undecodable(error: UnicodeDecodeError, start: int) -> Refused:
    position = start + error.start
    if error.reason in {"unexpected end of data", "truncated data", "incomplete multibyte sequence"}:
        return Refused(
            Code.TEXT_TRUNCATED,
            f"The file ends in the middle of a character (byte {position}): its end is missing. "
            "Upload the whole file.",
        )
    return Refused(
        Code.TEXT_ENCODING,
        f"Byte {position} (0x{error.object[error.start]:02x}) is not {error.encoding.upper()}. "
        "Save the file as UTF-8 and upload it again.",
    )
