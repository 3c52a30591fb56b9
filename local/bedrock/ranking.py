"""Ranks the sentences of a document by how well they stand for it.

A sentence counts for more the more of the document's frequent words it holds (its nearness to the
centroid), the more it shares with the question, and a little more if it comes first.
"""

from collections import Counter

from local.bedrock import sentences

_QUESTION_WEIGHT = 3.0
_FIRST_BONUS = 1.15
_MOST_RANKED = 400


def summarize(document: str, *, count: int, question: str = "") -> str:
    """Return the `count` sentences that stand best for `document`, in the document's order."""
    found = sentences.split(document)[:_MOST_RANKED]
    if not found:
        return document.strip()
    chosen = rank(found, question=question)[:count]
    return ("" if sentences.is_japanese(document) else " ").join(found[at] for at in sorted(chosen))


def rank(found: list[str], *, question: str = "") -> list[int]:
    """Return the positions of sentences, the most telling first."""
    content = [sentences.words(sentence) for sentence in found]
    weight: Counter[str] = Counter(word for words in content for word in words)
    asked = set(sentences.words(question))
    scores = []
    for words in content:
        distinct = set(words)
        score: float = sum(weight[word] for word in distinct)
        if asked:
            score += _QUESTION_WEIGHT * sum(weight[word] for word in distinct & asked)
        # Dividing by a slow-growing length prefers whole statements over headings and run-ons.
        scores.append(score / (8 + len(words)))
    scores[0] *= _FIRST_BONUS
    return sorted(range(len(found)), key=lambda at: -scores[at])
