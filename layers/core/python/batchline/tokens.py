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

# In UTF-8 the first byte of a character tells its class; those that follow are all of 0x80 to 0xBF.
_LOW_OR_FOLLOWING: Final = bytes(range(ord("a"), ord("z") + 1)) + b" " + bytes(range(0x80, 0xC0))
_UPPER, _DIGIT, _LINE, _MARK, _TWO, _KANA, _HAN, _HANGUL, _THREE, _FOUR = b"UDLM2KHG34"


def _class(first: int) -> int:
    if first < ord(" "):
        return _LINE
    if first < 0x80:  # noqa: PLR2004 - ASCII
        sign = chr(first)
        return _UPPER if sign.isupper() else _DIGIT if sign.isdigit() else _MARK
    bounds = ((0xE0, _TWO), (0xE3, _THREE), (0xE4, _KANA), (0xEA, _HAN), (0xEE, _HANGUL), (0xF0, _THREE))
    return next((name for bound, name in bounds if first < bound), _FOUR)


_CLASSES: Final = bytes(map(_class, range(0x100)))


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
    found = data.translate(_CLASSES, _LOW_OR_FOLLOWING)
    low = len(text) - len(found)
    upper, digit, line = found.count(_UPPER), found.count(_DIGIT), found.count(_LINE)
    if len(data) == len(text):
        return Profile(low, upper, digit, line, len(found) - upper - digit - line)
    mark, kana, han = found.count(_MARK), found.count(_KANA), found.count(_HAN)
    others = len(found) - upper - digit - line - mark - kana - han
    if not others:
        return Profile(low, upper, digit, line, mark, 0, kana, han)
    two, hangul, three = found.count(_TWO), found.count(_HANGUL), found.count(_THREE)
    four = others - two - hangul - three
    return Profile(low, upper, digit, line, mark, two, kana, han, hangul, three, four)


class Family(Frozen):
    """Models that read text alike. The tokenizer counts; without one the weights do.

    The weights may count low by `low_by` percent. `picture` is the most tokens that a picture has.
    """

    low_by: int
    picture: int
    weights: Mapping[str, float]
    tokenizer: str | None = None
    scale: float = 1
    corrections: Mapping[str, float] = Field(default_factory=dict)
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts tokens for one model. Called with a text it gives the best count there is.

    `weights` tell in advance, fast and roughly; where there is no tokenizer they are the count, and
    `weighed` says so.
    """

    family: Family
    weights: tuple[float, ...]
    corrections: tuple[float, ...]
    weighed: bool

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
    )


@cache
def _families() -> Mapping[str, object]:
    families: Mapping[str, object] = catalog.load("tokens.json")["families"]
    return families


def at_most(estimated: int, model: str) -> int:
    """Say how many tokens there are at most, given how many the weights have told."""
    return -(-estimated * (100 + counter(model).family.low_by) // 100)


def count_tokens(text: str, model: str) -> int:
    """Count the tokens of a text for a model; bench/RESULTS.md says how fast, by tokenizer and language."""
    return counter(model)(text)


def estimate_tokens(text: str, model: str) -> int:
    """Estimate the tokens of a text at 150 MB/s or more: within 45 % for ordinary texts."""
    return rounded(counter(model).weigh(text)) if text else 0
