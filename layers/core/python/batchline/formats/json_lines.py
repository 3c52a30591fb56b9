"""JSON Lines: a row per line."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import orjson

from batchline.formats import encoding, tables
from batchline.formats.content import Content
from batchline.formats.lines import lines

# The fast parser rounds whole numbers from 2**64 on, such as some ids, and may give no other so large one.
_LARGE: Final = 1e18
_LONG_NUMBER: Final = re.compile(r"[0-9]{19}")


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    return tables.content(_rows(lines(encoding.decode(stream))), as_rows=rows)


def _rows(found: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(found, start=1):
        if line.isspace():
            continue
        row = _parse(line, number)
        if not isinstance(row, dict):
            raise tables.bad_row(number, "is not a JSON object")
        yield row


def _parse(line: str, number: int) -> Any:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _parse_exactly(line, number, error)
    return _parse_exactly(line, number) if _may_be_rounded(row, line) else row


def _may_be_rounded(row: Any, line: str) -> bool:
    """Tell whether a number of a row may be rounded; a flat row tells it faster than its line."""
    for value in row.values() if type(row) is dict else ():
        kind = type(value)
        if kind is str or kind is int:
            continue
        if kind is dict or kind is list or (kind is float and not -_LARGE < value < _LARGE):
            return _LONG_NUMBER.search(line) is not None
    return False


def _parse_exactly(line: str, number: int, refusal: orjson.JSONDecodeError | None = None) -> Any:
    """Parse a line with the standard library, which keeps long numbers and knows NaN and Infinity."""
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise tables.bad_row(number, f"is not JSON ({error.msg} at column {error.colno})") from error
    except UnicodeEncodeError as error:
        raise tables.bad_row(number, "has half of a character (a lone surrogate)") from (refusal or error)
    except (ValueError, RecursionError) as error:
        # What the grammar allows and Python does not: numbers of thousands of digits, deep nesting.
        raise tables.bad_row(number, "has a number that is too long or lists nested too deeply") from error
    return row
