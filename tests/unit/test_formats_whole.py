import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from batchline.errors import Code, Refused
from batchline.formats import whole as formats
from batchline.formats.whole import Format
from hypothesis import given
from hypothesis import strategies as st

TEXT = "é、日本語 and 😀"


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        formats.decode(data)
    return caught.value


@contextmanager
def may_be_refused(*codes: Code) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if refused.code not in codes:
            raise


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings_are_read(encoding: str) -> None:
    assert formats.decode(TEXT.encode(encoding)) == TEXT


@pytest.mark.parametrize(("mark", "encoding"), [("\ufeff", "utf-16-be"), ("\ufeff", "utf-32-be")])
def test_big_endian_marks_are_read(mark: str, encoding: str) -> None:
    assert formats.decode((mark + TEXT).encode(encoding)) == TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_line_ends_become_line_feeds(encoding: str) -> None:
    assert formats.decode("a\r\nb\rc\nd\r\n\r\n".encode(encoding)) == "a\nb\nc\nd\n\n"


def test_an_empty_upload_is_refused() -> None:
    assert refusal(b"").code == Code.UPLOAD_EMPTY


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7 ...", "a PDF"),
        (b"PK\x03\x04....", "a zip archive or an Office document"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"\x89PNG\r\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"GIF89a", "a GIF image"),
        (b"PAR1", "a Parquet file"),
        (b"\xd0\xcf\x11\xe0", "an old Office document"),
        (b"text\x00more", "binary (byte 4 is 0x00)"),
        ("no mark".encode("utf-16-le"), "binary (byte 1 is 0x00)"),
    ],
)
def test_binary_files_are_called_by_their_name(data: bytes, what: str) -> None:
    found = refusal(data)
    assert found.code == Code.FORMAT_UNSUPPORTED
    assert f"The file is {what}" in found.message
    assert "CSV" in found.message


def test_control_characters_of_text_are_no_binary() -> None:
    assert formats.decode(b"a\tb\fc\x1b[0m\n") == "a\tb\fc\x1b[0m\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("character", ["é", "日", "😀"])  # of 2, 3 and 4 bytes
def test_a_text_that_was_cut_in_a_character_is_called_truncated(mark: bytes, character: str) -> None:
    whole = mark + b"ab" + character.encode()
    for cut in range(1, len(character.encode())):
        found = refusal(whole[:-cut])
        assert found.code == Code.TEXT_TRUNCATED
        start = len(mark) + 2
        assert f"(byte {start} of {len(whole) - cut})" in found.message


@pytest.mark.parametrize(
    ("text", "cuts"),
    [("ab", [1, 3]), ("a😀", [1, 2, 3])],  # half a unit; half a pair as well
)
def test_utf_16_that_was_cut_is_called_truncated(text: str, cuts: list[int]) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        whole = ("\ufeff" + text).encode(encoding)
        for cut in cuts:
            assert refusal(whole[:-cut]).code == Code.TEXT_TRUNCATED


@pytest.mark.parametrize(
    ("data", "byte"),
    [
        (b"caf\xe9 au lait", "Byte 3 (0xe9) is not UTF-8"),  # Latin-1
        (b"\xef\xbb\xbfcaf\xe9 au lait", "Byte 6 (0xe9) is not UTF-8"),
        ("契約".encode("shift_jis") + b" end", "Byte 0 (0x8c) is not UTF-8"),
        (b"a\xed\xa0\x80b", "Byte 1 (0xed) is not UTF-8"),  # half of a pair
        (b"a\xc0\x80b", "Byte 1 (0xc0) is not UTF-8"),  # overlong
        (b"\xff\xfea\x00\x00\xdcb\x00", "Byte 4 (0x00) is not UTF-16"),
    ],
)
def test_another_encoding_is_refused_with_its_first_byte(data: bytes, byte: str) -> None:
    found = refusal(data)
    assert found.code == Code.TEXT_ENCODING
    assert byte in found.message


