"""Claude's tokenizer as ctok reconstructs it: the same counts, many times as fast, without its 100 MB.

ctok marks where words begin and end and looks for the fewest pieces of its vocabulary that make up the marked
text. No piece goes beyond the mark at the end of a word or that at the start of one, and none has more than
one Chinese character or Korean syllable. So the count of a text is the sum of those of its units: words, and
what stands between them. Texts repeat their units: what one has is remembered.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from itertools import batched
from operator import itemgetter
from typing import Final

import msgspec
from ctok.constants import ATOM_TO_GLYPH, MARKER_GLYPHS  # type: ignore[import-untyped]
from ctok.engine import ByteFloor, build_vocab, char_cost  # type: ignore[import-untyped]
from ctok.normalize import nfc, raw_head_space, stream_norm  # type: ignore[import-untyped]
from ctok.notation import parse_marked  # type: ignore[import-untyped]

from batchline.tokens import marks
from batchline.tokens.marks import BEGIN, END, ENDINGS, SIGN, WORD
from batchline.tokens.words import Words

# Letters of which words are made, that no sign before them changes: Latin, Greek, Cyrillic, Hebrew, Arabic,
# Devanagari, Thai, kana, wide Latin.
LETTERS: Final = (
    "A-Za-zªµºÀ-ÖØ-öø-ˁΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯ\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3\u0904-\u0939\u0e01-\u0e30"
    "Ḁ-ἕぁ-ゖゝ-ゟァ-ヺー-ヿＡ-Ｚａ-ｚｦ-ﾝ"
)
# No piece joins these to what is around them: signs that stand alone, and digits, of which three are a piece.
ALONE: Final = "々〆㐀-䶿一-鿿가-힣"
_FIXED: Final = f"0-9{ALONE}"
KATAKANA: Final = "ァ-ヺー-ヿ"
# What may stand behind a word and is surely no part of it. Any other sign (an accent, a joiner, a control
# character, a letter of another script) is counted together with all up to the next word.
APART: Final = (
    r"\t\n -/:-@\[-`{-~\xa0-©«-¬®-´¶-¹»-¿×÷\u2000-\u200a\u2010-\u2027\u202f-\u205e₠-₿"
    r"\u2190-\u24b5\u24ea-\u27bf\u3000-\u3004〇-〠・！-＠［-｀｛-･\U0001f300-\U0001f3fa\U0001f400-\U0001faff"
)
_OPEN: Final = rf"[^{LETTERS}{_FIXED}{APART}]"
_TO_WORD: Final = rf"{_OPEN}[^{LETTERS}]*+[{LETTERS}]*+"
# A word, with the space if nothing else parts it from the one before; or what stands between two, with the
# end of a word that an apostrophe shortens, as in "it's".
UNIT: Final = re.compile(
    rf" ?[{LETTERS}]++(?:{_TO_WORD})*+"
    rf"|[{_FIXED}{APART}]++(?:(?<=['‘’])(?:{ENDINGS})(?![{LETTERS}]))?+(?:{_TO_WORD})*+"
    rf"|(?:{_TO_WORD})++"
)
_LETTERED: Final = re.compile(f" ?([{LETTERS}]+)")
_BETWEEN: Final = re.compile(rf"[{_FIXED}{APART}]+(?:{ENDINGS})?")
_RUNS: Final = re.compile(f"([{ALONE}]+)|([0-9]+)|([^{_FIXED}]+)")
_LETTER: Final = re.compile(f"[{LETTERS}]")
# No piece joins white space with other signs, or a space with a line feed.
_SAME: Final = re.compile(r"[^\s]+| +|\t+|\n+")
# Or katakana with other letters.
_SCRIPTS: Final = re.compile(f"{BEGIN}?[{KATAKANA}]+{END}?|[^{KATAKANA}]+")
# Digits have a token for each three.
_DIGITS: Final = 3
# No character has more tokens than this: one for each of its bytes.
_DEAREST: Final = 5
_MOST_SIGNS: Final = 1 << 12
# Longer texts are read unit by unit, which takes less memory.
_AT_ONCE: Final = 1 << 15
# The first and the last units of texts are read differently: so many of them are remembered.
_EDGES: Final = 1 << 11


class _Nothing(msgspec.Struct, gc=False):
    """What tells how a piece was measured is left out."""


class _Scalars(msgspec.Struct):
    fold_quotes: bool
    allcaps_min: int | None


class _Document(msgspec.Struct):
    """A vocabulary file of ctok."""

    meta: _Scalars
    tokens: dict[str, dict[str, _Nothing]]


class Claude:
    """Counts the tokens of texts."""

    def __init__(self, version: str) -> None:
        """Load the vocabulary of Claude `3.0` (up to 4.6), `4.7`, or `4.8` (and later)."""
        name = "pieces_v3.json" if version == "3.0" else "pieces_v4_7.json"
        packed = resources.files("ctok").joinpath("data", name).read_bytes()
        document = msgspec.json.decode(packed, type=_Document)
        groups = document.tokens
        names = (one for name, group in groups.items() if name != "bytes_fallback" for one in group)
        pieces = set(map(_marked, names))
        # These names are those of ctok's own model, whose functions read them here.
        self.frame_bow = version != "4.8"
        self.fold_quotes = document.meta.fold_quotes
        self.allcaps_min = document.meta.allcaps_min
        self.unit_pieces = {one for one in pieces if len(one) == 1} - MARKER_GLYPHS
        self.bytes = ByteFloor(groups["bytes_fallback"], self.unit_pieces)
        self._char_cost_cache: dict[str, int] = {}
        self._costs = Words(self._cost)
        self._pieces = build_vocab(pieces, groups)
        self._singles = {one for one in self._pieces if len(one) == 1}
        # How long the pieces are that begin with two characters, or with the first of them.
        sizes: defaultdict[str, set[int]] = defaultdict(set)
        for one in self._pieces - self._singles:
            sizes[one[:2]].add(len(one))
        self._sizes = {start: (*found, 1) for start, found in sizes.items()}
        self._longest = max(map(len, self._pieces))
        self._word = self._whole(WORD)
        self._sign = self._whole(WORD + SIGN) - self._word
        self._units = Words(self._unit)
        self._amid = Words(self._between, _MOST_SIGNS)
        self._runs = Words(self._tiles)
        self._first = lru_cache(_EDGES)(self._opening)
        self._last = lru_cache(_EDGES)(self._behind)

    def count(self, text: str) -> int:
        """Count the tokens of a text as the only one of a message, without those that frame it."""
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        tokens, first, last = 0, "", ""
        for units in _batches(text):
            tokens += self._units.total(units)
            first, last = first or units[0], units[-1]
        if len(first) == len(text):
            return self._whole(text)
        return tokens + self._first(first) - self._units[first] + self._last(last) - self._units[last]

    def _unit(self, unit: str) -> int:
        """Count the tokens of a unit within a text."""
        if found := _LETTERED.fullmatch(unit):
            marked = marks.word(found[1], self.allcaps_min)
            scripts = _SCRIPTS.findall(marked)
            return self._tiles(marked) if len(scripts) == 1 else self._runs.total(scripts)
        if not _BETWEEN.fullmatch(unit):
            return self._behind(unit)
        tokens, left = 0, WORD
        for found in _RUNS.finditer(unit):
            alone, digits, signs = found.groups()
            if signs:
                right = SIGN if found.end() < len(unit) else "" if _LETTER.match(signs[-1]) else WORD
                tokens += self._amid[left + signs + right]
            else:
                tokens += self._costs.total(alone) if alone else -(-len(digits) // _DIGITS)
            left = SIGN
        return tokens

    def _between(self, signs: str) -> int:
        """Count the tokens of signs between two words or other signs, of which one stands on each side."""
        if (marked := marks.between(signs)) is not None:
            return self._runs.total(_SAME.findall(marked))
        tokens = self._whole(WORD + signs.removeprefix(WORD)) - self._word
        beside = {WORD: self._word, SIGN: self._sign}
        return tokens - (self._sign if signs[0] == SIGN else 0) - beside.get(signs[-1], 0)

    def _opening(self, unit: str) -> int:
        """Count the tokens of the unit that a text begins with; another one follows."""
        if _LETTER.match(unit) and _LETTERED.fullmatch(unit):
            return self._units[unit]
        return self._whole(unit) if _LETTER.match(unit[-1]) else self._whole(unit + WORD) - self._word

    def _behind(self, unit: str) -> int:
        """Count the tokens of a unit behind another; at the end of a text, unless it ends like a word."""
        if _LETTERED.fullmatch(unit):
            return self._units[unit]
        # A unit that begins with a letter cannot be behind a word, of which it would be a part.
        before = WORD + SIGN if _LETTER.match(unit) else WORD
        return self._whole(before + unit) - self._word - (self._sign if len(before) > 1 else 0)

    def _whole(self, text: str) -> int:
        """Count the tokens of a text; nothing is remembered."""
        normal = nfc(text, fold_quotes=self.fold_quotes)
        tokens = self._tiles(stream_norm(normal, self, raw_head_space=raw_head_space(text)))
        lines = len(normal) - len(normal.rstrip("\n"))
        # The frame ends with two line feeds, which are a token that it pays for. Those of the text join them.
        return tokens + (self._tiles("\n" * (lines + 2)) - 1 if lines else 0)

    def _tiles(self, marked: str) -> int:
        """Count the fewest pieces that make up a marked text; one or more for what no piece has."""
        if not marked:
            return 0
        if marked in self._pieces:
            return 1
        if not self._singles.issuperset(marked):
            return self._with_bytes(marked)
        level, tokens, reached = [0], 1, {0}
        near = len(marked) - self._longest  # from where on a piece can reach the end
        while True:
            tokens += 1
            following = []
            for start in level:
                for size in self._sizes.get(marked[start : start + 2], (1,)):
                    stop = start + size
                    if stop not in reached and marked[start:stop] in self._pieces:
                        if stop >= near and marked[stop:] in self._pieces:
                            return tokens
                        reached.add(stop)
                        following.append(stop)
            level = following

    def _with_bytes(self, marked: str) -> int:
        """Count the fewest tokens of a text with characters that have more than one."""
        end = len(marked)
        fewest = [0] * (end + 1)  # from each place to the end
        for start in range(end - 1, -1, -1):
            stops = (start + size for size in self._sizes.get(marked[start : start + 2], ()))
            pieces = (fewest[stop] for stop in stops if stop <= end and marked[start:stop] in self._pieces)
            fewest[start] = min(
                self._costs[marked[start]] + fewest[start + 1], 1 + min(pieces, default=end * _DEAREST)
            )
        return fewest[0]

    def _cost(self, sign: str) -> int:
        """Count the tokens of a sign by itself: a mark, a piece, or its bytes."""
        return 1 if sign in MARKER_GLYPHS else int(char_cost(self, sign))


def _marked(piece: str) -> str:
    """Give the form in which ctok's functions know a piece of its file."""
    if "⟨0x" in piece:
        return str(parse_marked(piece))
    for name, glyph in ATOM_TO_GLYPH.items() if "⟨" in piece else ():
        piece = piece.replace(name, glyph)
    return piece


def _batches(text: str) -> Iterable[list[str]]:
    """Give the units of a text, of a long one some at a time."""
    if 0 < len(text) <= _AT_ONCE:
        return (UNIT.findall(text),)
    return map(list, batched(map(itemgetter(0), UNIT.finditer(text)), _AT_ONCE, strict=False))
