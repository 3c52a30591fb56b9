"""Gauge: how much of a text fits into so many tokens, without counting all of it.

The classes of its characters tell about how much of a text fits, at 200 MB/s. The first chunks that are cut
there, of each kind of text (prose, code, Japanese), are counted, and one in so many after them. When those of
a kind are alike, the others of that kind are taken on trust, with a margin; else every chunk is counted.

A chunk is counted with a fast tokenizer, at 30 MB/s. Where the model's own is a slow one, it is asked about
few of them. How many tokens they had for each of the fast tokenizer's tells the most that others have.
"""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from batchline.tokens import Counter, Profile, profile

# Of each document so many characters are counted, and one chunk in so many after them.
COUNTED_CHARACTERS: Final = 12_000
COUNTED_EVERY: Final = 512
# What a chunk may have beyond the densest of its kind that was counted; bench/chunking.py measures it.
MARGIN: Final = 1.1
# The last counts of each kind; the densest of them is what is reckoned with.
KEPT: Final = 8
# The tokens per weight of the densest ordinary text, until some of the document is counted.
FIRST_RATE: Final = 1.25
# The next chunk is taken to be this much denser than the last.
SLACK: Final = 1.04
# Chunks of a kind are taken on trust when so many were counted and they are this much alike in tokens per
# weight, the densest over the sparsest. They may have so much more than the densest, and one in so many is
# counted all the same.
KNOWN: Final = 6
ALIKE: Final = 1.08
TRUST: Final = 1.08
CHECKED_EVERY: Final = 16
# Looking for what fits ends this close to the limit; with a limit of few tokens, at the last character.
CLOSE: Final = 0.01
FEW_TOKENS: Final = 100
# A first chunk that is less full than this is cut again when its rate is known.
FULL: Final = 0.8
# A jump that misses by so few characters is followed by halving what is left.
NEAR: Final = 8
MOST_JUMPS: Final = 12


class Limit(Protocol):
    """What a splitter asks: how much fits, and whether a chunk that was cut keeps to it."""

    def fitting(self, text: str) -> int:
        """Find how much of the start of a text fits; at least one character."""

    def overlapping(self, text: str, tokens: int) -> int:
        """Find where the longest end of a text begins that has at most so many tokens."""

    def takes(self, body: str, *, last: bool) -> bool:
        """Tell whether a chunk keeps to the limit. No: ask again how much fits. `last`: no text follows."""


class Counted:
    """A limit that asks a plain counter about every length it tries."""

    def __init__(self, count: Callable[[str], int], limit: int) -> None:
        self._count = count
        self._limit = limit

    def fitting(self, text: str) -> int:
        low, high = 1, min(len(text), max(2, self._limit))
        while high < len(text) and self._count(text[:high]) <= self._limit:
            low, high = high, min(len(text), high * 2)
        if self._count(text[:high]) <= self._limit:
            return high
        while high - low > 1:
            middle = (low + high) // 2
            if self._count(text[:middle]) <= self._limit:
                low = middle
            else:
                high = middle
        return low

    def overlapping(self, text: str, tokens: int) -> int:
        return _first(lambda start: self._count(text[start:]) <= tokens, len(text))

    def takes(self, body: str, *, last: bool) -> bool:  # noqa: ARG002
        return True