@given(
    st.binary(max_size=60), st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0"])
)
def test_any_bytes_are_read_or_refused(data: bytes, mark: bytes) -> None:
    with may_be_refused(Code.UPLOAD_EMPTY, Code.FORMAT_UNSUPPORTED, Code.TEXT_TRUNCATED, Code.TEXT_ENCODING):
        text = formats.decode(mark + data)
        assert "\r" not in text
        text.encode()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=["Cc"]), min_size=1))
def test_every_text_survives_every_encoding(text: str) -> None:
    assert formats.decode(b"\xef\xbb\xbf" + text.encode()) == text
    assert formats.decode(text.encode("utf-16")) == text


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.txt", "x", Format.TEXT),
        ("a", "x", Format.TEXT),
        ("a.MD", "x", Format.MARKDOWN),
        ("a.b/c.markdown", "x", Format.MARKDOWN),
        ("a.htm", "x", Format.HTML),
        ("a.csv", "a,b", Format.CSV),
        ("a.tsv", "a", Format.TSV),
        ("a.jsonl", "{}", Format.JSONL),
        ("a.ndjson", "{}", Format.JSONL),
        ("a.csv.bak", "a,b", Format.TEXT),
        # The content decides first.
        ("a.txt", "<!DOCTYPE html><p>x", Format.HTML),
        ("a.csv", "\n  <HTML lang=ja>", Format.HTML),
        ("a.txt", "see <html>", Format.TEXT),
    ],
)
def test_formats_are_known_by_content_then_by_name(name: str, text: str, kind: Format) -> None:
    assert formats.detect(name, text) is kind


PAGE = """<!doctype html><html><head><title>Not said</title><style>p {color: red}</style>
<script>alert("no")</script></head><body>
<h1>Annual report &amp; outlook</h1>
<p>第一条 契約は&#12289;両者の合意による。</p>
<table><tr><th>Year</th><th>Sales</th></tr><tr><td>2025</td><td>1&nbsp;200&euro;</td></tr></table>
<ul><li>first</li><li>second &lt;b&gt;</li></ul>
<!-- a comment -->
</body></html>"""


def test_a_page_becomes_what_a_person_reads() -> None:
    text = formats.plain_text(PAGE, Format.HTML)
    lines = [" ".join(line.split()) for line in text.split("\n") if line.strip()]
    assert lines == [
        "Annual report & outlook",
        "第一条 契約は、両者の合意による。",
        "Year Sales",
        "2025 1 200€",
        "• first",
        "• second <b>",
    ]


def test_a_page_nested_without_end_is_read() -> None:
    assert formats.plain_text("<html>" + "<div>" * 100_000 + "deep", Format.HTML).strip() == "deep"


@pytest.mark.parametrize(
    ("text", "kind"),
    [(" \n\t\u3000", Format.TEXT), ("", Format.TEXT), ("<html><script>x</script></html>", Format.HTML)],
)
def test_a_file_without_text_is_refused(text: str, kind: Format) -> None:
    with pytest.raises(Refused) as caught:
        formats.plain_text(text, kind)
    assert caught.value.code == Code.TEXT_MISSING


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_any_markup_is_read_or_refused(inner: str) -> None:
    with may_be_refused(Code.TEXT_MISSING):
        assert formats.plain_text(f"<html><table><td>{inner}", Format.HTML).strip()


def table(text: str, kind: Format = Format.CSV) -> list[dict[str, object]]:
    return list(formats.rows(text, kind))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n3,4", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ('a,b\n"x\ny","q""q"\n', [{"a": "x\ny", "b": 'q"q'}]),
        ("a,b\n1\n", [{"a": "1", "b": ""}]),  # spreadsheets leave out empty cells at the end
        ("a,b\n\n1,2\n\n", [{"a": "1", "b": "2"}]),
        ("\n\na,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("a,b\n", []),
        ("", []),
        ("名前,金額\n山田,1000\n", [{"名前": "山田", "金額": "1000"}]),
    ],
)
def test_tables_are_read(text: str, expected: list[dict[str, str]]) -> None:
    assert table(text) == expected


