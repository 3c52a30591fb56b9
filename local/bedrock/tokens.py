"""Token counts from character counts, per model family.

No tokenizer runs here: a count is the text's Latin and its Chinese or Japanese characters, each
divided by the family's ratio in `data/models.json`, which also states where each ratio comes from.
Ordinary prose is met within 10 %; code and JSON have more tokens than this says.
"""

import math

from local.bedrock import catalog


class TokenCounter:
    """Counts and cuts text for one family of `characters_per_token`."""

    def __init__(self, family: str) -> None:
        ratio = catalog.characters_per_token(family)
        self._per_latin = 1 / ratio.latin
        self._per_cjk = 1 / ratio.cjk

    def count(self, text: str) -> int:
        """Return the tokens of `text`: 0 only for no text."""
        return math.ceil(self._weight(text) - 1e-9)

    def cut(self, text: str, limit: int) -> str:
        """Return the longest beginning of `text` that has at most `limit` tokens."""
        if self.count(text) <= limit:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self._weight(text[:middle]) <= limit:
                low = middle
            else:
                high = middle - 1
        return text[:low]

    def _weight(self, text: str) -> float:
        if text.isascii():
            return len(text) * self._per_latin
        # UTF-8 spends three bytes on a CJK character and one or two on Latin ones, so the extra
        # bytes tell the scripts apart without a walk over the characters. Unpaired surrogates can
        # stand in a JSON string and count like CJK.
        extra = len(text.encode("utf-8", "surrogatepass")) - len(text)
        wide = min(len(text), extra / 2)
        return wide * self._per_cjk + (len(text) - wide) * self._per_latin
