"""JSON Lines: a row per line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from batchline.formats import encoding, tables
from batchline.formats.content import Content
from batchline.formats.lines import lines


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    return tables.content(_rows(lines(encoding.decode(stream))), as_rows=rows)


def _rows(found: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(found, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise tables.bad_row(number, f"is not JSON ({error.msg} at column {error.colno})") from error
        except (ValueError, RecursionError) as error:
            # What the grammar allows and Python does not: numbers of thousands of digits, deep nesting.
            raise tables.bad_row(
                number, "has a number that is too long or lists nested too deeply"
            ) from error
        if not isinstance(row, dict):
            raise tables.bad_row(number, "is not a JSON object")
        yield row
