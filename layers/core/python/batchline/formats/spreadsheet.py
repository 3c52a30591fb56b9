"""Excel workbooks (.xlsx): rows by the names in their first row, or each sheet as a Markdown table."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final, cast

import python_calamine as calamine

from batchline.errors import Code, Refused
from batchline.formats import isolated
from batchline.formats.content import Section, Table, Text
from batchline.formats.office import Package
from batchline.formats.tables import row, rule

type Cell = int | float | str | bool | datetime.date | datetime.time | datetime.timedelta
MAX_WHOLE: Final = 2**53
WHAT: Final = "Excel workbook"


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text | Table:  # noqa: ARG001
    """Read a workbook as rows of its first sheet that has some, or as text. The iterators raise Refused."""
    found = isolated.run(__name__, stream, what=WHAT, rows=rows)
    if rows:
        return Table(cast("Iterator[Mapping[str, Any]]", found))
    return Text(cast("Iterator[Section]", found))


def parse(file: BinaryIO, *, rows: bool) -> Iterator[Section | Mapping[str, Any]]:
    """Yield rows or sections, in this process. Raises Refused."""
    package = Package(file, "xl")
    for kind, part in package.related(package.main).values():
        if kind in {"worksheet", "sharedStrings"}:
            package.open(part).close()  # a bomb is refused by what it claims to unpack to
    file.seek(0)
    try:
        book = calamine.CalamineWorkbook.from_filelike(file)
        for name in book.sheet_names:
            sheet = _lines(book.get_sheet_by_name(name))
            if not rows:
                yield from _sections(name, sheet)
            elif (header := next(sheet, None)) is not None:
                yield from _rows(header, sheet)
                return
    except calamine.PasswordError as error:
        raise Refused(
            Code.FILE_ENCRYPTED, f"The {WHAT} is encrypted. Please remove the password and upload it again."
        ) from error
    except calamine.CalamineError as error:
        raise package.damaged(f"it cannot be read ({error})") from error


def _lines(sheet: calamine.CalamineSheet) -> Iterator[list[str]]:
    """Yield the rows that hold something; calamine begins at the first column that does."""
    for cells in sheet.iter_rows():
        texts = [_written(cell) for cell in cells]
        if any(texts):
            yield texts


def _sections(name: str, sheet: Iterator[list[str]]) -> Iterator[Section]:
    header = next(sheet, None)
    if header is None:
        return
    yield Section(f"# {name}\n\n" + row(header) + rule(len(header)), None, (name,))
    for cells in sheet:
        yield Section(row(cells), None, (name,))
    yield Section("\n", None, (name,))


def _rows(header: list[str], sheet: Iterator[list[str]]) -> Iterator[Mapping[str, Any]]:
    """Yield rows by the names of their columns; a column without a name is called by its letter."""
    names = [each.strip() or _letter(index) for index, each in enumerate(header)]
    if repeated := {each for each in names if names.count(each) > 1}:
        raise Refused(
            Code.ROWS_INVALID,
            f"The first row names the column {min(repeated)!r} twice. Correct it and upload the file again.",
        )
    for cells in sheet:
        yield dict(zip(names, cells, strict=False))


def _letter(index: int) -> str:
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _written(cell: Cell) -> str:
    """Write a cell as text: whole numbers without a point, dates as ISO 8601."""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < MAX_WHOLE else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)