def test_tabs_separate_as_well() -> None:
    assert table('a\tb\n1,5\t"x\ty"\n', Format.TSV) == [{"a": "1,5", "b": "x\ty"}]


def test_a_cell_may_hold_a_whole_document() -> None:
    assert table('a,b\n1,"' + "x" * 500_000 + '"\n')[0]["b"] == "x" * 500_000


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("a,b\n1,2,3\n", Format.CSV, "Line 2 has 3 cells, but the header has 2"),
        ('a,b\n"x\ny",1\n1,2,3\n', Format.CSV, "Line 4 has 3 cells"),
        ("a,b,a\n", Format.CSV, "Line 1 names the column 'a' twice"),
        ("\n\na,a\n", Format.CSV, "Line 3 names the column 'a' twice"),
        ('a,b\n1,"2\n', Format.CSV, "Line 2 is not CSV (unexpected end of data)"),
        ('a,b\n1,"2"x\n', Format.CSV, "Line 2 is not CSV (',' expected after '\"')"),
        ('{"a": 1}\n\n{"a": }\n', Format.JSONL, "Line 3 is not JSON (Expecting value at column 7)"),
        ("[1]\n", Format.JSONL, "Line 1 is not a JSON object"),
        ('{"a": 1}\n"text"\n', Format.JSONL, "Line 2 is not a JSON object"),
        ('{"a":' + "[" * 200_000, Format.JSONL, "Line 1 has a number that is too long or lists nested"),
        ('{"a": ' + "1" * 5_000 + "}", Format.JSONL, "Line 1 has a number that is too long"),
    ],
)
def test_a_bad_row_is_named_by_its_line(text: str, kind: Format, said: str) -> None:
    with pytest.raises(Refused) as caught:
        table(text, kind)
    assert caught.value.code == Code.ROWS_INVALID
    assert said in caught.value.message


def test_json_lines_keep_their_kinds() -> None:
    assert table('{"a": 12345678901234567890, "b": null}\n  \n{"c": "\\u00e9"}', Format.JSONL) == [
        {"a": 12345678901234567890, "b": None},
        {"c": "é"},
    ]


@pytest.mark.parametrize("kind", [Format.TEXT, Format.MARKDOWN, Format.HTML])
def test_what_is_no_table_has_no_rows(kind: Format) -> None:
    with pytest.raises(Refused) as caught:
        table("a,b", kind)
    assert caught.value.code == Code.FORMAT_UNSUPPORTED
    assert f"but this is {kind.value}" in caught.value.message


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)


@given(
    st.lists(st.text("abcdefg ", min_size=1, max_size=4), min_size=1, max_size=4, unique=True),
    st.lists(st.lists(CELLS, min_size=4, max_size=4), max_size=5),
    st.sampled_from([(Format.CSV, ","), (Format.TSV, "\t")]),
)
def test_what_a_spreadsheet_wrote_is_read(
    header: list[str], cells: list[list[str]], form: tuple[Format, str]
) -> None:
    kind, separator = form
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([header, *(row[: len(header)] for row in cells)])
    text = formats.decode(b"\xef\xbb\xbf" + file.getvalue().encode())
    assert table(text, kind) == [dict(zip(header, row, strict=False)) for row in cells]


@given(st.text(max_size=60), st.sampled_from([Format.CSV, Format.TSV, Format.JSONL]))
def test_any_text_is_a_table_or_refused(text: str, kind: Format) -> None:
    with may_be_refused(Code.ROWS_INVALID):
        for row in formats.rows(text, kind):
            assert isinstance(row, dict)


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.none()), max_size=4))
def test_json_lines_are_read_back(rows: list[dict[str, object]]) -> None:
    text = "\n".join(json.dumps(row) for row in rows)
    assert table(text, Format.JSONL) == rows


def test_bytes_that_only_begin_like_utf16_are_binary() -> None:
    with pytest.raises(Refused) as refused:
        formats.decode(b"\xff\xfe" + bytes([1, 0]) * 8)
    assert refused.value.code == Code.FORMAT_UNSUPPORTED
    assert "binary" in refused.value.message
