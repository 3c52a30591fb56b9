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
    r"<(?=/?[dopstu]|[!hl]|ar)(?:(?P<block>p|div|section|article)\b"
    r"|h(?P<heading>[1-6])\b(?:(?:[^<>\"']++|\"[^\"]{0,500}+\"|'[^']{0,500}+'){0,20}+(?P<open>>))?+"
    r"|(?P<end>/?)(?P<nest>table|ul|ol|dl|pre|select)\b|(?P<row>tr|li|dt)\b"
    rf"|!--(?:.*?-->|.*)|(?P<raw>{_RAW})\b(?:.*?</(?P=raw)|.*))",
    re.IGNORECASE | re.DOTALL,
)


def pieces(blocks: Iterable[str], *, mark: str = "") -> Iterator[str]:
    """Yield a page in pieces, each of which can be parsed as a page.

    With a `mark`, each heading begins with it and as many `#` as it has in Markdown.
    """
    rest = ""
    wanted = PIECE
    for block in blocks:
        rest += block
        while len(rest) >= wanted:
            cut, opened, headings = _cut(rest)
            if not cut:
                wanted *= 2  # so that no character is looked at more than a few times
                break
            yield _marked(rest[:cut], headings, mark)
            rest = opened + rest[cut:]
            wanted = PIECE
    while rest:
        cut, opened, headings = _cut(rest)
        cut = cut or len(rest)
        yield _marked(rest[:cut], headings, mark)
        rest = opened + rest[cut:]


def _marked(text: str, headings: list[tuple[int, int]], mark: str) -> str:
    """Write marks where headings begin: a change of the parsed page would take as long as parsing it."""
    if not mark:
        return text
    parts: list[str] = []
    begin = 0
    for place, level in headings:
        parts += text[begin:place], mark, "#" * level, " "
        begin = place
    return "".join([*parts, text[begin:]])


def _cut(text: str) -> tuple[int, str, list[tuple[int, int]]]:
    """Find where a piece ends, what to open again behind it, and its headings. 0: it ends not in this text.

    Of a heading the place behind its tag and its level are given.
    """
    open_: list[str] = []
    headings: list[tuple[int, int]] = []
    found = 0
    row = 0
    for tag in _TAG.finditer(text):
        start = tag.start()
        if nest := tag["nest"]:
            _follow(open_, nest.lower(), closes=bool(tag["end"]))
        elif tag["block"] or tag["heading"]:
            if start and not open_:
                found += bool(tag["heading"])
                if start >= PIECE or found > MOST_HEADINGS:
                    return start, "", headings
            if tag["open"]:
                headings.append((tag.end(), int(tag["heading"])))
        elif tag["row"] and start >= PIECE:
            row = start
            if start >= MOST and open_:
                return start, "".join(f"<{name}>" for name in open_[-MOST_OPEN:]), headings
    if len(text) >= 2 * MOST:
        cut = row or MOST
        return cut, "", [one for one in headings if one[0] <= cut]
    return 0, "", headings


def _follow(open_: list[str], name: str, *, closes: bool) -> None:
    if not closes:
        open_.append(name)
    elif name in open_[-MOST_OPEN:]:
        while open_.pop() != name:
            pass
