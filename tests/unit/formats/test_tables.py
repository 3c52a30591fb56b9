"""CSV, TSV, JSON Lines, JSON and Parquet: the same rows, as rows and as text."""

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import arro3.core
import arro3.io
import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Section, tables
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.reading import refusal, rows, sections, text

ROWS = [
    {"品名": "りんご", "価格": "120", "備考": "青森産、\n「ふじ」"},
    {"品名": "Pear", "価格": "3,5", "備考": ""},
]
CSV = '品名,価格,備考\nりんご,120,"青森産、\n「ふじ」"\nPear,"3,5",\n'
TSV = '品名\t価格\t備考\nりんご\t120\t"青森産、\n「ふじ」"\nPear\t3,5\t\n'
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
UPLOADS = [
    (CSV.encode(), "a.csv"),
    (CSV.encode("cp932"), "a.csv"),
    (CSV.encode("utf-8-sig"), "a.csv"),
    (CSV.replace("\n", "\r\n").encode(), "a.csv"),
    (CSV.replace(",", ";").replace("3;5", "3,5").replace('"3,5"', "3,5").encode(), "a.csv"),
    (("sep=|\n" + TSV.replace("\t", "|")).encode(), "a.csv"),
    (TSV.encode(), "a.tsv"),
    (TSV.encode("utf-16"), "a.csv"),
    (LINES.encode(), "a.jsonl"),
    (LINES.encode("euc_jp"), "a.ndjson"),
    (LINES.encode(), "a.json"),
    (LINES.encode(), "export"),
    (json.dumps(ROWS).encode(), "a.json"),
    (json.dumps(ROWS, indent=2, ensure_ascii=False).encode("utf-16-le"), "a.json"),
    ("\n".join(json.dumps(row, indent=1) for row in ROWS).encode(), "a.json"),
]


@pytest.mark.parametrize(("data", "name"), UPLOADS)
def test_every_kind_of_table_gives_the_same_rows(data: bytes, name: str) -> None:
    assert rows(data, name) == ROWS


def test_a_table_as_a_document_has_a_paragraph_a_row() -> None:
    expected = [
        Section("品名: りんご\n価格: 120\n備考: 青森産、\n「ふじ」\n\n"),
        Section("品名: Pear\n価格: 3,5\n備考: \n\n"),
    ]
    for data, name in UPLOADS[:-1]:  # objects after each other are rows only where rows are asked for
        assert sections(data, name) == expected


SIGNS = st.text(st.characters(codec="utf-8"))
CELLS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=5, max_size=5)
NAMES = st.text(st.characters(categories=["L"]), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SIGNS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SIGNS, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(NAMES, min_size=2, max_size=5, unique=True),
    st.lists(CELLS, min_size=1, max_size=60),
    st.sampled_from(",;\t|"),
)
def test_rows_equal_those_of_the_standard_library(
    header: list[str], cells: list[list[str]], separator: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([header, *(row[: len(header)] for row in cells)])
    data = b"\xef\xbb\xbf" + file.getvalue().encode()
    if any(byte in data for byte in (*range(9), 11, *range(14, 27), 28, 29, 30, 31)):
        return  # binary by our rule
    expected = list(csv.DictReader(io.StringIO(file.getvalue(), newline=""), delimiter=separator))
    assert rows(data, "a.csv") == expected


@given(st.lists(st.dictionaries(SIGNS, JSON, max_size=4), min_size=1, max_size=8), st.booleans())
def test_json_means_what_the_standard_library_reads(found: list[dict[str, Any]], ascii_only: bool) -> None:
    lines = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in found)
    assert rows(b"\xef\xbb\xbf" + lines.encode(), "a.jsonl") == found
    assert rows(json.dumps(found, ensure_ascii=ascii_only).encode(), "a.json") == found


@given(JSON)
def test_json_that_is_no_table_is_written_with_indents_and_means_the_same(value: Any) -> None:
    data = json.dumps({"value": value}).encode()
    assert json.loads(text(data, "a.json")) == {"value": value}


def test_a_json_object_is_text_with_an_item_a_line() -> None:
    data = '{"名前":"青空","items":[1,2.50,{}],"more":{"none":null,"list":[]}}'.encode()
    assert text(data, "a.json") == (
        '{\n  "名前": "青空",\n  "items": [\n    1,\n    2.50,\n    {}\n  ],\n'
        '  "more": {\n    "none": null,\n    "list": []\n  }\n}\n'
    )


