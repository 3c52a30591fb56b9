"""CSV and its relatives: a row per record, columns named by the first row."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from batchline.formats import encoding, tables
from batchline.formats.content import Content
from batchline.formats.lines import MAX_LINE_CHARACTERS, lines

SEPARATORS: Final = (",", "\t", ";", "|")
SAMPLE_LINES: Final = 50
SAMPLE_CHARACTERS: Final = 65_536
_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9.,]*")
_HINT: Final = "Where a file has no such line, name the columns as chunk.columns in the pipeline"

csv.field_size_limit(MAX_LINE_CHARACTERS)  # for the whole process; its default is 128 KiB


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file separates cells; `skip` lines stand before its header."""

    separator: str
    spaced: bool = False  # spaces after separators belong to no cell
    skip: int = 0


def read(
    stream: BinaryIO,
    name: str,
    *,
    size: int,  # noqa: ARG001
    rows: bool,
    columns: Sequence[str] = (),
) -> Content:
    """Read a table whose first row names its columns, unless they are given."""
    found = lines(encoding.decode(stream))
    sample = _sample(found)
    usual = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    dialect = sniff(sample, usual)
    return tables.content(_rows(itertools.chain(sample, found), dialect, columns, strict=rows), as_rows=rows)


def _sample(found: Iterator[str]) -> list[str]:
    sample: list[str] = []
    length = 0
    for line in itertools.islice(found, SAMPLE_LINES):
        sample.append(line)
        length += len(line)
        if length > SAMPLE_CHARACTERS:
            break
    return sample


def sniff(sample: Sequence[str], usual: str) -> Dialect:
    """Tell how the first lines of a file separate their cells; as `usual` where nothing says otherwise.

    The separator is the one that cuts most rows into as many cells as the header has. A first line
    `sep=;`, which Excel writes and reads, decides it.
    """
    first = sample[0].strip().lower() if sample else ""
    if first.startswith("sep=") and len(first) == len("sep=;"):
        return Dialect(first[-1], skip=1)
    candidates = sorted(SEPARATORS, key=lambda one: one != usual)
    separator = max(candidates, key=lambda one: _fit(sample, one))
    text = "".join(sample)
    return Dialect(separator, spaced=f'{separator} "' in text and f'{separator}"' not in text)


def _fit(sample: Sequence[str], separator: str) -> tuple[float, int]:
    """Rate a separator: the share of rows that have as many cells as the header, then the cells."""
    try:
        widths = [len(cells) for cells in csv.reader(sample, delimiter=separator) if cells]
    except csv.Error:
        return 0, 0
    if not widths or widths[0] < 2:  # noqa: PLR2004  (one cell: nothing is separated)
        return 0, 0
    return Counter(widths)[widths[0]] / len(widths), widths[0]


def _rows(
    found: Iterator[str], dialect: Dialect, columns: Sequence[str], *, strict: bool
) -> Iterator[dict[str, Any]]:
    list(itertools.islice(found, dialect.skip))
    reader = csv.reader(found, delimiter=dialect.separator, strict=True, skipinitialspace=dialect.spaced)
    try:
        header = list(columns)
        if not header:
            cells = next(filter(None, reader), [])
            header = _header(cells, reader.line_num + dialect.skip, strict=strict)
        for cells in reader:
            if len(cells) == len(header):
                # To say strict=True takes as long as all the rest of it.
                yield {name: cell for name, cell in zip(header, cells)}  # noqa: B905, C416
            elif len(cells) > len(header):
                named = f"chunk.columns names {len(header)}" if columns else f"the header has {len(header)}"
                raise tables.bad_row(reader.line_num + dialect.skip, f"has {len(cells)} cells, but {named}")
            elif cells:
                yield dict(itertools.zip_longest(header, cells, fillvalue=""))
    except csv.Error as error:
        raise tables.bad_row(reader.line_num + dialect.skip, f"is not CSV ({error})") from error


def _header(cells: Sequence[str], line: int, *, strict: bool) -> list[str]:
    """Name the columns; one without a name is called by its place. `strict`: numbers are no names."""
    if strict and cells and all(_NUMBER.fullmatch(cell.strip()) for cell in cells):
        raise tables.bad_row(
            line,
            f"should name the columns, but holds nothing but numbers, as a row does. {_HINT}",
        )
    names = [cell.strip() or f"column_{place}" for place, cell in enumerate(cells, start=1)]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise tables.bad_row(line, f"names the column {min(repeated)!r} twice. {_HINT}")
    return names
