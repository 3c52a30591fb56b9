"""What an upload is and the text in it. The content decides first, the name second."""

import codecs
import csv
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final

from resiliparse.extract.html2text import extract_plain_text

from batchline.errors import Code, Refused

SNIFF_BYTES: Final = 4096
# Bytes that no text has: the C0 controls but tab, line feed, form feed, carriage return and escape.
CONTROLS: Final = frozenset(range(32)) - {9, 10, 12, 13, 27}
BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's mark does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The first bytes of what people upload by mistake, and what it is called.
MAGIC: Final = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip archive or an Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
)
# A cell may hold a whole document; the upload's size is the limit.
csv.field_size_limit(1_000_000_000)
READABLE: Final = "plain text, Markdown, HTML, CSV, TSV and JSONL"


class Format(StrEnum):
    """The kinds of upload that are read."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


SUFFIXES: Final[Mapping[str, Format]] = {
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}


def decode(data: bytes) -> str:
    """Turn the bytes of an upload into text with line feeds.

    Raises Refused with UPLOAD_EMPTY, FORMAT_UNSUPPORTED, TEXT_TRUNCATED or TEXT_ENCODING.
    """
    if not data:
        raise Refused(Code.UPLOAD_EMPTY, "The file has 0 bytes. Upload it again with its content.")
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8":
        _refuse_binary(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _undecodable(error, data) from error
    if encoding == "utf-16" and any(ord(sign) in CONTROLS for sign in text[:SNIFF_BYTES]):
        raise Refused(
            Code.FORMAT_UNSUPPORTED,
            f"The file begins like {encoding.upper()} text, but it is binary. "
            f"Convert it: {READABLE} are read.",
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def detect(name: str, text: str) -> Format:
    """Decide the format of a decoded upload by its content, then by its name."""
    start = text[:SNIFF_BYTES].lstrip().lower()
    if start.startswith(("<!doctype html", "<html")):
        return Format.HTML
    return SUFFIXES.get(PurePosixPath(name).suffix.lower(), Format.TEXT)


def plain_text(text: str, kind: Format) -> str:
    """Extract what a person reads. Raises Refused(TEXT_MISSING) when nothing is left."""
    if kind is Format.HTML:
        # The whole page: a guess at the main content loses half of some documents.
        text = extract_plain_text(text, main_content=False, alt_texts=False, preserve_formatting=True)
    if not text.strip():
        raise Refused(
            Code.TEXT_MISSING,
            "The file holds no text, only space or markup. Upload a file that has text in it.",
        )
    return text


def rows(text: str, kind: Format) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table: columns by name.

    Raises Refused(ROWS_INVALID) with the line, FORMAT_UNSUPPORTED for what is not a table.
    """
    if kind is Format.JSONL:
        yield from _json_rows(text)
    elif kind in {Format.CSV, Format.TSV}:
        yield from _separated_rows(text, "\t" if kind is Format.TSV else ",")
    else:
        raise Refused(
            Code.FORMAT_UNSUPPORTED,
            f"`chunk: {{by: row}}` reads CSV, TSV and JSONL, but this is {kind}. Name the file by what "
            "it is (.csv, .tsv, .jsonl) or use a pipeline that chunks by tokens.",
        )


def _refuse_binary(data: bytes) -> None:
    for magic, what in MAGIC:
        if data.startswith(magic):
            raise Refused(
                Code.FORMAT_UNSUPPORTED,
                f"The file is {what}, which is not read yet. Convert it: {READABLE} are read.",
            )
    position = next((i for i, byte in enumerate(data[:SNIFF_BYTES]) if byte in CONTROLS), None)
    if position is None:
        return
    raise Refused(
        Code.FORMAT_UNSUPPORTED,
        f"The file is binary (byte {position} is 0x{data[position]:02x}). Convert it: {READABLE} are read.",
    )


def _undecodable(error: UnicodeDecodeError, data: bytes) -> Refused:
    position = error.start + len(data) - len(error.object)  # UTF-8's mark is not counted in the error
    if error.reason in {"unexpected end of data", "truncated data"}:
        return Refused(
            Code.TEXT_TRUNCATED,
            f"The file ends in the middle of a character (byte {position} of {len(data)}): its end "
            "is missing. Upload the whole file.",
        )
    return Refused(
        Code.TEXT_ENCODING,
        f"Byte {position} (0x{data[position]:02x}) is not {error.encoding.upper()}. "
        "Save the file as UTF-8 and upload it again.",
    )


def _json_rows(text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise _bad_row(number, f"is not JSON ({error.msg} at column {error.colno})") from error
        except (ValueError, RecursionError) as error:
            # What the grammar allows and Python does not: numbers of thousands of digits, deep nesting.
            raise _bad_row(number, "has a number that is too long or lists nested too deeply") from error
        if not isinstance(row, dict):
            raise _bad_row(number, "is not a JSON object")
        yield row


def _separated_rows(text: str, separator: str) -> Iterator[dict[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next(filter(None, reader), [])
        if repeated := {name for name in header if header.count(name) > 1}:
            raise _bad_row(reader.line_num, f"names the column {min(repeated)!r} twice")
        for cells in reader:
            if not cells:
                continue
            if len(cells) > len(header):
                raise _bad_row(reader.line_num, f"has {len(cells)} cells, but the header has {len(header)}")
            yield dict(itertools.zip_longest(header, cells, fillvalue=""))
    except csv.Error as error:
        raise _bad_row(reader.line_num, f"is not CSV ({error})") from error


def _bad_row(line: int, what: str) -> Refused:
    return Refused(Code.ROWS_INVALID, f"Line {line} {what}. Correct it and upload the file again.")
