"""CSV and its relatives: a row per record, columns named by the first row."""

import csv
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from batchline.formats import encoding, tables
from batchline.formats.content import Content
from batchline.formats.lines import MAX_LINE_CHARACTERS, lines

csv.field_size_limit(MAX_LINE_CHARACTERS)


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    separator = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    return tables.content(_rows(lines(encoding.decode(stream)), separator), as_rows=rows)


def _rows(found: Iterable[str], separator: str) -> Iterator[dict[str, Any]]:
    reader = csv.reader(found, delimiter=separator, strict=True)
    try:
        header = next(filter(None, reader), [])
        if repeated := {name for name in header if header.count(name) > 1}:
            raise tables.bad_row(reader.line_num, f"names the column {min(repeated)!r} twice")
        for cells in reader:
            if not cells:
                continue
            if len(cells) > len(header):
                raise tables.bad_row(
                    reader.line_num, f"has {len(cells)} cells, but the header has {len(header)}"
                )
            yield dict(itertools.zip_longest(header, cells, fillvalue=""))
    except csv.Error as error:
        raise tables.bad_row(reader.line_num, f"is not CSV ({error})") from error
