"""Tokens: how many a text has for a model."""

from batchline.tokens.counters import (
    Counter,
    Family,
    at_most,
    count_tokens,
    counter,
    estimate_tokens,
    rounded,
)
from batchline.tokens.profiles import Profile, profile

__all__ = [
    "Counter",
    "Family",
    "Profile",
    "at_most",
    "count_tokens",
    "counter",
    "estimate_tokens",
    "profile",
    "rounded",
]
