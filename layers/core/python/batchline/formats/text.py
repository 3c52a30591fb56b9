"""Plain text and source code: as it is, in any encoding."""

from typing import BinaryIO

from batchline.formats import encoding
from batchline.formats.content import Section, Text


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001  (one shape for all readers)
    return Text(Section(text) for text in encoding.decode(stream))
