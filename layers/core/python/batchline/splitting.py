"""Cutting a text into chunks of at most so many tokens, at the best boundary that there is."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

# Boundaries from best to worst. A match ends where the next chunk may begin; the share says how much
# of the room a chunk must fill before this boundary is good enough. None of them looks twice at a run of
# characters, so that a text of nothing but stops or line feeds costs no more than another.
BOUNDARIES: Final = (
    (
        re.compile(
            r"\n[ \t\u3000]*\n(?=#{1,6} |第[^\s]{1,6}[条章節]|(?:CHAPTER|Chapter|BOOK|Book|Article|ARTICLE) )"
        ),
        0.5,
    ),
    (re.compile(r"\n[ \t\u3000]*\n+"), 0.5),
    (
        re.compile(
            r"[.!?]['\")\]\u2019\u201d]*+\s+"
            r"|(?<![。！？!?．])[。！？!?．]++[」』）】〉》\u2019\u201d]*+(?![、。と」』）])\s*"
        ),
        0.4,
    ),
    (re.compile(r"\n+"), 0.3),
    (re.compile(r"[\s\u3000]+|[、，；：]"), 0.1),
)
_VISIBLE: Final = re.compile(r"\S")
_WORD_END: Final = re.compile(r"[\s\u3000。、]")
_JOINER: Final = "\u200d"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: `text == whole[start:end]`, `tokens` as the counter says."""

    start: int
    end: int
    text: str
    tokens: int


def split(
    text: str, *, max_tokens: int, count: Callable[[str], int], overlap_tokens: int = 0
) -> Iterator[Piece]:
    """Yield the chunks of a text in order; white space alone makes none.

    `count` tells the tokens of a text and must not fall when the text grows. Without overlap the
    pieces follow each other without a gap but for white space between them. With it each piece still
    goes beyond the one before. A single character that has more tokens than the limit is a piece.
    """
    last = len(text.rstrip())
    start, end = 0, 0
    while seen := _VISIBLE.search(text, start, last):
        start = seen.start()
        limit = _longest(text, start, last, max_tokens, count)
        if limit <= end:  # the overlap leaves no room for anything new
            start = end
            continue
        end = limit if limit == last else _boundary(text, start, end, limit)
        body = text[start:end].rstrip()
        yield Piece(start, start + len(body), body, count(body))
        start = end if end >= last else _with_overlap(text, start, end, overlap_tokens, count)


def _longest(text: str, start: int, last: int, max_tokens: int, count: Callable[[str], int]) -> int:
    """Find the furthest end at which the text from `start` still fits; at least one character."""
    low, step = start + 1, max(1, max_tokens)
    high = min(last, low + step)
    while high < last and count(text[start:high]) <= max_tokens:
        low, step = high, step * 2
        high = min(last, high + step)
    if count(text[start:high]) <= max_tokens:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if count(text[start:middle]) <= max_tokens:
            low = middle
        else:
            high = middle
    return low


def _boundary(text: str, start: int, done: int, limit: int) -> int:
    """Find the last good boundary up to the limit; a whole character before it when there is none.

    `done` is where the chunk before has ended: only what lies beyond it is new.
    """
    begin = max(start, done)
    # One character more shows what follows the limit; white space there is cut off and costs nothing.
    seen = limit + 1
    for pattern, share in BOUNDARIES:
        earliest = begin + max(1, int((limit - begin) * share))
        found = 0
        for match in pattern.finditer(text, earliest, seen):
            if match.end() <= limit or text[limit].isspace():
                found = match.end()
        if found:
            return found
    return _character(text, begin, limit)


def _character(text: str, begin: int, limit: int) -> int:
    """Step back from a limit that would part an accent or a joined sign from its character."""
    end = limit
    while end > begin and _joins(text, end):
        end -= 1
    return end if end > begin else limit


def _joins(text: str, position: int) -> bool:
    """Tell whether the character at a position belongs to the one before it."""
    here = text[position]
    return unicodedata.category(here) in {"Mn", "Mc", "Me"} or _JOINER in {here, text[position - 1]}


def _with_overlap(text: str, start: int, end: int, overlap_tokens: int, count: Callable[[str], int]) -> int:
    """Step back from `end` by at most the overlap, to the start of a word; always past `start`."""
    if not overlap_tokens:
        return end
    low, high = start + 1, end
    while low < high:
        middle = (low + high) // 2
        if count(text[middle:end]) > overlap_tokens:
            low = middle + 1
        else:
            high = middle
    space = _WORD_END.search(text, low - 1, end)
    begin = space.end() if space else low
    while begin < end and _joins(text, begin):
        begin += 1
    return begin
