"""Cutting a text into chunks of at most so many tokens, at the best boundary that there is."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

# Boundaries from best to worst. A match ends where the next chunk may begin; the share says how much
# of the limit a chunk must fill before this boundary is good enough.
BOUNDARIES: Final = (
    (re.compile(r"\n\s*(?=\n(?:#{1,6} |第.{1,6}[条章節]|(?:CHAPTER|Chapter|BOOK|Article) ))"), 0.5),
    (re.compile(r"\n[ \t\u3000]*\n+"), 0.5),
    (
        re.compile(
            r"[.!?]['\")\]\u2019\u201d]*\s+|[。！？!?．]+[」』）】〉》\u2019\u201d]*(?![、。と」』）])\s*"
        ),
        0.4,
    ),
    (re.compile(r"\n+"), 0.3),
    (re.compile(r"[\s\u3000]+|[、，；：]"), 0.1),
)


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
    pieces follow each other without a gap but for white space between them.
    """
    start, end = 0, 0
    while end < len(text):
        limit = _longest(text, start, max_tokens, count)
        end = limit if limit == len(text) else _boundary(text, start, limit)
        body = text[start:end]
        if stripped := body.strip():
            left = start + len(body) - len(body.lstrip())
            yield Piece(left, left + len(stripped), stripped, count(stripped))
        start = end if end == len(text) else _with_overlap(text, start, end, overlap_tokens, count)


def _longest(text: str, start: int, max_tokens: int, count: Callable[[str], int]) -> int:
    """Find the furthest end at which the text from `start` still fits; at least one character."""
    low, step = start + 1, max(1, max_tokens)
    high = min(len(text), low + step)
    while high < len(text) and count(text[start:high]) <= max_tokens:
        low, step = high, step * 2
        high = min(len(text), high + step)
    if count(text[start:high]) <= max_tokens:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if count(text[start:middle]) <= max_tokens:
            low = middle
        else:
            high = middle
    return low


def _boundary(text: str, start: int, limit: int) -> int:
    """Find the last good boundary before the limit; the limit itself when there is none."""
    for pattern, share in BOUNDARIES:
        earliest = start + max(1, int((limit - start) * share))
        # A boundary may end behind the limit's character: white space at the cut costs nothing.
        found = [m.end() for m in pattern.finditer(text, earliest, limit)]
        if found:
            return found[-1]
    return limit


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
    space = re.compile(r"[\s\u3000。、]").search(text, low, end)
    return space.end() if space else low
