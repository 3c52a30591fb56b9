"""Which format an upload has, by its first bytes and then by its name."""

import posixpath
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from batchline.errors import Code, Refused

HEAD_BYTES: Final = 8192


class Format(StrEnum):
    """The kinds of upload that are known."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    GZIP = "gzip"
    ZIP = "zip"
    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    EML = "eml"
    IMAGE = "image"
    COMPOUND = "an old or encrypted Office document"


# What is read once, forwards, in memory that does not grow.
STREAMED: Final = frozenset(
    {Format.TEXT, Format.MARKDOWN, Format.HTML, Format.CSV, Format.TSV, Format.JSON, Format.JSONL}
)
MAGIC: Final = (
    (b"\x1f\x8b", Format.GZIP),
    (b"PAR1", Format.PARQUET),
    (b"\xd0\xcf\x11\xe0", Format.COMPOUND),
    (b"\x89PNG\r\n\x1a\n", Format.IMAGE),
    (b"\xff\xd8\xff", Format.IMAGE),
    (b"GIF87a", Format.IMAGE),
    (b"GIF89a", Format.IMAGE),
)
# The first bytes of what people upload by mistake, where they stand, what it is and what to do.
UNREADABLE: Final = (
    (0, b"{\\rtf", "an RTF document", "Save it as .docx"),
    (0, b"Rar!\x1a\x07", "a RAR archive", "Upload a zip of the documents"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Upload a zip of the documents"),
    (257, b"ustar", "a tar archive", "Upload a zip of the documents"),
    (0, b"BZh", "compressed with bzip2", "Compress it with gzip"),
    (0, b"\xfd7zXZ", "compressed with xz", "Compress it with gzip"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "Compress it with gzip"),
)
# A part that every file of the kind has. Office programs write it among the first entries; where they
# do not, the name decides, and last the directory at the end of the archive, which its reader sees.
OFFICE: Final = (
    (b"word/", Format.DOCX),
    (b"ppt/", Format.PPTX),
    (b"xl/", Format.XLSX),
)
SUFFIXES: Final[Mapping[str, Format]] = {
    ".txt": Format.TEXT,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".eml": Format.EML,
}
OFFICE_SUFFIXES: Final[Mapping[str, Format]] = {
    ".docx": Format.DOCX,
    ".docm": Format.DOCX,
    ".pptx": Format.PPTX,
    ".pptm": Format.PPTX,
    ".xlsx": Format.XLSX,
    ".xlsm": Format.XLSX,
}
# Comments are taken whole: to try other ends for each would take for ever on some files.
_HTML: Final = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?(?>(?:(?><!--.*?-->)\s*+)*+)<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
# A field of a letter's head, with which mail begins: one of those that every mail has.
_MAIL: Final = re.compile(
    rb"(?:Return-Path|Received|Delivered-To|Message-ID|MIME-Version|DKIM-Signature): ", re.IGNORECASE
)
_OBJECT_LINE: Final = re.compile(rb"\s*\{[^\r\n]*\}[ \t]*\r?\n\s*\{")
# Names of source code, which may begin as another format does.
_SOURCE: Final = re.compile(
    r"\.(?:py|[mc]?js|tsx?|jsx|vue|svelte|php|erb|ejs|hbs|jsp|aspx?|cshtml|java|kt|scala|c|h|cc|cpp|hpp|cs|go|rs"
    r"|rb|pl|lua|r|m|swift|sh|sql|css|scss|tex|rst|xml|xsl|svg|ya?ml|toml|ini|cfg|conf|diff|patch|log)"
)


def detect(head: bytes, name: str) -> Format:
    """Decide the format by the first bytes of an upload, `HEAD_BYTES` or all there are, and its name.

    Raises Refused with UPLOAD_EMPTY, or FORMAT_UNSUPPORTED for a known kind that is not read.
    """
    if not head:
        raise Refused(Code.UPLOAD_EMPTY, "The file has 0 bytes. Upload it again with its content.")
    suffix = posixpath.splitext(name)[1].lower()
    for position, magic, what, action in UNREADABLE:
        if head.startswith(magic, position):
            raise Refused(Code.FORMAT_UNSUPPORTED, f"The file is {what}, which is not read. {action}.")
    if head.startswith(b"PK\x03\x04"):
        return _packed(head, suffix)
    if head.startswith(b"RIFF") and head.startswith(b"WEBP", 8):
        return Format.IMAGE
    if b"%PDF-" in head[:1024]:  # where readers look for it
        return Format.PDF
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    return _written(head.removeprefix(b"\xef\xbb\xbf"), suffix)


def _written(head: bytes, suffix: str) -> Format:
    """Decide among the formats that are text."""
    if _SOURCE.fullmatch(suffix):
        return Format.TEXT
    if _HTML.match(head):
        return Format.HTML
    kind = SUFFIXES.get(suffix)
    if kind in {None, Format.JSON} and _OBJECT_LINE.match(head):
        return Format.JSONL
    if kind is None:
        return Format.EML if _MAIL.match(head) else Format.TEXT
    return kind


def _packed(head: bytes, suffix: str) -> Format:
    for part, kind in OFFICE:
        if part in head:
            return kind
    return OFFICE_SUFFIXES.get(suffix, Format.ZIP)
