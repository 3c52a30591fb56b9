"""What is found in an upload: text, a table, a set of documents or a picture.

Named tuples: the server that parsers run in imports this, and with dataclasses its start takes a third
longer.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Literal, NamedTuple


class Section(NamedTuple):
    """A part of a text. All sections joined are the extracted text, blank lines included.

    `page` counts from 1 and is the slide of a presentation. `headings` is the path of headings that the
    part stands under, the outermost first; the line of a heading stands under that heading.
    """

    text: str
    page: int | None = None
    headings: tuple[str, ...] = ()


class Text(NamedTuple):
    """A document to read. The iterator raises Refused where the upload turns out to be bad."""

    sections: Iterator[Section]


class Table(NamedTuple):
    """Rows, columns by name. The iterator raises Refused where the upload turns out to be bad."""

    rows: Iterator[Mapping[str, Any]]


class Member(NamedTuple):
    """A document in an archive; `size` is in bytes, unpacked. `open` raises Refused."""

    name: str
    open: Callable[[], BinaryIO]
    size: int


class Archive(NamedTuple):
    """A set of documents. The iterator raises Refused where the upload turns out to be bad."""

    members: Iterator[Member]


class Image(NamedTuple):
    """A picture for a model that sees. `page` counts from 1 in a scanned document."""

    format: Literal["png", "jpeg", "webp", "gif"]
    data: bytes
    page: int | None = None


class Scan(NamedTuple):
    """A document of pictures, one per page. The iterator raises Refused where the upload turns out bad."""

    pages: Iterator[Image]


type Content = Text | Table | Archive | Image | Scan
