"""Cutting an HTML page into pieces that are parsed one after the other.

A parsed page takes 17 times its size in memory, and some of what a parser does grows with the square of
what it holds. So a page is cut where a block begins outside all tables, lists and code, and only where
there is no such place for long is a table or a list itself cut, and begun again in the next piece.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

PIECE: Final = 200_000  # characters
MOST: Final = 2_000_000  # characters of a piece at whose end there is no good place
MOST_HEADINGS: Final = 200
MOST_OPEN: Final = 20  # tables and lists in each other that are begun again

_RAW: Final = "script|style|textarea|title|template|svg"
# Each alternative swallows what it begins, to the end if it is never closed: nothing is looked at twice.
# Most tags are of no interest, which their first letter tells; of the others most are paragraphs.
_TAG: Final = re.compile(
    r"<(?=/?[dopstu]|[!hl]|ar)(?:(?P<block>p|div|section|article)\b|(?P<heading>h[1-6])\b"
    r"|(?P<end>/?)(?P<nest>table|ul|ol|dl|pre|select)\b|(?P<row>tr|li|dt)\b"
    rf"|!--(?:.*?-->|.*)|(?P<raw>{_RAW})\b(?:.*?</(?P=raw)|.*))",
    re.IGNORECASE | re.DOTALL,
)


def pieces(blocks: Iterable[str]) -> Iterator[str]:
    """Yield a page in pieces, each of which can be parsed as a page."""
    rest = ""
    wanted = PIECE
    for block in blocks:
        rest += block
        while len(rest) >= wanted:
            cut, opened = _cut(rest)
            if not cut:
                wanted *= 2  # so that no character is looked at more than a few times
                break
            yield rest[:cut]
            rest = opened + rest[cut:]
            wanted = PIECE
    while rest:
        cut, opened = _cut(rest)
        if not cut:
            break
        yield rest[:cut]
        rest = opened + rest[cut:]
    if rest:
        yield rest


def _cut(text: str) -> tuple[int, str]:
    """Find where a piece ends, and what to open again behind it. 0: not in this text."""
    open_: list[str] = []
    headings = 0
    row = 0
    for tag in _TAG.finditer(text):
        start = tag.start()
        if nest := tag["nest"]:
            _follow(open_, nest.lower(), closes=bool(tag["end"]))
        elif start and not open_ and (tag["heading"] or tag["block"]):
            headings += bool(tag["heading"])
            if start >= PIECE or headings > MOST_HEADINGS:
                return start, ""
        elif tag["row"] and start >= PIECE:
            row = start
            if start >= MOST and open_:
                return start, "".join(f"<{name}>" for name in open_[-MOST_OPEN:])
    if len(text) >= 2 * MOST:
        cut = row or MOST
        return cut, ""
    return 0, ""


def _follow(open_: list[str], name: str, *, closes: bool) -> None:
    if not closes:
        open_.append(name)
    elif name in open_[-MOST_OPEN:]:
        while open_.pop() != name:
            pass
