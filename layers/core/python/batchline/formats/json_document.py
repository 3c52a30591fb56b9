"""JSON: an array of objects is a table; all else is text, written out with indents. Read as a stream."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, Final

import ijson  # type: ignore[import-untyped]

from batchline.errors import Code, Refused
from batchline.formats import encoding, tables
from batchline.formats.content import Content, Section, Table, Text

MOST_DEEP: Final = 200
LONGEST_VALUE: Final = 16_000_000  # bytes of one string; the parser holds it whole
SECTION_CHARACTERS: Final = 65_536
_OPEN: Final = {"start_map": "{", "start_array": "["}
_CLOSE: Final = {"end_map": "}", "end_array": "]"}

type Event = tuple[str, Any]


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    events = _events(stream)
    first = next(events)
    second = next(events) if first[0] == "start_array" else first
    known = [first] if second is first else [first, second]
    if rows:
        return Table(_rows(_again(known, events)))
    if second is not first and second[0] == "start_map":
        return Text(tables.sections(_rows(_again(known, events))))
    return Text(_written(_again(known, events)))


def _again(known: list[Event], events: Iterator[Event]) -> Iterator[Event]:
    yield from known
    yield from events


class _Utf8:
    """The text of a stream as UTF-8, for a parser that knows no other encoding."""

    def __init__(self, stream: BinaryIO) -> None:
        self._blocks = encoding.decode(stream)
        self.since_event = 0

    def read(self, size: int) -> bytes:
        if not size:
            return b""
        self.since_event += encoding.BLOCK_BYTES
        if self.since_event > LONGEST_VALUE:
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"The JSON holds a text of more than {LONGEST_VALUE:,} bytes in one piece. "
                "Upload such a text as a file of its own.",
            )
        return next((block.encode() for block in self._blocks if block), b"")


def _events(stream: BinaryIO) -> Iterator[Event]:
    """Yield what the parser finds, within bounds. Several values after each other are read as well."""
    source = _Utf8(stream)
    depth = values = 0
    try:
        for kind, value in ijson.basic_parse(source, multiple_values=True):
            source.since_event = 0
            values += 1
            if kind in _OPEN:
                depth += 1
                if depth > MOST_DEEP:
                    raise Refused(
                        Code.FILE_TOO_COMPLEX,
                        f"The JSON is nested more than {MOST_DEEP} levels deep. Make it flatter.",
                    )
            elif kind in _CLOSE:
                depth -= 1
            elif not depth and values > 1:  # only objects and arrays follow each other
                raise _damaged(values)
            yield kind, value
    except ijson.JSONError as error:
        # The parser's own message shows the text, which belongs in no log.
        if not values and "premature EOF" in str(error):
            raise Refused(
                Code.TEXT_MISSING, "The file holds no JSON, only space. Upload it with its content."
            ) from error
        if "premature EOF" in str(error):
            raise Refused(
                Code.FILE_DAMAGED, "The JSON breaks off: its end is missing. Upload the whole file."
            ) from error
        raise _damaged(values) from error


def _damaged(values: int) -> Refused:
    return Refused(
        Code.FILE_DAMAGED,
        f"The JSON is damaged after {values:,} keys, values and brackets. Correct it and upload it again.",
    )


def _rows(events: Iterator[Event]) -> Iterator[dict[str, Any]]:
    number = 0
    in_array = False
    for event in events:
        if not in_array and event[0] == "start_array":
            in_array = True
        elif in_array and event[0] == "end_array":
            in_array = False
        else:
            number += 1
            row = _value(event, events)
            if not isinstance(row, dict):
                raise Refused(
                    Code.ROWS_INVALID,
                    f"Item {number:,} of the JSON is not an object. Rows are read from an array of objects, "
                    "or from JSON Lines.",
                )
            yield row


def _value(event: Event, events: Iterator[Event]) -> Any:
    """Build the value that begins with an event. No deeper than `MOST_DEEP`."""
    kind, value = event
    if kind == "start_map":
        return {
            key: _value(next(events), events) for kind, key in iter(lambda: next(events), ("end_map", None))
        }
    if kind == "start_array":
        return [_value(one, events) for one in iter(lambda: next(events), ("end_array", None))]
    return float(value) if isinstance(value, Decimal) else value


def _written(events: Iterator[Event]) -> Iterator[Section]:
    """Write values with an item a line, in sections of some size."""
    parts: list[str] = []
    length = 0
    for part in _parts(events):
        parts.append(part)
        length += len(part)
        if length >= SECTION_CHARACTERS:
            yield Section("".join(parts))
            parts, length = [], 0
    yield Section("".join([*parts, "\n"]))


def _parts(events: Iterator[Event]) -> Iterator[str]:
    depth = 0
    before = "["  # what was written last: an opening, a key or an item
    for kind, value in events:
        if kind in _CLOSE:
            depth -= 1
            yield (f"\n{'  ' * depth}" if before != "[" else "") + _CLOSE[kind]
            before = "item"
            continue
        if before == "item":
            yield "," if depth else "\n"
        if before != "key" and depth:
            yield "\n" + "  " * depth
        if kind == "map_key":
            yield json.dumps(value, ensure_ascii=False) + ": "
            before = "key"
        elif kind in _OPEN:
            yield _OPEN[kind]
            depth += 1
            before = "["
        else:
            yield str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
            before = "item"
