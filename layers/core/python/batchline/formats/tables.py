"""Rows as text, for pipelines that take a table as a document."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from batchline.errors import Code, Refused
from batchline.formats.content import Content, Section, Table, Text


def content(rows: Iterator[Mapping[str, Any]], *, as_rows: bool) -> Content:
    """Give rows as a table, or as the text of a document."""
    return Table(rows) if as_rows else Text(sections(rows))


def sections(rows: Iterable[Mapping[str, Any]]) -> Iterator[Section]:
    """Write each row as a paragraph, so that a chunk holds whole rows with the names of their columns."""
    for one in rows:
        yield Section(paragraph(one) + "\n\n")


def paragraph(columns: Mapping[str, Any]) -> str:
    """Write a row as `column: value` lines."""
    # Most cells are text or whole numbers, which need no call.
    return "\n".join(
        [
            f"{name}: {value if (kind := type(value)) is str or kind is int else cell(value)}"
            for name, value in columns.items()
        ]
    )


def cell(value: object) -> str:
    """Write a cell as its file has it: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    # json writes such a number as Python does, at three times the cost.
    if type(value) is float and math.isfinite(value):
        return repr(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        raise Refused(
            Code.ROWS_INVALID, "A row has lists nested too deeply. Correct it and upload the file again."
        ) from error


def bad_row(line: int, what: str) -> Refused:
    """Refuse a table for one line of it."""
    return Refused(Code.ROWS_INVALID, f"Line {line} {what}. Correct it and upload the file again.")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Write rows as a Markdown table, the first one as its head; short rows are filled up."""
    columns = max(map(len, rows))
    head, *others = (row([*cells, *[""] * (columns - len(cells))]) for cells in rows)
    return "".join([head, rule(columns), *others])


def row(cells: Iterable[str]) -> str:
    """Write a row of a Markdown table."""
    return "| " + " | ".join(" ".join(one.split()).replace("|", "\\|") for one in cells) + " |\n"


def rule(columns: int) -> str:
    """Write the line below the head of a Markdown table."""
    return "|" + " --- |" * columns + "\n"
