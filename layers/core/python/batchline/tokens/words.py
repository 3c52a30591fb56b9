"""Words: the tokens of parts of texts, each counted once: in ordinary text the same come again and again."""

from collections.abc import Callable, Iterable
from typing import Final

# So many words are remembered, none longer than this: 8 MB at most.
MOST_WORDS: Final = 1 << 15
LONGEST_WORD: Final = 100


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

    def total(self, words: Iterable[str]) -> int:
        """Add up the tokens of words."""
        return sum(map(self.__getitem__, words))
