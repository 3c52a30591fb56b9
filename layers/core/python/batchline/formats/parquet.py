"""Parquet: rows, read by batches in a process of their own."""

import datetime
import os
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, BinaryIO, Final, cast

from batchline.errors import Code, Refused
from batchline.formats import isolated, tables
from batchline.formats.content import Content

WHAT: Final = "Parquet file"
MAGIC: Final = b"PAR1"
ENCRYPTED: Final = b"PARE"  # what such a file has in its place
# The bytes at the end that say how long the directory before them is, and the mark.
TAIL_BYTES: Final = 8


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    found = isolated.run(__name__, stream, what=WHAT)
    return tables.content(cast("Iterator[Mapping[str, Any]]", found), as_rows=rows)


def parse(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield rows, in this process. Raises Refused(FILE_DAMAGED)."""
    import arro3.io  # noqa: PLC0415  (30 MB that only the child needs)

    _refuse_cut(file)
    # On damage the library panics, which ends the child and so the document; it would also write parts of
    # the file to the log.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    for batch in arro3.io.read_parquet(file):
        names = batch.column_names
        for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield {name: _plain(cell) for name, cell in zip(names, cells, strict=True)}


def _refuse_cut(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    file.seek(max(0, size - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    file.seek(0)
    if tail.endswith(ENCRYPTED):
        raise Refused(
            Code.FILE_ENCRYPTED, f"The {WHAT} is encrypted. Write it without encryption and upload it again."
        )
    directory = int.from_bytes(tail[:4], "little")
    if not tail.endswith(MAGIC) or directory + TAIL_BYTES + len(MAGIC) > size:
        raise Refused(Code.FILE_DAMAGED, f"The {WHAT} breaks off: its end is missing. Upload the whole file.")


def _plain(cell: object) -> object:
    """Give a cell as JSON has it: exact numbers and times as text, bytes as hexadecimal digits."""
    match cell:
        case Decimal() | datetime.timedelta():
            return str(cell)
        case datetime.datetime() | datetime.date() | datetime.time():
            return cell.isoformat()
        case bytes():
            return cell.hex()
        case dict():
            return {str(name): _plain(value) for name, value in cell.items()}
        case list() | tuple():
            return [_plain(value) for value in cell]
        case _:
            return cell
