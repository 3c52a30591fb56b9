"""Counters: the tokens of a text for a model, by the best means its family has.

Three kinds of count, by the family of the model (data/tokens.json):
- exact, by the family's own tokenizer (Claude, gpt-oss, Qwen);
- near, by a tokenizer that is much like it, with corrections by script (Llama, Mistral);
- estimated, by weights per class of character (Nova and whatever publishes no tokenizer).

The error of each, by language, is in docs/pipelines.md, and tests/unit/tokens/test_tokens.py holds to it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pydantic import Field

from batchline import catalog
from batchline.models import Frozen
from batchline.tokens import tokenizers
from batchline.tokens.profiles import Profile, profile


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

    `weights` tell in advance, fast and roughly; where there is no tokenizer they are the count.
    """

    family: Family
    weights: tuple[float, ...]
    corrections: tuple[float, ...]

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

    def weigh(self, *texts: str) -> float:
        """Estimate the tokens by the classes of the characters; adds up over the parts of a text."""
        return math.sumprod(profile(*texts), self.weights)


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
