"""Embeddings by feature hashing: equal texts have equal vectors, texts that share words near ones.

Each word and each pair of characters is hashed to a place and a sign (Weinberger et al., 2009,
https://arxiv.org/abs/0902.2206), weighted by the root of its count.
"""

import math
import zlib
from collections import Counter

from local.bedrock import sentences

_WORD_WEIGHT = 1.0
_PIECE_WEIGHT = 0.25


def embed(text: str, *, dimensions: int, normalize: bool) -> list[float]:
    """Return a vector of `dimensions` floats; with `normalize` its length is 1."""
    vector = [0.0] * dimensions
    lowered = text.lower()
    features = Counter(f"w:{word}" for word in sentences.words(text))
    pieces = Counter(f"p:{lowered[at : at + 3]}" for at in range(max(1, len(lowered) - 2)))
    for counted, weight in ((features, _WORD_WEIGHT), (pieces, _PIECE_WEIGHT)):
        for feature, count in counted.items():
            digest = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            sign = 1 if digest & 1 else -1
            vector[(digest >> 1) % dimensions] += sign * weight * math.sqrt(count)
    if not normalize:
        return vector
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else vector


def binary(vector: list[float]) -> list[int]:
    """Return the binary form that Titan offers: 1 where a value is positive, else 0."""
    return [int(value > 0) for value in vector]
