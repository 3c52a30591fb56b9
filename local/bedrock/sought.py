"""What a schema's property asks for: its words, and the kinds of fact that those words call for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from local.bedrock import lexicon, sentences

_KINDS: Final = (
    "currency", "email", "url", "phone", "role", "title", "summary", "duty", "topic", "percent",
    "date", "money", "firm", "person", "identifier",
)  # fmt: skip
_GENERIC: Final = lexicon.words("generic")


@dataclass(frozen=True)
class Sought:
    """`kinds` come from the property's name; from its description only where the name has none."""

    words: frozenset[str]
    kinds: frozenset[str]
    name: str

    @classmethod
    def read(cls, name: str, rules: Mapping[str, Any]) -> Self:
        """Read a property's name, title and description."""
        spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ").replace("-", " ")
        own = frozenset([*sentences.words(spaced), *spaced.lower().split()])
        told = frozenset(sentences.words(f"{rules.get('title', '')} {rules.get('description', '')}"))
        return cls(own - sentences.STOP_WORDS | told, _kinds(own) or _kinds(told), name)

    @property
    def specific(self) -> frozenset[str]:
        """The words that tell this property from others of its kind."""
        return self.words - _GENERIC


def _kinds(words: frozenset[str]) -> frozenset[str]:
    return frozenset(kind for kind in _KINDS if words & lexicon.words(kind))
