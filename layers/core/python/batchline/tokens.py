"""Tokens: how many a text has for a model.

Three kinds of count, by the family of the model (data/tokens.json):
- exact, by the family's own tokenizer (Claude, gpt-oss);
- near, by a tokenizer that is much like it, with corrections by script (Llama, Qwen, Mistral);
- estimated, by weights per class of character (Nova and whatever publishes no tokenizer).

The error of each, by language, is in docs/pipelines.md, and tests/unit/test_tokens.py holds to it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from pydantic import Field

from batchline import catalog, tokenizers
from batchline.models import Frozen

_LOW: Final = bytes(range(ord("a"), ord("z") + 1)) + b" "
_UPPER: Final = bytes(range(ord("A"), ord("Z") + 1))
_DIGIT: Final = b"0123456789"
_LINE: Final = bytes(range(ord(" ")))
_ASCII: Final = bytes(range(0x80))
_LOW_OR_WIDE: Final = _LOW + bytes(range(0x80, 0x100))
# In UTF-8 the first byte of a character tells its script; those that follow are all below 0xC0.
_FOLLOWING: Final = bytes(range(0x80, 0xC0))
_TWO: Final = bytes(range(0xC0, 0xE0))
_KANA: Final = b"\xe3"
_HAN: Final = bytes(range(0xE4, 0xEA))
_HANGUL: Final = bytes(range(0xEA, 0xEE))
_FOUR: Final = bytes(range(0xF0, 0x100))


class Profile(NamedTuple):
    """How many characters of each class a text has; see data/tokens.json."""

    low: int
    upper: int
    digit: int
    line: int
    mark: int
    two: int = 0
    kana: int = 0
    han: int = 0
    hangul: int = 0
    three: int = 0
    four: int = 0


def profile(text: str) -> Profile:
    """Count the characters of a text by class, at about 1 GB/s.

    Profiles add up: that of a text is the sum of those of its parts.
    """
    data = text.encode("utf-8", "surrogatepass")
    wide = b""
    if not text.isascii():
        data = data.translate(None, _FOLLOWING)
        wide = data.translate(None, _ASCII)
    rest = data.translate(None, _LOW_OR_WIDE)
    low = len(data) - len(wide) - len(rest)
    upper = len(rest) - len(rest := rest.translate(None, _UPPER))
    digit = len(rest) - len(rest := rest.translate(None, _DIGIT))
    line = len(rest) - len(rest := rest.translate(None, _LINE))
    if not wide:
        return Profile(low, upper, digit, line, len(rest))
    return Profile(low, upper, digit, line, len(rest), *_wide(wide))


def _wide(rest: bytes) -> tuple[int, int, int, int, int, int]:
    """Count the classes from `two` on; of most texts nothing is left behind kana and Han."""
    kana = len(rest) - len(rest := rest.translate(None, _KANA))
    han = len(rest) - len(rest := rest.translate(None, _HAN))
    if not rest:
        return 0, kana, han, 0, 0, 0
    hangul = len(rest) - len(rest := rest.translate(None, _HANGUL))
    two = len(rest) - len(rest := rest.translate(None, _TWO))
    four = len(rest) - len(rest := rest.translate(None, _FOUR))
    return two, kana, han, hangul, len(rest), four


class Family(Frozen):
    """Models that read text alike. The tokenizer counts; without one the weights do."""

    weights: Mapping[str, float]
    tokenizer: str | None = None
    scale: float = 1
    corrections: Mapping[str, float] = Field(default_factory=dict)
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts tokens for one model. Called with a text it gives the best count there is.

    `weights` tell in advance, fast and roughly; where there is no tokenizer they are the count, and
    `weighed` says so. `fast`: counting every chunk of a large upload costs little.
    """

    family: Family
    weights: tuple[float, ...]
    corrections: tuple[float, ...]
    weighed: bool
    fast: bool

    def __call__(self, text: str) -> int:
        """Count the tokens; never 0 for a text that is not empty."""
        if not text:
            return 0
        if self.family.tokenizer is None:
            return rounded(self.weigh(text))
        counted = tokenizers.count(text, self.family.tokenizer)
        if self.family.scale == 1:
            return max(1, counted)
        corrected = sum(map(float.__mul__, self.corrections, map(float, profile(text))))
        return rounded(max(counted / 4, counted * self.family.scale + corrected))

    def near(self, text: str) -> float:
        """Count at 30 MB/s: the count itself where `fast`, else a number that grows with it."""
        return self(text) if self.fast else max(1, tokenizers.count(text, "o200k"))

    def weigh(self, text: str) -> float:
        """Estimate the tokens by the classes of the characters; adds up over the parts of a text."""
        return self.weight(profile(text))

    def weight(self, found: Profile) -> float:
        """Estimate the tokens of a text by its profile."""
        return math.sumprod(found, self.weights)


def rounded(tokens: float) -> int:
    """Give the whole number of tokens of an estimate; at least 1."""
    # What floating point leaves behind a whole number must not make it another.
    return max(1, math.ceil(round(tokens, 6)))


@cache
def counter(model: str) -> Counter:
    """Make the counter of a model by any of its ids."""
    family = Family.model_validate(_families()[catalog.model(model).tokens])
    return Counter(
        family=family,
        weights=tuple(family.weights[name] for name in Profile._fields),
        corrections=tuple(float(family.corrections.get(name, 0)) for name in Profile._fields),
        weighed=family.tokenizer is None,
        fast=family.tokenizer in tokenizers.FAST,
    )


@cache
def _families() -> Mapping[str, object]:
    families: Mapping[str, object] = catalog.load("tokens.json")["families"]
    return families


def count_tokens(text: str, model: str) -> int:
    """Count the tokens of a text for a model: 0.4 MB/s for Claude, 30 MB/s or more for others."""
    return counter(model)(text)


def estimate_tokens(text: str, model: str) -> int:
    """Estimate the tokens of a text at 150 MB/s or more: within 45 % for ordinary texts."""
    return rounded(counter(model).weigh(text)) if text else 0
