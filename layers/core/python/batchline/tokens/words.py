"""Words: the tokens of a text as a sum over its words, so that each word is counted once.

In ordinary text a few thousand words come again and again. Where a tokenizer never joins what is on both
sides of a space, a text has the tokens of what lies between its spaces, and those can be remembered.
"""

from collections.abc import Callable
from typing import Final

# So many words are remembered, none longer than this: 6 MB at most.
MOST_WORDS: Final = 1 << 15
LONGEST_WORD: Final = 40
# What a text has, at least, that holds a word whose tokens depend on what is beyond its spaces.
STRANGE: Final = 1 << 40


class Words(dict[str, int]):
    """The tokens of words or other parts; `count` tells those of one that is not known yet."""

    def __init__(self, count: Callable[[str], int], most: int = MOST_WORDS) -> None:
        super().__init__()
        self._count = count
        self._most = most

    def __missing__(self, word: str) -> int:
        tokens = self._count(word)
        if len(word) <= LONGEST_WORD:
            if len(self) >= self._most:
                self.clear()
            self[word] = tokens
        return tokens

    def total(self, words: list[str]) -> int:
        """Add up the tokens of words."""
        return sum(map(self.__getitem__, words))
