"""Boundaries: where a chunk best ends, before a place that it must not go beyond.

From best to worst: before a heading, at a blank line, behind a sentence, at a line feed, behind a clause,
between words, between characters as people see them. Rows of Markdown tables and fenced blocks stay whole
where they can.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import regex  # type: ignore[import-untyped]

from batchline.splitting import sentences

# How much of the room a chunk must fill before a boundary is good enough, or a smaller one is taken.
HEADING: Final = 0.5
PARAGRAPH: Final = 0.5
SENTENCE: Final = 0.4
LINE: Final = 0.3
ANY_SENTENCE: Final = 0.1
CLAUSE: Final = 0.5
WORD: Final = 0.05
# Somebody's text may stand in a fence that is never closed: sentences come before a tiny chunk.
FENCE: Final = 0.25

_HEADING: Final = re.compile(
    r"\n(?=#{1,6} )"
    r"|\n[ \t\u3000]*\n(?=第[^\s]{1,6}[条章節編部]|(?:CHAPTER|Chapter|BOOK|Book|ARTICLE|Article) )"
)
_BLANK_LINE: Final = re.compile(r"\n[ \t\u3000]*\n")
_CLAUSE: Final = re.compile(r"[、，；：;](?!\d)|,(?=\s)")
_SPACE: Final = re.compile(r"[\s\u3000]+")
# A Japanese phrase begins with Han or Katakana behind Hiragana, which is nearly always a word's end.
_PHRASE: Final = re.compile(r"(?<=[\u3041-\u3096])(?=[\u4e00-\u9fff\u30a1-\u30fa])")
_FENCE: Final = re.compile(r"\n {0,3}(?:```|~~~)")
_GRAPHEME: Final = regex.compile(r"\X")
# People see no character of more code points.
_LONGEST_GRAPHEME: Final = 64


class Window(NamedTuple):
    """A text from the start of a chunk, what lies beyond its limit included.

    `headings` are the places where the path of headings changes, `fences` those of the lines that open
    and close fenced blocks; `fenced`: the start is in such a block.
    """

    text: str
    headings: Sequence[int] = ()
    fences: Sequence[int] = ()
    fenced: bool = False

    def in_fence(self, place: int) -> bool:
        """Tell whether what is cut here would part a fenced block."""
        return (bisect_right(self.fences, place - 1) % 2 == 1) != self.fenced

    def outside(self, place: int) -> int:
        """Find the last place up to this one where nothing would part a fenced block; -1: there is none."""
        if not self.in_fence(place):
            return place
        before = bisect_right(self.fences, place - 1)
        return self.fences[before - 1] if before else -1

    def in_row(self, place: int) -> bool:
        """Tell whether what is cut here would part a row of a Markdown table."""
        line = self.text.rfind("\n", 0, place) + 1
        if not self.text.startswith("|", line) or line == place:
            return False
        return not self.text.startswith("\n", place) and place < len(self.text)


def fences(text: str) -> list[int]:
    """Find the lines that open and close fenced blocks; the text begins with a line."""
    return [found.start() for found in _FENCE.finditer("\n" + text)]


def best(window: Window, low: int, limit: int) -> int:
    """Find the best end of a chunk in `low < end <= limit`; white space may follow it."""
    for share, places in _FINDERS:
        earliest = low + max(1, int((limit - low) * share))
        for place in places(window, earliest, limit):
            if low < place <= limit:
                return place
    return _character(window.text, low, limit)


def _headings(window: Window, low: int, limit: int) -> Iterator[int]:
    at = [place for place in window.headings if low <= place <= limit]
    at += [one.start() for one in _HEADING.finditer(window.text, low, limit + 1)]
    yield from (place for place in sorted(at, reverse=True) if not window.in_fence(place))


def _blank_lines(window: Window, low: int, limit: int) -> Iterator[int]:
    found = [one.start() for one in _BLANK_LINE.finditer(window.text, low, limit + 2)]
    yield from (place for place in reversed(found) if not window.in_fence(place))


def _before_fence(window: Window, low: int, limit: int) -> Iterator[int]:
    """Find the start of a block that goes beyond the limit."""
    if low < (place := window.outside(limit)) < limit:
        yield place


def _sentences(window: Window, low: int, limit: int) -> Iterator[int]:
    for place in sentences.last_end(window.text, low, window.outside(limit)):
        if not window.in_fence(place) and not window.in_row(place):
            yield place


def _lines(window: Window, low: int, limit: int) -> Iterator[int]:
    place = window.text.rfind("\n", low, limit + 1)
    if place > 0:
        yield place


def _clauses(window: Window, low: int, limit: int) -> Iterator[int]:
    found = [one.end() for one in _CLAUSE.finditer(window.text, low, limit)]
    yield from (place for place in reversed(found) if not window.in_row(place))


def _words(window: Window, low: int, limit: int) -> Iterator[int]:
    text = window.text
    spaces = [one.start() for one in _SPACE.finditer(text, low, limit + 1)]
    phrases = [one.start() for one in _PHRASE.finditer(text, max(low, limit - sentences.LOOK_AHEAD), limit)]
    yield from sorted(spaces[-1:] + phrases[-1:], reverse=True)


_FINDERS: Final[tuple[tuple[float, Callable[[Window, int, int], Iterator[int]]], ...]] = (
    (HEADING, _headings),
    (PARAGRAPH, _blank_lines),
    (FENCE, _before_fence),
    (SENTENCE, _sentences),
    (LINE, _lines),
    (ANY_SENTENCE, _sentences),
    (CLAUSE, _clauses),
    (WORD, _words),
)


def _character(text: str, low: int, limit: int) -> int:
    """Find the last end of a character as people see them; the limit if there is none in reach."""
    begin = max(low, limit - _LONGEST_GRAPHEME)
    ends = [one.end() for one in _GRAPHEME.finditer(text, begin, limit + _LONGEST_GRAPHEME)]
    return max((end for end in ends if begin < end <= limit), default=limit)


def beginning(text: str, low: int) -> int:
    """Find where a chunk best begins at or behind a place: a sentence, else a word, else a character.

    The end of the text is the end of the chunk before, which the new one repeats in part.
    """
    line = text.rfind("\n", 0, low) + 1
    for end in sentences.ends(text, max(line, low - sentences.CONTEXT)):
        if low <= end < len(text):
            return end
    space = _SPACE.search(text, max(0, low - 1))
    if space and space.end() < len(text):
        return space.end()
    begin = max(0, low - _LONGEST_GRAPHEME)
    starts = (one.start() for one in _GRAPHEME.finditer(text, begin))
    return next((start for start in starts if start >= low), len(text))
