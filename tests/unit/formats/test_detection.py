"""The content decides first, the name second."""

import pytest
from batchline.errors import Code, Refused
from batchline.formats import Format, detect
from batchline.formats.detection import HEAD_BYTES

LINES = b'{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"text", "a.txt", Format.TEXT),
        (b"text", "a", Format.TEXT),
        (b"text", "a.unknown", Format.TEXT),
        (b"# a", "a.MD", Format.MARKDOWN),
        (b"a,b", "a.csv", Format.CSV),
        (b"a\tb", "a.tsv", Format.TSV),
        (b"[1]", "a.json", Format.JSON),
        (b'{"a": 1}', "a.json", Format.JSON),
        (LINES, "a.json", Format.JSONL),
        (LINES, "a.jsonl", Format.JSONL),
        (LINES, "a", Format.JSONL),
        (LINES, "a.txt", Format.TEXT),
        (b"<!DOCTYPE html>", "a.csv", Format.HTML),
        (b"\xef\xbb\xbf  <HTML lang=ja>", "a.pdf", Format.HTML),
        (b'<?xml version="1.0"?>\n<!-- x --><html xmlns="">', "a", Format.HTML),
        (b"<p>a", "a.html", Format.HTML),
        (b"<html>", "a.vue", Format.TEXT),
        (b'<?xml version="1.0"?><feed>', "a.xml", Format.TEXT),
        (b"# comment", "a.py", Format.TEXT),
        (b"%PDF-1.7", "a.txt", Format.PDF),
        (b"\r\n\r\n%PDF-1.4", "a", Format.PDF),
        (b"PK\x03\x04....[Content_Types].xml...xl/workbook.xml", "a.csv", Format.XLSX),
        (b"PK\x03\x04....word/document.xml", "a.zip", Format.DOCX),
        (b"PK\x03\x04....a.txt", "a.csv", Format.ZIP),
        (b"PK\x03\x04....", "a.pptx", Format.PPTX),
        (b"\x1f\x8b\x08", "a.csv", Format.GZIP),
        (b"PAR1", "a.csv", Format.PARQUET),
        (b"\x89PNG\r\n\x1a\n", "a.jpg", Format.IMAGE),
        (b"RIFF....WEBP", "a", Format.IMAGE),
        (b"Received: from a\r\n", "letter", Format.EML),
        (b"From: a\r\n", "a.eml", Format.EML),
    ],
)
def test_formats(head: bytes, name: str, kind: Format) -> None:
    assert detect(head, name) is kind


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"{\\rtf1", "an RTF document"),
        (b"Rar!\x1a\x07\x01", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (bytes(257) + b"ustar", "a tar archive"),
        (b"BZh9", "compressed with bzip2"),
        (b"\xfd7zXZ\x00", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    ],
)
def test_what_is_known_but_not_read_is_refused_by_its_name(head: bytes, what: str) -> None:
    with pytest.raises(Refused) as caught:
        detect(head, "a.txt")
    assert caught.value.code is Code.FORMAT_UNSUPPORTED
    assert what in caught.value.message


def test_nothing_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        detect(b"", "a.txt")
    assert caught.value.code is Code.UPLOAD_EMPTY


@pytest.mark.parametrize("part", [b"<!-- -->", b"<!--", b" ", b"<?xml", b'{"', b"{}", b"{"])
def test_a_hostile_head_is_decided_at_once(part: bytes) -> None:
    """With a search that tries every end of every comment this would not end."""
    assert detect((part * HEAD_BYTES)[:HEAD_BYTES], "a") is Format.TEXT
