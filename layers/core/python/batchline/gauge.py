"""Gauge: how much of a text fits into so many tokens, without counting all of it.

A tokenizer that is exact and slow is asked about few chunks. How many tokens each had for its weight tells
how much of the text that follows fits, with a margin, as long as that text is of the same kind: prose,
code, Japanese. What is of a kind not seen before in the document is counted.
"""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from batchline.tokens import Counter, Profile, profile

# Of each document so many characters are counted, and one chunk in so many after them.
COUNTED_CHARACTERS: Final = 16_000
COUNTED_EVERY: Final = 256
# Chunks of one kind differ by less than this in tokens per weight; bench/chunking.py measures it.
MARGIN: Final = 1.1
# Where every chunk is counted, the margin only saves cutting again.
COUNTED_MARGIN: Final = 1.02
# The last counts of each kind; the densest of them is what is reckoned with.
KEPT: Final = 8
# The tokens per weight of the densest ordinary text, until some of the document is counted.
FIRST_RATE: Final = 1.25
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
        self._margin = 1.0 if counter.weighed else COUNTED_MARGIN if counter.fast else MARGIN
        self._rates: dict[tuple[int, ...], deque[float]] = {}
        self._rate = 1.0 if counter.weighed else FIRST_RATE
        self._least_rate = 0.0
        self._refilled = False
        self._guess = limit * 3
        self._seen = 0
        self._pieces = 0

    def fitting(self, text: str) -> int:
        guess = min(len(text), max(1, self._guess))
        found = profile(text[:guess])
        rate = max(self._rate_of(found), self._least_rate)
        self._guess = self._reach(text, self._limit / rate, guess, self._counter.weight(found))
        return self._guess

    def overlapping(self, text: str, tokens: int) -> int:
        # Short texts differ more than chunks do.
        rate = self._rate * (1.0 if self._counter.weighed else self._margin)
        start = _first(lambda start: self._counter.weigh(text[start:]) * rate <= tokens, len(text))
        if self._counter.fast or self._seen < COUNTED_CHARACTERS:
            while start < len(text) and self._counter(text[start:]) > tokens:
                start += -(-(len(text) - start) // 8)
        return start

    def takes(self, body: str, *, last: bool) -> bool:
        if not self._counter.weighed and not self._counts(body, last=last):
            return False
        self._least_rate = 0.0
        self._refilled = False
        self._seen += len(body)
        self._pieces += 1
        return True

    def _counts(self, body: str, *, last: bool) -> bool:
        """Count a chunk if need be, learn from it, and tell whether it is to be taken."""
        found = profile(body)
        weight = self._counter.weight(found)
        rates = self._rates.get(_kind(found))
        if (
            rates
            and not self._counter.fast
            and self._seen >= COUNTED_CHARACTERS
            and self._pieces % COUNTED_EVERY
            and weight * max(rates) * self._margin <= self._limit * 1.001  # floating point
        ):
            self._rate = max(rates) * self._margin
            return True
        tokens = self._counter(body)
        if rates is None:
            rates = self._rates[_kind(found)] = deque(maxlen=KEPT)
        rates.append(tokens / weight)
        self._rate = max(rates) * self._margin
        if tokens > self._limit:
            self._least_rate = tokens / weight * 1.005
            return False
        if len(rates) == 1 and not last and not self._refilled and tokens < FULL * self._limit:
            self._refilled = True
            return False
        return True

    def _rate_of(self, found: Profile) -> float:
        rates = self._rates.get(_kind(found))
        return max(rates) * self._margin if rates else self._rate

    def _reach(self, text: str, room: float, guess: int, weight: float) -> int:
        """Find the longest start of a text that weighs no more than `room`, beginning at a guess."""
        low, low_weight, high = 0, 0.0, len(text) + 1
        density = weight / guess
        for jumps in itertools.count():
            if weight <= room:
                low, low_weight = guess, weight
            else:
                high = guess
            if high - low <= 1:
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


def _kind(found: Profile) -> tuple[int, ...]:
    """Name the kind of a text by the shares of its characters, in coarse steps."""
    total = sum(found) + 1
    _, upper, digit, line, mark, two, kana, han, hangul, three, four = found
    return (
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
