"""Gauge: how much of a text fits into so many tokens, while each text is counted about once.

How many tokens a byte had in the chunk before tells about how much of the text fits now. What is cut there is
counted: if it is over the limit, it is cut shorter. Languages differ less in tokens per byte of UTF-8 (0.23
for English, 0.30 for Japanese) than in tokens per character.
"""

from collections.abc import Callable
from typing import Final, Protocol

# What comes is taken to be this much denser than what was counted last.
SLACK: Final = 1.02


class Limit(Protocol):
    """What a splitter asks: how much fits into `most` tokens, and how many a chunk has that was cut."""

    most: int

    def fitting(self, text: str) -> int:
        """Find how much of the start of a text fits; at least one character."""

    def overlapping(self, text: str, tokens: int) -> int:
        """Find where the longest end of a text begins that has at most so many tokens."""

    def tokens(self, body: str) -> int:
        """Count the tokens of a chunk. More than `most`: ask again how much fits."""


class Counted:
    """A limit that asks a plain counter about every length it tries."""

    def __init__(self, count: Callable[[str], int], most: int) -> None:
        self._count = count
        self.most = most

    def fitting(self, text: str) -> int:
        low, high = 1, min(len(text), max(2, self.most))
        while high < len(text) and self._count(text[:high]) <= self.most:
            low, high = high, min(len(text), high * 2)
        if self._count(text[:high]) <= self.most:
            return high
        while high - low > 1:
            middle = (low + high) // 2
            if self._count(text[:middle]) <= self.most:
                low = middle
            else:
                high = middle
        return low

    def overlapping(self, text: str, tokens: int) -> int:
        return _first(lambda start: self._count(text[start:]) <= tokens, len(text))

    def tokens(self, body: str) -> int:
        return self._count(body)


class Gauge:
    """A limit that learns from the chunks of one document; the same ones teach it the same."""

    def __init__(self, count: Callable[[str], int], most: int) -> None:
        self._count = count
        self.most = most
        self._rate = 0.0  # tokens per byte
        self._tries = 0

    def fitting(self, text: str) -> int:
        if not self._rate:
            self._learn(text[: self.most])
        return len(_at_most(text, self.most / self._rate))

    def overlapping(self, text: str, tokens: int) -> int:
        start = len(text) - len(_at_most(text[::-1], tokens / self._rate))
        while start < len(text) and self._count(text[start:]) > tokens:
            start += -(-(len(text) - start) // 8)
        return start

    def tokens(self, body: str) -> int:
        tokens = self._learn(body)
        if tokens <= self.most:
            self._tries = 0
        else:
            # More from try to try: in a dense text with a thin end, its own rate alone leads there slowly.
            self._rate *= SLACK**self._tries
            self._tries += 1
        return tokens

    def _learn(self, text: str) -> int:
        tokens = self._count(text)
        self._rate = SLACK * tokens / len(_bytes(text))
        return tokens


def _at_most(text: str, size: float) -> str:
    """Give the longest start of a text that has no more bytes than so many; at least one character."""
    near = text[: max(1, int(size))]
    return near if near.isascii() else _bytes(near)[: max(1, int(size))].decode("utf-8", "ignore") or near[0]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


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
