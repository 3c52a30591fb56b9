"""HTML: the whole page as a person reads it."""

from typing import BinaryIO

from resiliparse.extract.html2text import extract_plain_text

from batchline.formats import encoding
from batchline.formats.content import Section, Text


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    page = "".join(encoding.decode(stream))
    # The whole page: a guess at the main content loses half of some documents.
    text = extract_plain_text(page, main_content=False, alt_texts=False, preserve_formatting=True)
    return Text(iter([Section(text)]))
