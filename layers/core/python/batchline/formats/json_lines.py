"""JSON Lines: a row per line."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO, Final

import msgspec

from batchline.formats import encoding, tables
from batchline.formats.content import Content
from batchline.formats.lines import split, whole

# Keeps whole numbers exact, however long they are, and refuses what it cannot keep.
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    return tables.content(chain.from_iterable(_blocks(encoding.decode(stream))), as_rows=rows)


def _blocks(blocks: Iterable[str]) -> Iterator[Iterable[dict[str, Any]]]:
    first = 1
    for block, count in whole(blocks):
        yield _at_once(block, count) or _one_by_one(block, first)
        first += count


def _at_once(block: str, count: int) -> list[dict[str, Any]]:
    """Parse so many lines in half the time that it takes one by one; nothing unless all are objects."""
    # The parser takes line feeds for spaces. Between `}` and `{` they can only part two objects.
    if block[:1] + block[-2:] != "{}\n" or block.count("}\n{") != count - 1:
        return []
    try:
        found = _OBJECT.decode_lines(block)
    except (msgspec.DecodeError, RecursionError):
        return []
    return found if len(found) == count else []


def _one_by_one(block: str, first: int) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(split(block), first):
        try:
            yield _OBJECT.decode(line)
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
