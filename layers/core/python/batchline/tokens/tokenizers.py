"""The public tokenizers, each loaded when a model needs it. All work offline.

Claude's are in claude.py. quicktok brings the vocabularies of gpt-oss (o200k) and of Qwen 3 with its code.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

# So much is handed to native code at once: what it holds of a text stays small, however long the text is.
# Only where two parts meet can a count differ from that of the whole, by a token or two.
MOST_CHARACTERS: Final = 200_000


def _claude(version: str) -> Callable[[str], int]:
    from batchline.tokens.claude import Claude  # noqa: PLC0415 - 20 MB of memory that only Claude's models need

    return Claude(version).count


def _public(vocabulary: str) -> Callable[[str], int]:
    """Load one of quicktok's vocabularies and give its counter."""
    import quicktok  # type: ignore[import-untyped] # noqa: PLC0415 - 65 MB of memory that only some models need

    encoding = quicktok.get_encoding(vocabulary)

    def count(text: str) -> int:
        try:
            return int(encoding.count(text))
        except TypeError:
            # UTF-8 has no half characters. Like tiktoken, take the sign for what is unreadable instead.
            return int(encoding.count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")))

    return lambda text: sum(
        count(text[at : at + MOST_CHARACTERS]) for at in range(0, len(text), MOST_CHARACTERS)
    )


_LOADERS: Final[Mapping[str, Callable[[], Callable[[str], int]]]] = MappingProxyType(
    {
        "claude-3": lambda: _claude("3.0"),  # up to Opus 4.6 and Sonnet 4.6
        "claude-4.7": lambda: _claude("4.7"),
        "claude-4.8": lambda: _claude("4.8"),
        "o200k": lambda: _public("o200k_base"),
        "qwen3": lambda: _public("qwen3"),
    }
)
_loaded = cache(lambda name: _LOADERS[name]())


def count(text: str, tokenizer: str) -> int:
    """Count the tokens of a text, as text alone. Half of a character counts as a sign of its own."""
    return _loaded(tokenizer)(text) if text else 0
