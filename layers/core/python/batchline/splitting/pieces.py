"""Pieces: a text is read as a stream and cut, chunk after chunk, within what the limit takes."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, NamedTuple

from batchline.formats.content import Section
from batchline.splitting.boundaries import Window, beginning, best, fences
from batchline.splitting.gauge import Counted, Gauge, Limit
from batchline.splitting.sentences import LOOK_AHEAD
from batchline.tokens import Counter

# No chunk is longer than so many characters for each token: the memory that a stream takes is bounded,
# whatever a tokenizer makes of a run of spaces.
MOST_CHARACTERS: Final = 8
_READ_CHARACTERS: Final = 1 << 18
_KEPT_BEFORE: Final = 8  # what stands before a chunk in its line
_VISIBLE: Final = re.compile(r"\S")
# Found three times as fast as three signs with `in`.
_FENCES: Final = (re.compile("`(?=``)"), re.compile("~(?=~~)"))


class Piece(NamedTuple):
    """A chunk: characters `start` to `stop` of the text that the sections make when they are joined.

    It has so many `tokens`, if they are known. `page` and `headings` are those of its first character.
    """

    start: int
    stop: int
    text: str
    tokens: int | None = None
    page: int | None = None
    headings: tuple[str, ...] = ()


def split(
    sections: Iterable[Section],
    *,
    max_tokens: int,
    count: Counter | Callable[[str], int],
    overlap_tokens: int = 0,
) -> Iterator[Piece]:
    """Yield the chunks of a text in order; white space alone makes none.

    `count` is `tokens.counter(model)`, or any function that tells the tokens of a text and does not fall
    when the text grows; of functions it is asked about every length that is tried. Without overlap the
    chunks follow each other with nothing but white space between them. With it each goes beyond the one
    before. Only a single character may have more tokens than the limit.

    Where the sections are cut makes no difference; memory is that of the longest section and a few
    chunks. Raises what the iterator of the sections raises.
    """
    limit: Limit = Gauge(count, max_tokens) if isinstance(count, Counter) else Counted(count, max_tokens)
    stream = _Stream(iter(sections))
    reach = MOST_CHARACTERS * max_tokens + 2
    start = stop = 0
    fenced = False
    while (begin := stream.visible(start)) is not None:
        window = _window(stream, begin, reach, fenced=fenced)
        done = max(0, stop - begin)
        body, tokens = _body(window, limit, reach, done)
        if len(body) > done:
            stop = start = begin + len(body)
            page, headings = stream.place(begin)
            yield Piece(begin, stop, body, tokens, page, headings)
            if overlap_tokens and stream.visible(stop) is not None:
                start = begin + max(1, beginning(body, limit.overlapping(body, overlap_tokens)))
        else:  # the overlap leaves no room for anything new
            start = stop
        fenced ^= bisect_left(window.fences, start - begin) % 2 == 1


def _window(stream: "_Stream", begin: int, reach: int, *, fenced: bool) -> Window:
    text = stream.ahead(begin, reach + LOOK_AHEAD)
    found = fences(text) if stream.has_fences else []
    if found and found[0] == 0 and not stream.begins_line(begin):
        del found[0]
    return Window(text, stream.headings(begin, len(text)), found, fenced)


def _body(window: Window, limit: Limit, reach: int, done: int) -> tuple[str, int]:
    """Cut the next chunk; `done` of its characters were in the one before. Too short: nothing new fits."""
    whole = len(window.text) <= reach
    room = window.text.rstrip() if whole else window.text[:reach]
    while True:
        fitting = limit.fitting(room)
        if fitting <= done:
            return "", 0
        end = fitting if whole and fitting == len(room) else best(window, done, fitting)
        body = window.text[:end].rstrip()
        tokens = limit.tokens(body)
        if fitting == 1 or tokens <= limit.most:
            return body, tokens


@dataclass(slots=True)
class _Stream:
    """The text of sections, of which only the part that is worked on is kept."""

    sections: Iterator[Section]
    ended: bool = False
    has_fences: bool = False
    _text: str = ""
    _base: int = 0  # where the kept text begins in the whole
    _needed: int = 0  # what lies before is not asked for again
    # Where page or headings change: (place, page, headings), the last one before `_needed` included.
    _marks: list[tuple[int, int | None, tuple[str, ...]]] = field(default_factory=list)

    def visible(self, start: int) -> int | None:
        """Find the first place from `start` on that is not white space. None: the text ends before."""
        while True:
            self._needed = max(self._needed, start - _KEPT_BEFORE)
            if found := _VISIBLE.search(self._text, start - self._base):
                return self._base + found.start()
            if self.ended:
                return None
            start = max(start, self._base + len(self._text))
            self._read(start + 1)

    def ahead(self, begin: int, size: int) -> str:
        """Give the text from a place on: so many characters, fewer only where it ends."""
        self._needed = max(self._needed, begin - _KEPT_BEFORE)
        self._read(begin + size)
        at = begin - self._base
        return self._text[at : at + size]

    def begins_line(self, place: int) -> bool:
        """Tell whether nothing but a few spaces stands before a place in its line."""
        at = place - self._base
        before = self._text[max(0, at - _KEPT_BEFORE) : at].rstrip(" ")
        return before.endswith("\n") or (not before and place < _KEPT_BEFORE)

    def headings(self, begin: int, size: int) -> list[int]:
        """Find where the path of headings changes behind a place, counted from there."""
        first = max(1, bisect_right(self._marks, begin, key=itemgetter(0)))
        last = bisect_left(self._marks, begin + size, key=itemgetter(0))
        near = range(first, last)
        return [self._marks[at][0] - begin for at in near if self._marks[at][2] != self._marks[at - 1][2]]

    def place(self, begin: int) -> tuple[int | None, tuple[str, ...]]:
        """Give the page and the headings of a place."""
        at = bisect_right(self._marks, begin, key=itemgetter(0)) - 1
        del self._marks[:at]
        _, page, headings = self._marks[0]
        return page, headings

    def _read(self, until: int) -> None:
        """Read up to a place at least, and more at a time than is asked for."""
        end = self._base + len(self._text)
        if self.ended or end >= until:
            return
        until += _READ_CHARACTERS
        parts = [self._text[self._needed - self._base :]] if self._needed > self._base else [self._text]
        self._base = max(self._base, min(self._needed, end))
        for section in self.sections:
            if section.text:
                if not self._marks or self._marks[-1][1:] != (section.page, section.headings):
                    self._marks.append((end, section.page, section.headings))
                parts.append(section.text)
                end += len(section.text)
                if end >= until:
                    break
        else:
            self.ended = True
        self._text = "".join(parts)
        self.has_fences = self.has_fences or any(one.search(self._text) for one in _FENCES)
