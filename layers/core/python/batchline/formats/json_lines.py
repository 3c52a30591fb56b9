"""JSON Lines: a row per line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import msgspec

from batchline.formats import encoding, tables
from batchline.formats.content import Content
from batchline.formats.lines import lines

# Keeps whole numbers exact, however long they are, and refuses what it cannot keep.
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    return tables.content(_rows(lines(encoding.decode(stream))), as_rows=rows)


def _rows(found: Iterable[str]) -> Iterator[dict[str, Any]]:
    parse = _OBJECT.decode
    for number, line in enumerate(found, start=1):
        try:
            yield parse(line)
        except (msgspec.DecodeError, RecursionError):
            if not line.isspace():
                yield _parse_leniently(line, number)


def _parse_leniently(line: str, number: int) -> dict[str, Any]:
    """Parse a line with the standard library, which knows NaN and Infinity, or say what is wrong."""
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise tables.bad_row(number, f"is not JSON ({error.msg} at column {error.colno})") from error
    except UnicodeEncodeError as error:
        raise tables.bad_row(number, "has half of a character (a lone surrogate)") from error
    except (ValueError, RecursionError) as error:
        # What the grammar allows and Python does not: numbers of thousands of digits, deep nesting.
        raise tables.bad_row(number, "has a number that is too long or lists nested too deeply") from error
    if not isinstance(row, dict):
        raise tables.bad_row(number, "is not a JSON object")
    return row