def test_long_numbers_and_not_a_number_are_kept() -> None:
    (row,) = rows(b'{"id": 123456789012345678901234567890, "x": NaN}', "a.jsonl")
    assert row["id"] == 123456789012345678901234567890
    assert row["x"] != row["x"]
    assert rows(b'[{"id": 123456789012345678901}]', "a.json") == [{"id": 123456789012345678901}]


def test_a_cell_that_cannot_be_written_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Refused, match="nested too deeply") as caught:
        tables.cell(deep)
    assert caught.value.code is Code.ROWS_INVALID


def test_short_rows_are_filled_and_columns_without_a_name_are_numbered() -> None:
    assert rows(b",a ,\n1,2\n\n3,4,5\n", "a.csv") == [
        {"column_1": "1", "a": "2", "column_3": ""},
        {"column_1": "3", "a": "4", "column_3": "5"},
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_without_names_gets_them_from_the_pipeline(packed: bool) -> None:
    data = b"1,x\n2,y\n3\n"
    stream = io.BytesIO(gzip.compress(data) if packed else data)
    content = formats.read(stream, "a.csv", size=len(data), rows=True, columns=("id", "name"))
    assert isinstance(content, formats.Table)
    assert list(content.rows) == [{"id": "1", "name": "x"}, {"id": "2", "name": "y"}, {"id": "3", "name": ""}]


def test_a_row_with_more_cells_than_the_pipeline_names_is_refused() -> None:
    content = formats.read(io.BytesIO(b"1,x\n"), "a.csv", size=4, rows=True, columns=("id",))
    assert isinstance(content, formats.Table)
    with pytest.raises(Refused, match=r"Line 1 has 2 cells, but chunk\.columns names 1\."):
        list(content.rows)


def test_a_table_of_numbers_is_text_all_the_same() -> None:
    assert "2019: 3" in text(b"2019,2020\n3,4\n", "a.csv")


def test_spaces_before_quotes_belong_to_no_cell() -> None:
    assert rows(b'a, b\n1, "2, 3"\n', "a.csv") == [{"a": "1", "b": "2, 3"}]


def test_a_column_of_one_is_a_table() -> None:
    questions = rows("質問\n東京は？\n大阪は？\n".encode(), "a.csv")
    assert questions == [{"質問": "東京は？"}, {"質問": "大阪は？"}]


NO_HEADER = "Where a file has no such line, name the columns as chunk.columns in the pipeline."
ONLY_NUMBERS = "holds nothing but numbers, as a row does."
DEEP = "Line 1 has a number that is too long or lists nested too deeply."


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"a,b\n1,2\n1,2,3\n", "a.csv", "Line 3 has 3 cells, but the header has 2."),
        (b'a,b\n"1\n2",2\n1,2,3\n', "a.csv", "Line 4 has 3 cells, but the header has 2."),
        (b"sep=;\na;b\n1;2;3\n", "a.csv", "Line 3 has 3 cells, but the header has 2."),
        (b"a,b,a\n1,2,3\n", "a.csv", "Line 1 names the column 'a' twice. " + NO_HEADER),
        (b"1,-2.5\n3,4\n", "a.csv", f"Line 1 should name the columns, but {ONLY_NUMBERS} {NO_HEADER}"),
        (b'a,b\n1,"2\n', "a.csv", "Line 2 is not CSV (unexpected end of data)."),
        (b'{"a": 1}\n{"a": }\n', "a.jsonl", "Line 2 is not JSON (Expecting value at column 7)."),
        (b'{"a": 1}\n\n[1]\n', "a.jsonl", "Line 3 is not a JSON object."),
        (b'{"a":\n1}\n{"a":2}{"a":3}\n', "a.jsonl", "Line 1 is not JSON (Expecting value at column 1)."),
        (b'{"a":1}{"a":2}\n\n', "a.jsonl", "Line 1 is not JSON (Extra data at column 8)."),
        (b'{"a": "\\ud800"}\n', "a.jsonl", "Line 1 has half of a character (a lone surrogate)."),
        (
            b'{"a": ' + b"[" * 100_000,
            "a.jsonl",
            DEEP,
        ),
        (
            b'{"a": ' + b"1" * 10_000 + b"}",
            "a.jsonl",
            DEEP,
        ),
    ],
)
def test_a_bad_line_is_named(data: bytes, name: str, message: str) -> None:
    code, said = refusal(data, name, by_row=True)
    assert code is Code.ROWS_INVALID
    assert said == f"{message} Correct it and upload the file again."


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b'[{"a": 1}, 2]', Code.ROWS_INVALID, "Item 2 of the JSON is not an object"),
        (b'"text"', Code.ROWS_INVALID, "Item 1 of the JSON is not an object"),
        (b'[{"a": 1}', Code.FILE_DAMAGED, "The JSON breaks off"),
        (b'[{"a": 1},', Code.FILE_DAMAGED, "The JSON breaks off"),
        (b'{"a" 1}', Code.FILE_DAMAGED, "The JSON is damaged after 2 keys"),
        (b"{} 00", Code.FILE_DAMAGED, "The JSON is damaged after 3 keys"),
        (b"[]", Code.TEXT_MISSING, "The file has no rows"),
        (b" \n", Code.TEXT_MISSING, "The file holds no JSON"),
        (b'[{"a":' * 50_000, Code.FILE_TOO_COMPLEX, "The JSON is nested more than 200 levels deep"),
    ],
)
def test_bad_json_is_refused(data: bytes, code: Code, message: str) -> None:
    found, said = refusal(data, "a.json", by_row=True)
    assert found is code
    assert said.startswith(message)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_table_without_rows_is_refused(name: str) -> None:
    assert refusal(b"\n", name, by_row=True)[0] is Code.TEXT_MISSING


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "letter"])
def test_what_is_no_table_has_no_rows(name: str) -> None:
    code, message = refusal(b"a,b\n1,2\n", name, by_row=True)
    assert code is Code.FORMAT_UNSUPPORTED
    assert "`chunk: {by: row}` reads tables" in message


