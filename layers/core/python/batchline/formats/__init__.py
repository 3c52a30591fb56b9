"""What an upload is and what can be read in it. The content decides first, the name second."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Protocol, cast

from batchline.errors import Code, Refused
from batchline.formats.content import Archive, Content, Image, Member, Scan, Section, Table, Text
from batchline.formats.detection import HEAD_BYTES, Format, detect
from batchline.formats.streams import read_exactly, rewound

__all__ = [
    "Archive",
    "Content",
    "Format",
    "Image",
    "Member",
    "Scan",
    "Section",
    "Table",
    "Text",
    "detect",
    "read",
]

# The module that reads a format; imported only when an upload of the format comes.
READERS: Final[Mapping[Format, str]] = {
    Format.TEXT: "text",
    Format.MARKDOWN: "markdown",
    Format.HTML: "markup",
    Format.CSV: "delimited",
    Format.TSV: "delimited",
    Format.JSON: "json_document",
    Format.JSONL: "json_lines",
    Format.PARQUET: "parquet",
    Format.GZIP: "compressed",
    Format.PDF: "pdf",
    Format.DOCX: "word",
    Format.PPTX: "slides",
    Format.XLSX: "spreadsheet",
    Format.EML: "mail",
    Format.ZIP: "archive",
    Format.IMAGE: "image",
    Format.COMPOUND: "compound",
}
# What has rows, or holds something that may have.
TABLES: Final = frozenset(
    {
        Format.CSV,
        Format.TSV,
        Format.JSON,
        Format.JSONL,
        Format.PARQUET,
        Format.XLSX,
        Format.GZIP,
        Format.ZIP,
    }
)


# What takes the names of columns, which all other tables have in them.
NAMED: Final = frozenset({Format.CSV, Format.TSV, Format.GZIP})


class Reader(Protocol):
    """What each module of `READERS` is; those of `NAMED` take `columns` as well."""

    def read(self, stream: BinaryIO, name: str, *, size: int, rows: bool, **columns: Any) -> Content: ...


def read(stream: BinaryIO, name: str, *, size: int, rows: bool, columns: Sequence[str] = ()) -> Content:
    """Read an upload of `size` bytes from its start; `rows` asks for a table as rows, not as text.

    `columns` names those of CSV and TSV whose first line does not.
    Text and tables are read once, forwards, in constant memory: their stream need not be seekable.
    Raises Refused, also from the iterators of what it returns.
    """
    head = read_exactly(stream, HEAD_BYTES)
    kind = detect(head, name)
    if rows and kind not in TABLES:
        raise Refused(
            Code.FORMAT_UNSUPPORTED,
            f"`chunk: {{by: row}}` reads tables, but this is {kind}. Name the file by what it is "
            "(.csv, .tsv, .jsonl, .json) or use a pipeline that chunks by tokens.",
        )
    if kind not in READERS:
        raise Refused(Code.FORMAT_UNSUPPORTED, f"The file is {kind}, which is not read yet. Convert it.")
    reader = cast("Reader", importlib.import_module(f"{__name__}.{READERS[kind]}"))
    named = {"columns": columns} if columns and kind in NAMED else {}
    content = reader.read(rewound(stream, head), name, size=size, rows=rows, **named)
    match content:
        case Text(sections):
            return Text(_not_blank(sections))
        case Table(found):
            return Table(_not_empty(found))
        case _:
            return content


def _not_blank(sections: Iterator[Section]) -> Iterator[Section]:
    blank = True
    for section in sections:
        blank = blank and not section.text.strip()
        yield section
    if blank:
        raise Refused(
            Code.TEXT_MISSING,
            "The file holds no text, only space or markup. Upload a file that has text in it.",
        )


def _not_empty(rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for first in rows:
        yield first
        break
    else:
        raise Refused(Code.TEXT_MISSING, "The file has no rows. Upload a file that has some.")
    yield from rows
