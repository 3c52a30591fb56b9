"""Splits prose into sentences and words, English and Japanese."""

import functools
import re
from collections.abc import Iterator

from local.bedrock import lexicon

# A full stop ends a sentence only before white space, so that 1.5 and example.com stay whole.
_SENTENCE = re.compile(
    r"(?:[^\n.!?。！？]+|[.!?]+(?![\"'”’)\]]*(?:\s|$)))+(?:[.!?]+[\"'”’)\]]*|[。！？]+[」』）]*)?"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|No|Inc|Ltd|Co|Corp|St|Art|Sec|vs|approx|e\.g|i\.e|[A-Z])\.)$"
)
# A line break inside a sentence: the next line goes on in lower case, or the line was a full one.
# It begins with the break itself, so that the text between breaks costs nothing.
_SOFT_BREAK = re.compile(
    r"\n(?:(?<=[a-z,;]\n)[ \t]*(?=[a-z(])|(?<=[^\n.!?:|]{50}[\w,;-]\n)[ \t]*(?=[A-Za-z0-9\"(]))"
)
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+|[一-龥々ァ-ヶー]{2,}")
_CJK = re.compile(r"[一-龥々ァ-ヶー]")
_LIST_MARK = re.compile(r"^(?:\s*(?:[-*•・]|\d{1,3}[.)]|[>#]+)\s+)+")
_SHORTEST_STEMMED = 4
_LONGEST_ENDING = 10
STOP_WORDS = lexicon.words("stop")


def split(text: str) -> list[str]:
    """Return the sentences of `text` in order, trimmed, list marks removed, none of them empty."""
    return list(_joined(_SENTENCE.findall(_SOFT_BREAK.sub(" ", text))))


def _joined(pieces: list[str]) -> Iterator[str]:
    """Put back together what an abbreviation's full stop has torn apart."""
    held = ""
    for piece in pieces:
        stripped = piece.strip()
        if not stripped:
            continue
        if held:
            held = f"{held} {stripped}"
        else:
            held = stripped if stripped[0].isalpha() else _LIST_MARK.sub("", stripped)
        if not (held.endswith(".") and _ABBREVIATION.search(held, len(held) - _LONGEST_ENDING)):
            yield held
            held = ""
    if held:
        yield held


def words(text: str) -> list[str]:
    """Return the content words of `text`: lower-case English, and pairs of Japanese characters."""
    found: list[str] = []
    for word in _WORD.findall(text):
        found.extend(_content(word))
    return found


def is_japanese(text: str) -> bool:
    """Say whether `text` has enough kanji or kana for Japanese rules to apply."""
    return len(_CJK.findall(text[:400])) * 8 > len(text[:400])


@functools.lru_cache(maxsize=1 << 16)
def _content(word: str) -> tuple[str, ...]:
    """Return what a word counts as: nothing, its stem, or its pairs of characters."""
    if word[0] >= "ぁ":
        return tuple(word[at : at + 2] for at in range(len(word) - 1))
    lowered = word.lower()
    return () if lowered in STOP_WORDS else (_stem(lowered),)


def _stem(word: str) -> str:
    """Cut the commonest English endings, so that `payment` and `payments` are one word."""
    if word.endswith("ies") and len(word) >= _SHORTEST_STEMMED:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss") and len(word) >= _SHORTEST_STEMMED:
        return word[:-1]
    return word
