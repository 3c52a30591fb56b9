"""Claude's tokenizer as ctok reconstructs it: the same counts, many times as fast, without its 100 MB.

ctok marks where words begin and end and looks for the fewest pieces of its vocabulary that make up the marked
text. No piece goes beyond the mark at the end of a word or that at the start of one, and none has more than
one Chinese character or Korean syllable. So the count of a text is the sum of those of its units: words, each
with what stands before it. Texts repeat their units: what one has is remembered. No piece joins a Chinese
character with another sign, so that what stands between two of them can be remembered as a whole.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Final

import msgspec
from ctok.constants import ATOM_TO_GLYPH, BOW_G, EOW_G, MARKER_GLYPHS, SHIFT_G  # type: ignore[import-untyped]
from ctok.engine import ByteFloor, build_vocab, char_cost  # type: ignore[import-untyped]
from ctok.normalize import nfc, raw_head_space, stream_norm  # type: ignore[import-untyped]
from ctok.notation import parse_marked  # type: ignore[import-untyped]

from batchline.tokens.words import STRANGE, Words

# Letters of which words are made, that no sign before them changes: Latin, Greek, Cyrillic, Hebrew, Arabic,
# Devanagari, Thai, kana, wide Latin.
LETTERS: Final = (
    "A-Za-zªµºÀ-ÖØ-öø-ˁΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯ\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3\u0904-\u0939\u0e01-\u0e30"
    "Ḁ-ἕぁ-ゖゝ-ゟァ-ヺー-ヿＡ-Ｚａ-ｚｦ-ﾝ"
)
# No piece joins these to what is around them: signs that stand alone, and digits, of which three are a piece.
ALONE: Final = "々〆㐀-䶿一-鿿가-힣"
_FIXED: Final = f"0-9{ALONE}"
# What may stand behind a word and is surely no part of it. Any other sign (an accent, a joiner, a control
# character, a letter of another script) is counted together with all up to the next word.
APART: Final = (
    r"\t\n -/:-@\[-`{-~\xa0-©«-¬®-´¶-¹»-¿×÷\u2000-\u200a\u2010-\u2027\u202f-\u205e₠-₿"
    r"\u2190-\u24b5\u24ea-\u27bf\u3000-\u3004〇-〠・！-＠［-｀｛-･\U0001f300-\U0001f3fa\U0001f400-\U0001faff"
)
_OPEN: Final = rf"[^{LETTERS}{_FIXED}{APART}]"
_TO_WORD: Final = rf"{_OPEN}[^{LETTERS}]*+"
# A space or an apostrophe is read differently behind a word than elsewhere, so it stays with what it follows.
UNIT: Final = re.compile(
    rf"(?:[{ALONE}]{{1,2}}+|[0-9]{{1,3}}+)(?=[{LETTERS}{_FIXED}]|(?![\s'])[{APART}]|\Z)"
    rf"|[{_FIXED}]*+[{APART}]*+(?:{_TO_WORD})?+[{LETTERS}]++(?:{_TO_WORD}[{LETTERS}]*+)*+"
    rf"|[{_FIXED}]*+[{APART}]*+(?:{_TO_WORD})?+"
)
_LETTER: Final = re.compile(f"[{LETTERS}]")
_CLOSED: Final = re.compile(f"[{LETTERS}{_FIXED}]")
_STANDING: Final = re.compile(f"[{_FIXED}]{{1,3}}")
# Words whose marks are plain to see, which most are.
_LOW: Final = re.compile(r" ?((?:[a-z]+|[ぁ-ゖァ-ヺー]+))")
_TITLE: Final = re.compile(r" ?([A-Z][a-z]*)")
_PLAIN: Final = re.compile("[A-Z]?[a-z]+")
# Signs, what is between, and a word that the sign before it does not shorten as in "it's".
_PARTS: Final = re.compile(rf"([{_FIXED}]*+)([{APART}]++)(?<!['‘’])([{LETTERS}]++)")
# What may stand beside a space so that nothing depends on what is beyond it.
_BORDER: Final = re.compile(rf"(?![\s²³¹¼-¾①-⓿❶-➓])[{LETTERS}{_FIXED}{APART}]")
# Beside these there is no mark: the space between two of them is a token, and that between a mark and one.
BARE: Final = rf"{_FIXED}\u3001-\u3004〇-〠\U0001f300-\U0001faff"
_BARE_PAIR: Final = re.compile(rf" (?<=[{BARE}] )(?=[{BARE}]|(['‘’]))")
# What makes one unit with signs before it, or with those behind it.
_HANGING: Final = re.compile(rf"{_OPEN}|.*{_OPEN}[^{LETTERS}]*\Z", re.DOTALL)
# Chinese characters, and signs of East Asia that ctok takes for such.
CHINESE: Final = r"\u3001-\u3003々\u3007-\u3011\u3014-\u301f㐀-䶿一-鿿"
_BETWEEN: Final = re.compile(f"[^{CHINESE}]+")
_WORD, _SIGN = "x", "一"
# Words are longer than this where spaces do not part them.
_SPARSE: Final = 16
# Any fewer line feeds in a row are one token.
_MANY_LINES: Final = "\n" * 5
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
        # How long pieces are at most that end with two characters.
        self._longest: dict[str, int] = {}
        for one in self._pieces:
            self._longest[one[-2:]] = max(len(one), self._longest.get(one[-2:], 0))
        self._word = self._whole(_WORD)
        self._sign = self._whole(_WORD + _SIGN) - self._word
        self._units = Words(self._unit)
        self._words = Words(self._spaced)
        self._amid = Words(self._amidst)
        self._ends = Words(self.exact, _EDGES)
        # Chinese characters that are no piece: they have more tokens than one.
        single = "".join(filter(re.compile(f"[{CHINESE}]").match, self.unit_pieces))
        self._rare = re.compile(f"[{CHINESE}](?<![{single}])")
        self._first = lru_cache(_EDGES)(self._opening)
        self._last = lru_cache(_EDGES)(self._behind)

    def count(self, text: str) -> int:
        """Count the tokens of a text as the only one of a message, without those that frame it."""
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        start, end = text.find(" "), text.rfind(" ")
        sparse = start == end or text.count(" ") * _SPARSE < len(text)
        if sparse:
            return self._chinese(text)
        if not (_BORDER.match(text[start - 1 : start]) and _BORDER.match(text[end + 1 : end + 2])):
            return self.exact(text)
        # Line feeds belong to the words around them, which are read otherwise than beside a space. However
        # many they are, they are a token, counted with the word behind.
        words = text[start + 1 : end].replace("\n", "\n \n").split(" ")
        tokens = self._words.total(words)
        pairs = _BARE_PAIR.findall(text)
        if tokens >= STRANGE or any(pairs) or _MANY_LINES in text:
            return self.exact(text)
        # A space beside one bare sign was counted with it, so that between two was counted twice.
        ends = self._ends[text[:start] + " " + _WORD] + self._ends[_WORD + text[end:]]
        return ends - 2 * self._word + tokens - len(pairs)

    def _chinese(self, text: str) -> int:
        """Count the tokens of a text by what stands between Chinese characters, of which most are a token."""
        parts = _BETWEEN.findall(text)
        first = parts.pop(0) if parts and text.startswith(parts[0]) else ""
        last = parts.pop() if parts and text.endswith(parts[-1]) else ""
        signs = len(text) - len(first) - len(last) - len("".join(parts))
        tokens = self._amid.total(parts)
        if tokens >= STRANGE or signs <= 1 or _HANGING.match(first) or _HANGING.match(last):
            return self.exact(text)
        ends = self._ends[first + _SIGN + _WORD] + self._ends[_WORD + _SIGN + last]
        tokens += signs - 2  # of which there is one more in each of the ends
        rare = self._rare.findall(text)
        return ends - 2 * self._word + tokens + self._costs.total(rare) - len(rare)

    def exact(self, text: str) -> int:
        """Count the tokens of any text by its units; `count` is faster with what it finds in most texts."""
        batches = _batches(text)
        units = next(batches, [])
        if not units or len(units[0]) == len(text):
            return self._whole(text)
        first = last = units[0]
        tokens = self._first(first) - self._units[first]
        while units:
            tokens += self._units.total(units)
            last = units[-1]
            units = next(batches, [])
        return tokens if _CLOSED.match(last[-1]) else tokens - self._units[last] + self._last(last)

    def _spaced(self, word: str) -> int:
        """Count the tokens of what is between single spaces and line ends, with the space if it is one."""
        if word == "\n\n":
            return 0
        if _PLAIN.fullmatch(word):
            return self._units[word]
        core = word.removeprefix("\n").removesuffix("\n")
        if not (_BORDER.match(core) and _BORDER.match(core[-1])):
            return STRANGE
        before = "\n" if word[0] == "\n" else " "
        behind = "\n" if word[-1] == "\n" else " "
        return self._amid_words(before + core + behind) - (behind == "\n")

    def _amidst(self, part: str) -> int:
        """Count the tokens of what stands between two Chinese characters."""
        if _HANGING.match(part):
            return STRANGE
        return self._amid_words(_SIGN + part + _SIGN) - 2 * self._sign

    def _amid_words(self, part: str) -> int:
        """Count the tokens of a part that stands between words, of which it becomes no part."""
        units = UNIT.findall(_WORD + part + _WORD)  # the first is a word, the last what is found at the end
        return self._units.total(units[1:-1]) - self._word

    def _unit(self, unit: str) -> int:
        """Count the tokens of a unit within a text."""
        if found := _LOW.fullmatch(unit):
            return self._tiles(BOW_G + found[1] + EOW_G)
        if found := _TITLE.fullmatch(unit):
            return self._tiles(SHIFT_G + BOW_G + found[1].lower() + EOW_G)
        if _STANDING.fullmatch(unit):
            return self._tiles(unit)
        if (found := _PARTS.fullmatch(unit)) and found[3] != _WORD:
            sign = _SIGN if found[1] else ""
            between = self._units[sign + found[2] + _WORD] - self._word - (self._sign if sign else 0)
            return self._tiles(found[1]) + between + self._units[found[3]]
        if _CLOSED.match(unit[-1]):
            return self._behind(unit)
        return self._behind(unit + _SIGN) - self._sign

    def _opening(self, unit: str) -> int:
        """Count the tokens of the unit that a text begins with; another one follows."""
        return self._whole(unit) if _CLOSED.match(unit[-1]) else self._whole(unit + _SIGN) - self._sign

    def _behind(self, unit: str) -> int:
        """Count the tokens of a unit behind another; at the end of a text, unless it ends like a word."""
        # A unit that begins with a letter cannot be behind a word, of which it would be a part.
        before = _WORD + _SIGN if _LETTER.match(unit) else _WORD
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
        if marked in self._pieces:
            return 1
        best = [0]
        for end, sign in enumerate(marked, 1):
            least = best[-1] + self._costs[sign]
            longest = self._longest.get(marked[max(0, end - 2) : end], 0)
            for start in range(max(0, end - longest), end - 1):
                if best[start] + 1 < least and marked[start:end] in self._pieces:
                    least = best[start] + 1
            best.append(least)
        return best[-1]

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


def _batches(text: str) -> Iterator[list[str]]:
    """Yield the units of a text, so many at a time that they take little memory."""
    place, size = 0, _AT_ONCE
    while place < len(text):
        units = UNIT.findall(text, place, place + size)
        if not units[-1]:
            units.pop()  # what is found at the end
        if place + size < len(text):
            if len(units) == 1:
                size *= 2
                continue
            units.pop()  # it may go on
        yield units
        place += sum(map(len, units)) if place + size < len(text) else size
        size = _AT_ONCE