def parquet(columns: dict[str, arro3.core.Array]) -> bytes:
    batch = arro3.core.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    file = io.BytesIO()
    arro3.io.write_parquet(arro3.core.Table.from_batches([batch]), file)
    return file.getvalue()


PARQUET = parquet(
    {
        "id": arro3.core.Array([1, 2, None], arro3.core.DataType.int64()),
        "本文": arro3.core.Array(["甲は乙に", "pays", "x"], arro3.core.DataType.string()),
        "day": arro3.core.Array([0, 365, 1], arro3.core.DataType.int32()).cast(arro3.core.DataType.date32()),
    }
)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "part-0000"])
def test_parquet_rows(name: str) -> None:
    assert rows(PARQUET, name) == [
        {"id": 1, "本文": "甲は乙に", "day": "1970-01-01"},
        {"id": 2, "本文": "pays", "day": "1971-01-01"},
        {"id": None, "本文": "x", "day": "1970-01-02"},
    ]


def test_parquet_as_a_document() -> None:
    assert text(PARQUET, "a.parquet").startswith("id: 1\n本文: 甲は乙に\nday: 1970-01-01\n\nid: 2\n")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (PARQUET[:-30], Code.FILE_DAMAGED),
        (PARQUET[:4], Code.FILE_DAMAGED),
        (PARQUET[:-4] + b"PARE", Code.FILE_ENCRYPTED),
        (PARQUET[:-60] + b"\xff" * 20 + PARQUET[-40:], Code.FILE_DAMAGED),
        (PARQUET[:30] + b"\xff" * 60 + PARQUET[90:], Code.FILE_DAMAGED),
    ],
)
def test_bad_parquet_is_refused(data: bytes, code: Code) -> None:
    assert refusal(data, "a.parquet", by_row=True)[0] is code


def test_a_parquet_cell_is_as_json_has_it() -> None:
    from batchline.formats import parquet as module  # noqa: PLC0415  (the name above makes files)

    day = datetime(2027, 5, 3, 9, 0, tzinfo=UTC)
    cells = [Decimal("1.10"), day, date(2027, 5, 3), b"\x00\xff", [b"\x01"], {1: None}]
    assert [module._plain(cell) for cell in cells] == [
        "1.10", "2027-05-03T09:00:00+00:00", "2027-05-03", "00ff", ["01"], {"1": None}
    ]  # fmt: skip


def test_markdown_tables_are_rectangular_and_escape_bars() -> None:
    assert tables.markdown([["a"], ["b|c", "d\ne"]]) == "| a |  |\n| --- | --- |\n| b\\|c | d e |\n"


def test_cells_in_text_are_as_the_file_has_them() -> None:
    row = {"a": "x", "b": None, "c": [1, "日"], "d": 1.5}
    assert tables.paragraph(row) == 'a: x\nb: null\nc: [1, "日"]\nd: 1.5'
