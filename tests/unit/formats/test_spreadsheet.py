"""Workbooks made by openpyxl, as rows and as text."""

import datetime
import io
from typing import Any

import openpyxl
import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import spreadsheet

# A cell has no time zone.
NAIVE = datetime.datetime(2027, 1, 31, 9, 30)  # noqa: DTZ001


def saved(book: Any) -> bytes:
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def book(*rows: list[Any], title: str = "Sheet") -> Any:
    made = openpyxl.Workbook()
    made.active.title = title
    for row in rows:
        made.active.append(row)
    return made


def rows(data: bytes) -> list[Any]:
    return list(spreadsheet.parse(io.BytesIO(data), rows=True))


def text(data: bytes) -> str:
    return "".join(section.text for section in spreadsheet.parse(io.BytesIO(data), rows=False))  # type: ignore[union-attr]


def test_rows_by_the_names_in_the_first_row() -> None:
    data = saved(
        book(
            ["id", "price", "on", "ok", "note"],
            [1, 2.5, datetime.date(2027, 1, 31), True, "a|b"],
            [],
            [20_000_000_000, 0.1, NAIVE, False, None],
        )
    )
    assert rows(data) == [
        {"id": "1", "price": "2.5", "on": "2027-01-31", "ok": "TRUE", "note": "a|b"},
        {"id": "20000000000", "price": "0.1", "on": "2027-01-31 09:30:00", "ok": "FALSE", "note": ""},
    ]


def test_text_has_a_table_for_each_sheet() -> None:
    made = book(["品名", "数量"], ["りんご", 3], title="在庫")
    made.create_sheet("Empty")
    other = made.create_sheet("Prices")
    other["C3"], other["D3"], other["C4"] = "item", "price", "a|b\nc"

    assert text(saved(made)) == (
        "# 在庫\n\n| 品名 | 数量 |\n| --- | --- |\n| りんご | 3 |\n\n"
        "# Prices\n\n| item | price |\n| --- | --- |\n| a\\|b c |  |\n\n"
    )


def test_rows_come_from_the_first_sheet_that_has_some() -> None:
    made = openpyxl.Workbook()
    made.create_sheet("two").append(["a"])
    made["two"].append([1])
    assert rows(saved(made)) == [{"a": "1"}]


def test_a_column_without_a_name_is_called_by_its_letter() -> None:
    assert rows(saved(book(["a", None, "c"], [1, 2, 3]))) == [{"a": "1", "B": "2", "c": "3"}]
    assert [spreadsheet._letter(n) for n in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        rows(saved(book(["a", "a"], [1, 2])))
    assert caught.value.code is Code.ROWS_INVALID
    assert "'a' twice" in caught.value.message


def test_an_upload_arrives_as_rows_or_text() -> None:
    data = saved(book(["a"], [1]))
    table = formats.read(io.BytesIO(data), "wrong.docx", size=len(data), rows=True)
    assert isinstance(table, formats.Table)
    assert list(table.rows) == [{"a": "1"}]
    read = formats.read(io.BytesIO(data), "b.xlsx", size=len(data), rows=False)
    assert isinstance(read, formats.Text)
    assert [section.headings for section in read.sections] == [("Sheet",)]


def test_a_cell_at_the_far_corner_ends_as_a_refusal() -> None:
    made = book(["a"])
    made.active["XFD1048576"] = "far"  # 17,179,869,184 cells if the sheet is laid out
    data = saved(made)
    table = formats.read(io.BytesIO(data), "a.xlsx", size=len(data), rows=True)
    assert isinstance(table, formats.Table)
    with pytest.raises(Refused) as caught:
        list(table.rows)
    assert caught.value.code is Code.FILE_TOO_COMPLEX


def test_a_damaged_sheet_is_refused() -> None:
    data = saved(book(["a"], [1]))
    with pytest.raises(Refused) as caught:
        rows(data[: len(data) // 2])
    assert caught.value.code is Code.FILE_DAMAGED
