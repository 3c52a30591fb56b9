"""Gauge: how much of a text fits into so many tokens, while each text is counted about once.

The classes of its characters tell about how much of a text fits, at 200 MB/s. What is cut there is counted:
if it is over the limit it is cut shorter, and its tokens per weight tell how much of the text behind it fits.
"""

import itertools
from collections.abc import Callable
from typing import Final, Protocol

from batchline.tokens import Counter, profile

# The tokens per weight of the densest ordinary text, until some of the document is counted.
FIRST_RATE: Final = 1.25
# The next chunk is taken to be this much denser than the last.
SLACK: Final = 1.04
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
        self._rate = 1.0 if counter.weighed else FIRST_RATE
        self._least_rate = 0.0
        self._guess = limit * 3
        self._first = True
        # What fitted the last time, and its weight.
        self._fitting = ""
        self._weight = 0.0

    def fitting(self, text: str) -> int:
        guess = min(len(text), max(1, self._guess))
        found = profile(text[:guess])
        rate = max(self._rate, self._least_rate)
        weight = self._counter.weight(found)
        self._guess, self._weight = self._reach(text, self._limit / rate, guess, weight)
        self._fitting = text[: self._guess]
        return self._guess

    def overlapping(self, text: str, tokens: int) -> int:
        # Short texts differ more than chunks do.
        rate = self._rate if self._counter.weighed else self._rate * FIRST_RATE
        start = _first(lambda start: self._counter.weigh(text[start:]) * rate <= tokens, len(text))
        while start < len(text) and self._counter(text[start:]) > tokens:
            start += -(-(len(text) - start) // 8)
        return start

    def takes(self, body: str, *, last: bool) -> bool:
        if self._counter.weighed:
            return True
        tokens = self._counter(body)
        rate = tokens / (self._weight - self._counter.weigh(self._fitting[len(body) :]))
        if tokens > self._limit:
            self._least_rate = rate * 1.005
            return False
        self._rate = rate * SLACK
        refill = self._first and not last and tokens < FULL * self._limit
        self._first = False
        if not refill:
            self._least_rate = 0.0
        return not refill

    def _reach(self, text: str, room: float, guess: int, weight: float) -> tuple[int, float]:
        """Find the longest start of a text that weighs no more than `room`, and its weight, from a guess."""
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
        return (low, low_weight) if low else (1, self._counter.weigh(text[:1]))


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
