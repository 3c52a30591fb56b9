"""Ranks the sentences of a document by how well they stand for it.

A sentence counts for more the more of the document's frequent words it holds (its nearness to the
centroid), the more it shares with the question, and a little more if it comes first.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping

from local.bedrock import sentences

_QUESTION_WEIGHT = 3.0
_FIRST_BONUS = 1.15
_MOST_RANKED = 400
_LENGTH_OFFSET = 8
# `From: ...`, `Date: ...`: the head of a letter or a form says little about it.
_HEADER = re.compile(r"[A-Z][\w-]{1,12}:\s")


def summarize(document: str, *, count: int, question: str = "") -> str:
    """Return the `count` sentences that stand best for `document`, in the document's order."""
    every = dict.fromkeys(sentences.split(document)[:_MOST_RANKED])
    found = [sentence for sentence in every if not _HEADER.match(sentence)] or list(every)
    if not found:
        return document.strip()
    chosen = rank(found, question=question)[:count]
    return ("" if sentences.is_japanese(document) else " ").join(found[at] for at in sorted(chosen))


def rank(found: list[str], *, question: str = "") -> list[int]:
    """Return the positions of sentences, the most telling first."""
    content = [sentences.words(sentence) for sentence in found]
    weight = Counter(itertools.chain.from_iterable(content))
    asked = frozenset(sentences.words(question))
    scores = [_score(words, weight, asked) for words in content]
    scores[0] *= _FIRST_BONUS
    return sorted(range(len(found)), key=lambda at: -scores[at])


def _score(words: list[str], weight: Mapping[str, int], asked: frozenset[str]) -> float:
    distinct = set(words)
    score: float = sum(map(weight.__getitem__, distinct))
    if asked:
        score += _QUESTION_WEIGHT * sum(map(weight.__getitem__, distinct & asked))
    # Dividing by a slow-growing length prefers whole statements over headings and run-ons.
    return score / (_LENGTH_OFFSET + len(words))
