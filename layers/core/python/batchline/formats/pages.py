"""Cutting an HTML page into pieces that are parsed one after the other.

A parsed page takes several times its size in memory. So a page is cut where a block begins outside all
tables, lists and code, and only where there is no such place for long is a table or a list itself cut, and
begun again in the next piece.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

PIECE: Final = 200_000  # characters
MOST: Final = 2_000_000  # characters of a piece at whose end there is no good place
MOST_OPEN: Final = 20  # tables and lists in each other that are begun again

# What must stay whole, and what only looks like markup. Each alternative swallows what it begins, to the end
# if it is never closed: nothing is looked at twice.
_NESTS: Final = (
    r"(?P<end>/?)(?P<nest>table|ul|ol|dl|pre|select)\b|!--(?:.*?-->|.*)"
    r"|(?P<raw>script|style|textarea|title|template|svg)\b(?:.*?</(?P=raw)|.*)"
)
# Most tags are those of paragraphs, links and words in bold, which two letters tell.
_NEST: Final = re.compile(rf"<(?![abip][ >]|/[abip]>)(?:{_NESTS})", re.IGNORECASE | re.DOTALL)
_PLACE: Final = re.compile(
    rf"<(?:{_NESTS}|(?P<block>p|div|section|article|h[1-6])\b|(?P<row>tr|li|dt)\b)",
    re.IGNORECASE | re.DOTALL,
)


def pieces(blocks: Iterable[str]) -> Iterator[str]:
    """Yield a page in pieces, each of which can be parsed as a page."""
    rest = ""
    wanted = PIECE
    for block in blocks:
        rest += block
        while len(rest) > wanted:
            cut, opened = _cut(rest)
            if not cut:
                wanted *= 2  # so that no character is looked at more than a few times
                break
            yield rest[:cut]
            rest = opened + rest[cut:]
            wanted = PIECE
    while rest:
        cut, opened = _cut(rest) if len(rest) > PIECE else (0, "")
        cut = cut or len(rest)
        yield rest[:cut]
        rest = opened + rest[cut:]


def _cut(text: str) -> tuple[int, str]:
    """Find where a piece ends and what to open again behind it. 0: it ends not in this text."""
    open_: list[str] = []
    row = 0
    for tag in _tags(text):
        start = tag.start()
        if nest := tag["nest"]:
            _follow(open_, nest.lower(), closes=bool(tag["end"]))
        elif start < PIECE:
            continue
        elif tag["block"] and not open_:
            return start, ""
        elif tag["row"]:
            row = start
            if start >= MOST and open_:
                return start, "".join(f"<{name}>" for name in open_[-MOST_OPEN:])
    return (row or MOST, "") if len(text) >= 2 * MOST else (0, "")


def _tags(text: str) -> Iterator[re.Match[str]]:
    """Yield what opens and closes, and from where a piece may end the places where it may."""
    begin = PIECE
    for tag in _NEST.finditer(text):
        if tag.start() >= PIECE:
            break
        yield tag
        begin = max(begin, tag.end())
    yield from _PLACE.finditer(text, begin)


def _follow(open_: list[str], name: str, *, closes: bool) -> None:
    if not closes:
        open_.append(name)
    elif name in open_[-MOST_OPEN:]:
        while open_.pop() != name:
            pass
