"""CSV and its relatives: a row per record, columns named by the first row."""

import csv
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from batchline.formats import encoding, tables
from batchline.formats.content import Content
from batchline.formats.lines import MAX_LINE_CHARACTERS, lines

SEPARATORS: Final = (",", "\t", ";", "|")
SAMPLE_LINES: Final = 50
SAMPLE_CHARACTERS: Final = 65_536

csv.field_size_limit(MAX_LINE_CHARACTERS)  # for the whole process; its default is 128 KiB


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file separates cells; `skip` lines stand before its header."""

    separator: str
    spaced: bool = False  # spaces after separators belong to no cell
    skip: int = 0


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Content:  # noqa: ARG001
    found = lines(encoding.decode(stream))
    sample = _sample(found)
    usual = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    return tables.content(_rows(itertools.chain(sample, found), sniff(sample, usual)), as_rows=rows)


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


def _rows(found: Iterator[str], dialect: Dialect) -> Iterator[dict[str, Any]]:
    list(itertools.islice(found, dialect.skip))
    reader = csv.reader(found, delimiter=dialect.separator, strict=True, skipinitialspace=dialect.spaced)
    try:
        header = _header(next(filter(None, reader), []), reader.line_num + dialect.skip)
        for cells in reader:
            if len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))
            elif len(cells) > len(header):
                raise tables.bad_row(
                    reader.line_num + dialect.skip,
                    f"has {len(cells)} cells, but the header has {len(header)}",
                )
            elif cells:
                yield dict(itertools.zip_longest(header, cells, fillvalue=""))
    except csv.Error as error:
        raise tables.bad_row(reader.line_num + dialect.skip, f"is not CSV ({error})") from error


def _header(cells: Iterable[str], line: int) -> list[str]:
    """Name the columns; one without a name is called by its place."""
    names = [cell.strip() or f"column_{place}" for place, cell in enumerate(cells, start=1)]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise tables.bad_row(line, f"names the column {min(repeated)!r} twice")
    return names