class Gauge:
    """A limit that learns from the chunks of one document; the same ones teach it the same."""

    def __init__(self, counter: Counter, limit: int) -> None:
        self._counter = counter
        self._limit = limit
        self._rates: dict[tuple[int, ...], deque[float]] = {}
        self._ratios: dict[tuple[int, ...], deque[float]] = {}
        self._rate = 1.0 if counter.weighed else FIRST_RATE
        self._least_rate = 0.0
        self._refilled = False
        self._guess = limit * 3
        self._seen = 0
        self._pieces = 0

    def fitting(self, text: str) -> int:
        guess = min(len(text), max(1, self._guess))
        found = profile(text[:guess])
        rate = max(self._rate, self._least_rate)
        self._guess = self._reach(text, self._limit / rate, guess, self._counter.weight(found))
        return self._guess

    def overlapping(self, text: str, tokens: int) -> int:
        # Short texts differ more than chunks do.
        rate = self._rate if self._counter.weighed else self._rate * FIRST_RATE
        start = _first(lambda start: self._counter.weigh(text[start:]) * rate <= tokens, len(text))
        if self._counter.fast or self._seen < COUNTED_CHARACTERS:
            while start < len(text) and self._counter(text[start:]) > tokens:
                start += -(-(len(text) - start) // 8)
        return start

    def takes(self, body: str, *, last: bool) -> bool:
        if not self._counter.weighed and not self._keeps(body, last=last):
            return False
        self._least_rate = 0.0
        self._refilled = False
        self._seen += len(body)
        self._pieces += 1
        return True

    def _keeps(self, body: str, *, last: bool) -> bool:
        """Judge a chunk, learn from it, and tell whether it is to be taken."""
        found = profile(body)
        weight = self._counter.weight(found)
        kind = _kind(found, body)
        rates = self._rates.setdefault(kind, deque(maxlen=3 * KNOWN))
        trusted = len(rates) >= KNOWN and max(rates) <= min(rates) * ALIKE
        if trusted and self._seen >= COUNTED_CHARACTERS and self._pieces % CHECKED_EVERY:
            self._rate = max(rates) * TRUST
            if weight * self._rate <= self._limit * (1 + 1e-9):
                return True
        tokens = self._most(body, kind)
        rates.append(tokens / weight)
        if tokens > self._limit:
            self._least_rate = rates[-1] * 1.005
            return False
        self._rate = max(rates) * TRUST if trusted else rates[-1] * SLACK
        if not self._pieces and not self._refilled and not last and tokens < FULL * self._limit:
            self._refilled = True
            return False
        return True

    def _most(self, body: str, kind: tuple[int, ...]) -> float:
        """Tell the most tokens that a chunk may have; the true number where it is counted."""
        near = self._counter.near(body)
        if self._counter.fast:
            return near
        ratios = self._ratios.setdefault(kind, deque(maxlen=KEPT))
        if ratios and self._seen >= COUNTED_CHARACTERS and self._pieces % COUNTED_EVERY:
            return near * max(ratios) * MARGIN
        tokens = self._counter(body)
        ratios.append(tokens / near)
        return tokens

    def _reach(self, text: str, room: float, guess: int, weight: float) -> int:
        """Find the longest start of a text that weighs no more than `room`, beginning at a guess."""
        low, low_weight, high = 0, 0.0, len(text) + 1
        density = weight / guess
        for jumps in itertools.count():
            if weight <= room:
                low, low_weight = guess, weight
            else:
                high = guess
            if high - low <= 1 or (low and room - low_weight < CLOSE * (room - FEW_TOKENS)):
                break
            step = int((room - low_weight) / density)
            if jumps > MOST_JUMPS:
                guess = (low + high) // 2
            else:
                guess = low + step if step > NEAR else (low + min(high, low + 2 * NEAR) + 1) // 2
                guess = min(max(guess, low + 1), high - 1)
            added = self._counter.weigh(text[low:guess])
            weight = low_weight + added
            density = max(added / (guess - low), density / 4)
        return max(1, low)


def _kind(found: Profile, text: str) -> tuple[int, ...]:
    """Name the kind of a text by the shares of its characters, in coarse steps."""
    total = sum(found) + 1
    low, upper, digit, line, mark, two, kana, han, hangul, three, four = found
    # What has few spaces or few of the letter e is not what European prose is, though its letters are.
    return (
        16 * text.count(" ") // total,
        min(1, 20 * text.count("e") // (low + 1)),
        8 * upper // total,
        8 * digit // total,
        8 * line // total,
        8 * mark // total,
        4 * two // total,
        4 * kana // total,
        4 * han // total,
        4 * hangul // total,
        8 * (three + four) // total,
    )


def _first(holds: Callable[[int], bool], end: int) -> int:
    """Find the first place for which something holds that goes on to hold; `end` if there is none."""
    low, high = 0, end
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
