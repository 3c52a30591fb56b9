"""PDF: text by the page in memory that does not grow, or pictures of the pages where it is a scan."""

import itertools
from collections.abc import Iterator
from typing import BinaryIO, Final

from batchline.formats import isolated
from batchline.formats.content import Image, Scan, Section, Text

PARSER: Final = "batchline.formats.pdf_pages"


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text | Scan:  # noqa: ARG001
    """Read a PDF as text, or as pictures where it is a scan. Raises Refused, also from the iterator."""
    found = pages(stream)
    first = next(found, None)
    if isinstance(first, Image):
        return Scan(item for item in itertools.chain([first], found) if isinstance(item, Image))
    start = [] if first is None else [first]
    return Text(item for item in itertools.chain(start, found) if isinstance(item, Section))


def pages(stream: BinaryIO, *, first: int = 1) -> Iterator[Section | Image]:
    """Yield the text or the pictures of the pages from `first` on, the same ones wherever it starts."""
    for item in isolated.run(PARSER, stream, what="PDF", first=first):
        if isinstance(item, Section | Image):
            yield item
