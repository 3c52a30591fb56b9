"""Tables that fit a terminal: names are shortened in the middle, then columns are left out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

ELLIPSIS: Final = "…"
GAPS: Final = (2, 1)
CENTS: Final = 2
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    `drop` says in which order columns are left out where there is no room: 1 goes first, 0 never. A
    column with `least` gives up width down to so many cells: its text is shortened in the middle.
    """

    header: str
    justify: Literal["left", "right"] = "left"
    drop: int = 0
    least: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns are shown, how wide each of them is, and the cells between them."""

    kept: tuple[int, ...]
    widths: tuple[int, ...]
    gap: int


type Cell = str | Text


def fit(columns: Sequence[Column], natural: Sequence[int], width: int) -> Layout:
    """Choose what of a table fits into `width` cells; `natural` is how wide its columns would be."""
    least = [
        min(one, column.least) if column.least else one for column, one in zip(columns, natural, strict=True)
    ]
    kept = list(range(len(columns)))
    gap = GAPS[0]
    doomed = sorted((n for n in kept if columns[n].drop), key=lambda n: columns[n].drop)
    while True:
        for gap in GAPS:
            if sum(least[n] for n in kept) + gap * (len(kept) - 1) <= width:
                break
        else:
            if doomed:
                kept.remove(doomed.pop(0))
                continue
        break
    widths = {n: least[n] for n in kept}
    room = width - sum(widths.values()) - gap * (len(kept) - 1)
    # Whoever wants least is served first, so that one long column does not starve the others.
    wanting = sorted(kept, key=lambda n: natural[n] - least[n])
    for served, n in enumerate(wanting):
        given = min(natural[n] - least[n], max(0, room) // (len(wanting) - served))
        widths[n] += given
        room -= given
    return Layout(tuple(kept), tuple(widths[n] for n in kept), gap)


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    width: int,
    footer: Sequence[str] | None = None,
    under: Sequence[Text] = (),
) -> RenderableType:
    """Lay out rows of cells within `width` cells, with a footer and a text under each row if given."""
    foot = [footer] if footer else []
    natural = [
        max(_width(column.header), *(_width(row[n]) for row in (*rows, *foot)))
        for n, column in enumerate(columns)
    ]
    layout = fit(columns, natural, width)
    head = _grid(columns, layout, "bold")
    head.add_row(*(Text(columns[n].header) for n in layout.kept))
    parts = [head]
    for n, row in enumerate(rows):
        if n == 0 or under:
            parts.append(_grid(columns, layout))
        _add(parts[-1], row, layout)
        if under:
            parts.append(_beside(under[n], layout.widths[0] + layout.gap, width))
    if footer:
        parts.append(_grid(columns, layout, "bold"))
        _add(parts[-1], footer, layout)
    return Group(*parts)


def _grid(columns: Sequence[Column], layout: Layout, style: str = "") -> Table:
    laid = Table(box=None, show_header=False, padding=(0, layout.gap, 0, 0), pad_edge=False)
    for n, one in zip(layout.kept, layout.widths, strict=True):
        laid.add_column(justify=columns[n].justify, width=one, no_wrap=True, vertical="bottom", style=style)
    return laid


def _add(grid: Table, row: Sequence[Cell], layout: Layout) -> None:
    cells = zip(layout.kept, layout.widths, strict=True)
    grid.add_row(*(_cell(row[n], width) for n, width in cells))


def _beside(text: Text, indent: int, width: int) -> Table:
    """Indent a text that may take several lines."""
    laid = Table(box=None, show_header=False, padding=0, pad_edge=False)
    laid.add_column(width=indent)
    laid.add_column(max_width=max(1, width - indent), overflow="fold")
    laid.add_row("", text)
    return laid


def fields() -> Table:
    """Make an empty table of names and their values."""
    laid = Table(box=None, show_header=False, padding=(0, GAPS[0], 0, 0), pad_edge=False)
    laid.add_column(no_wrap=True)
    laid.add_column(overflow="fold")
    return laid


def _width(cell: Cell) -> int:
    return max((cell_len(line) for line in str(cell).split("\n")), default=0)


def _cell(cell: Cell, width: int) -> Text:
    text = cell if isinstance(cell, Text) else Text(printable(cell))
    if text.cell_len <= width:
        return text
    return Text(shorten(text.plain, width), style=text.style)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that is wider than `width` cells; its ends say most."""
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    tail = (width - 1) // 2
    return _first(text, width - 1 - tail) + ELLIPSIS + _first(text[::-1], tail)[::-1]


def _first(text: str, width: int) -> str:
    """Take as many characters from the start as fit into `width` cells."""
    taken = 0
    for count, character in enumerate(text):
        taken += cell_len(character)
        if taken > width:
            return text[:count]
    return text


def printable(text: str) -> str:
    """Replace what would steer the terminal: names and answers are written by anybody."""
    return _CONTROLS.sub("�", text)


def places(amounts: Iterable[Decimal]) -> int:
    """Count the decimal places that show all amounts exactly, at least cents."""
    exponents = (one.normalize().as_tuple().exponent for one in amounts)
    return max([CENTS, *(-one for one in exponents if isinstance(one, int))])


def money(amount: Decimal, decimals: int) -> str:
    """Write an amount with so many decimal places; nothing is 0."""
    return f"{amount:,.{decimals}f}" if amount else "0"


def age(seconds: float) -> str:
    """Say a span of time in its largest unit: 42s, 3m, 2h, 5d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
