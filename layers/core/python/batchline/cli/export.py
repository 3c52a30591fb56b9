"""Rows of plain values as CSV or Parquet, for spreadsheets and data frames. Money keeps every digit."""

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

from batchline.cli.session import Problem

PRECISION: Final = 38
SCALE: Final = 18
EXACT: Final = ("_usd", "_price", "_error")
WHOLE: Final = ("_tokens", "jobs", "succeeded", "failed", "retried", "further", "cached")
# What begins so is a formula to a spreadsheet, and names are written by anybody.
FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


def write_csv(rows: Sequence[Mapping[str, Any]], names: Sequence[str], to: IO[str]) -> None:
    """Write rows with a line of names before them."""
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def write_parquet(rows: Sequence[Mapping[str, Any]], names: Sequence[str], file: Path) -> None:
    """Write rows with their types: text, whole numbers, and money as decimal(38, 18). Raises Problem."""
    # Loaded here only: most runs of the command write none.
    from arro3.core import Array, DataType, Table  # noqa: PLC0415
    from arro3.io import write_parquet as write  # noqa: PLC0415

    def column(name: str) -> Array:
        values = [row[name] for row in rows]
        if name.endswith(EXACT):
            text = [one if one is None else format(one, "f") for one in values]
            return Array(text, type=DataType.string()).cast(DataType.decimal128(PRECISION, SCALE))
        return Array(values, type=DataType.int64() if name.endswith(WHOLE) else DataType.string())

    try:
        write(Table.from_pydict({name: column(name) for name in names}), str(file))
    except OSError as error:
        raise Problem(f"{file} cannot be written: {error}.") from error
