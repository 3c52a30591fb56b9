"""What a page repeats from its neighbours: running heads, feet and page numbers."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

# How many pages on either side are looked at. Left and right pages may differ, so half of them count.
REACH: Final = 4
DEPTH: Final = 3
# A page of few lines that is much like its neighbours, a form for example, is not all furniture.
LINES_PER_HEAD: Final = 4
_NUMBER: Final = re.compile(r"(\d{1,6})")
_FIRST: Final = re.compile(r"(?:[-–—] ?)?(\d{1,6})\b")
_LAST: Final = re.compile(r".*\b(\d{1,6})(?: ?[-–—])?$")
_LONGEST: Final = 160


class Edge(NamedTuple):
    """A line at the top or the foot of a page, with what may change from page to page set apart."""

    shape: str
    numbers: tuple[int, ...]
    folios: tuple[int, ...]


class Edges(NamedTuple):
    """The outermost lines of a page, from outside to inside, and what is in any of them."""

    top: tuple[Edge, ...]
    foot: tuple[Edge, ...]
    shapes: frozenset[str]
    folios: frozenset[int]


def edges(page: Sequence[str]) -> Edges:
    top, foot = tuple(map(_edge, page[:DEPTH])), tuple(map(_edge, page[: -DEPTH - 1 : -1]))
    shapes = frozenset(edge.shape for edge in top + foot)
    return Edges(top, foot, shapes, frozenset(folio for edge in top + foot for folio in edge.folios))


def body(page: int, around: Mapping[int, Edges], size: int) -> slice:
    """Say which of the `size` lines of a page are its own, by the edges of the pages around it.

    A page number is not part of the text anywhere; a running head is where it first may stand: page 1.
    """
    others = {n: each for n, each in around.items() if n != page}
    heads = min(DEPTH, size // LINES_PER_HEAD)
    top = _repeated(page, around[page].top, others, heads)
    foot = _repeated(page, around[page].foot, others, heads)
    return slice(min(top, size), max(size - foot, min(top, size)))


def _edge(line: str) -> Edge:
    parts = _NUMBER.split(line) if len(line) <= _LONGEST else [line]  # every second one is a number
    if len(parts) == 1:
        return Edge(line, (), ())
    folios = tuple(int(found[1]) for found in (_FIRST.match(line), _LAST.match(line)) if found)
    return Edge("#".join(parts[::2]), tuple(map(int, parts[1::2])), folios)


def _repeated(page: int, own: Sequence[Edge], others: Mapping[int, Edges], heads: int) -> int:
    """Count the lines from the edge inwards that are page numbers, or heads that neighbours have, too."""
    needed = 2 if len(others) > 2 else 1  # noqa: PLR2004 a document of three pages has two neighbours
    for count, edge in enumerate(own):
        may_be_folio = edge.folios and (count == 0 or not edge.shape.strip("#-–— "))
        if may_be_folio and _agreeing(page, edge, others, _has_folio) >= needed:
            continue
        if page == 1 or count >= heads or _agreeing(page, edge, others, _has_head) < needed:
            return count
    return len(own)


def _agreeing(
    page: int, edge: Edge, others: Mapping[int, Edges], has: Callable[[Edges, Edge, int], bool]
) -> int:
    """Count the pages that have such a line, at either edge: the first page of a chapter swaps them."""
    return sum(has(each, edge, page - n) for n, each in others.items())


def _has_head(other: Edges, edge: Edge, apart: int) -> bool:
    return edge.shape in other.shapes and any(
        edge.shape == theirs.shape
        and all(our - their in {0, apart} for our, their in zip(edge.numbers, theirs.numbers, strict=True))
        for theirs in other.top + other.foot
    )


def _has_folio(other: Edges, edge: Edge, apart: int) -> bool:
    return any(our - apart in other.folios for our in edge.folios)
