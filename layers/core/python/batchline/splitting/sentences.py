"""Where sentences end, in English, Japanese, Chinese, Korean and mixtures of them.

A stop ends a sentence unless what stands around it says otherwise: an abbreviation, a decimal, a number of
a list, a quotation that the sentence goes on after (「行く。」と言った), a bracket that is still open.
"""

import re
from collections.abc import Iterator
from typing import Final

# What stands between brackets is one thing, as long as it is on one line and not too long. Possessive
# quantifiers look at no character more often than the depth of brackets.
_LONGEST: Final = 400
# So far back a search begins, to see the bracket in whose middle it would begin otherwise.
CONTEXT: Final = 3 * _LONGEST
# So far beyond a stop it is seen what follows.
LOOK_AHEAD: Final = 64


def _between(opened: str, closed: str) -> str:
    inner = rf"[^{opened}{closed}\n]{{0,{_LONGEST}}}+"
    return rf"{opened}{inner}(?:{opened}{inner}{closed}{inner}){{0,8}}+{closed}"


_BRACKETS: Final = ("「」", "『』", "（）", "()", "【】", "《》", "〈〉", "“”", "［］")
_SPAN: Final = "|".join(_between(*map(re.escape, pair)) for pair in _BRACKETS)
_OPENING_BRACKETS: Final = "".join(re.escape(opened) for opened, _ in _BRACKETS)
_OPENED: Final = re.compile(f"[{_OPENING_BRACKETS}]")
_WIDE: Final = "。！？｡．‼⁇⁈⁉"
_STOPS: Final = f"{_WIDE}.!?…"
_CLOSING: Final = "」』）)】》〉”’\"'］]"
_CLOSED: Final = f"[{re.escape(_CLOSING)}]"
# What begins with no such sign is passed over in half the time.
_STOP: Final = re.compile(
    rf"(?=[{_OPENING_BRACKETS}{_STOPS}])"
    rf"(?:(?P<span>{_SPAN})|(?P<stop>[{_STOPS}]++)(?P<closing>{_CLOSED}*+))"
)
_ENDS_INSIDE: Final = re.compile(rf"[{_STOPS}]{_CLOSED}+\Z")
_OPENING: Final = " \t\n\r\u3000\"'“‘(（[「『*_"
_WORD: Final = re.compile(r"[^\W\d_]+")
_KANA_OR_HAN: Final = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff々〆]")
# The word before a stop, brackets and quotes left out; a list's number stands alone at the start of a line.
_BEFORE: Final = re.compile(r"[^\s\u3000(\[{\"'“‘（「、。]{1,24}\Z")
_NUMBERING: Final = re.compile(r"(?:^|\n)[ \t\u3000]*[(（]?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\Z")
_DOTTED: Final = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")

# A Japanese sentence goes on after a quotation or a mark with a particle or with は、が、の..., which
# also begin words: those are named.
_GOES_ON: Final = re.compile(
    r"[、，,：；・…―—～〜=＝的]"
    r"|と(?!ても|ころ|にかく|うとう|もかく|りあえず|もあれ|ある|きどき|なり|たん|っさ)"
    r"|って|か(?=[、。「をはがの])|という|など|なんて|なんか|なら(?!ば、)|とか|だの|から(?!だ|す)|まで|より|を|へ(?!え|や)|っぽ"
    r"|は(?!い|じめ|たして|っ|る|な|ず|て|や)|が(?!ん|っ|く|け)|の(?!ち|ど|ん|び|ぼ|り)"
    r"|に(?!も|わ|っ|や|ほん|おい)|も(?!う|し|ち|っ|はや|と|の|し)|で(?!も、|は、|き|すから)"
    r"|や(?!が|っ|は|め|ま|さ|む)|だった|だろう|である|です(?!から)|だ(?=[。、と])|みたい|らしい"
)
_QUOTATIONS: Final = re.compile(r"(?:「[^「」\n]*+」)++")
_SPEECH: Final = "「『“"
_SAYS: Final = re.compile(r"[^\s，。！？、“”]{0,5}?(?:说|问|喊|答|叫|想|笑|(?<!知)道)(?!：)")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Names that hold a stop.
_NAMES: Final = ("モーニング娘。", "Yahoo!", "Yahoo！")
# These never end a sentence: a name or a number follows.
_TITLES: Final = _words(
    "mr mrs ms mx dr prof st mt ft gen col sgt capt lt cmdr adm rev hon sen rep gov pres messrs mme mlle vs "
    "cf approx ca viz e.g i.e eg ie"
)
# These end none before a number.
_COUNTED: Final = _words(
    "no nos fig figs eq eqs sec secs art arts vol vols ch chap p pp para paras ref refs ex app apt tab ver v "
    "op cl col cols ll jan feb mar apr jun jul aug sep sept oct nov dec"
)
# These end one before a word that begins sentences.
_MAY_END: Final = _words(
    "etc inc ltd co corp bros jr sr ave blvd rd al dept est assn govt univ a.m p.m u.s u.k u.n e.u ph.d m.d "
    "b.a m.a d.c b.c a.d jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun"
)
_BEGINNERS: Final = _words(
    "the a an this that these those it its he she they we you i his her their our my your there here in on "
    "at by for from to with after before when while if as since although though because however but and or "
    "so then thus therefore moreover meanwhile no not all some many most each every both what who why how "
    "where which is are was were do does did please see let"
)


def ends(text: str, start: int = 0, stop: int | None = None) -> Iterator[int]:
    """Yield where sentences end in `text[start:stop]`, without the white space behind them.

    `start` should be the start of a sentence or a line. What follows `stop` is looked at, not searched.
    """
    return (one.end() for one in _stops(text, start, stop) if _ends_with(text, one))


def last_end(text: str, low: int, high: int) -> Iterator[int]:
    """Yield the ends of sentences in `text[low:high + 1]` from the last to the first."""
    while low <= high:
        # Most often there is one close to the end.
        middle = max(low, high - 500)
        found = [one for one in _stops(text, _before(text, middle), high) if one.end() >= middle]
        yield from (one.end() for one in reversed(found) if _ends_with(text, one))
        high = middle - 1


def _stops(text: str, start: int, stop: int | None) -> Iterator[re.Match[str]]:
    """Find the stops and the brackets in `text[start:stop]`; they may end a sentence."""
    stop = len(text) if stop is None else stop
    for found in _STOP.finditer(text, start, stop + LOOK_AHEAD):
        if found.end() <= stop:
            yield found
        elif found.start() >= stop:
            return


def _before(text: str, place: int) -> int:
    """Find where to begin so that what ends from a place on is seen whole: its brackets and its stop."""
    first = max(text.rfind("\n", 0, place) + 1, place - CONTEXT)
    if bracket := _OPENED.search(text, first, place):
        return bracket.start()
    return first + len(text[first:place].rstrip(_STOPS + _CLOSING))


def _ends_with(text: str, found: re.Match[str]) -> bool:
    """Tell whether a sentence ends with a stop, or with a bracket that has one inside."""
    end = found.end()
    after = text[end : end + LOOK_AHEAD]
    if found["span"]:
        return _ENDS_INSIDE.search(found[0]) is not None and _ends_bracket(text, found.start(), end, after)
    if not after or after.startswith("\n\n"):
        return True
    if text.endswith(_NAMES, 0, found.start() + 1) and not after[0].isspace():
        return False
    if set(found["stop"]).isdisjoint(_WIDE):
        return _ends_narrow(text, found, after)
    return _ends_wide(text, found, after)


def _ends_wide(text: str, found: re.Match[str], after: str) -> bool:
    """Decide for the signs of East Asia."""
    signs, closing = found["stop"], found["closing"]
    if closing:
        return _ends_quotation(closing[-1], after)
    if signs[0] == "．" and not _KANA_OR_HAN.match(text, found.start() - 1):
        return False
    return signs[-1] in "。｡．" or not _GOES_ON.match(after)


def _ends_bracket(text: str, start: int, end: int, after: str) -> bool:
    """Tell whether a sentence ends with a bracket or a quotation that has a stop at its end."""
    if text[start] in _SPEECH:
        return _ends_quotation(text[end - 1], after)
    # A bracket is a sentence of its own where it begins like one and ends like one.
    before = text[max(0, start - LOOK_AHEAD) : start].rstrip(" \t")[-1:]
    alone = not before or before in "\n\u3000.!?" + _WIDE + _CLOSING
    return not after or (alone and after[0].isspace())


def _ends_quotation(closing: str, after: str) -> bool:
    """Tell whether a sentence ends with a closing sign behind a stop."""
    if quotations := _QUOTATIONS.match(after):
        # 「はい！」「はい！」と言った is one sentence.
        after = after[quotations.end() :]
    if not after:
        return True
    if closing in "”’\"')" and after[0].isspace():
        return not _begins(after).islower()
    if after[0] in _CLOSING + _STOPS or "가" <= after[0] <= "힣":
        return False
    if after[0].isascii() and not after[0].isspace():
        return after[0] in "(["
    return not _GOES_ON.match(after) and not (closing in "”’" and _SAYS.match(after))


def _ends_narrow(text: str, found: re.Match[str], after: str) -> bool:
    """Decide for the signs of ASCII, which also stand in words and numbers."""
    at = found.start()
    signs = found["stop"]
    asian = at > 0 and _KANA_OR_HAN.match(text, at - 1) is not None
    if not after[0].isspace():
        if set(signs) == {"…"} or found["closing"] or not _KANA_OR_HAN.match(after):
            return asian and bool(found["closing"]) and _ends_quotation(found["closing"][-1], after)
        if signs == ".":
            return asian
        return not _GOES_ON.match(after) and set(signs) != {"."}
    following = _begins(after)
    if following.islower() or (following and following in ",;:)]"):
        return False
    if signs == "." and not asian:
        return not _abbreviates(text, at, following, after)
    return True


def _abbreviates(text: str, at: int, following: str, after: str) -> bool:
    """Tell whether the full stop at a place belongs to the word or the number before it."""
    context = text[max(0, at - 32) : at]
    if _NUMBERING.search(context):
        return True
    before = _BEFORE.search(context)
    if before is None:
        return False
    word = before[0]
    name = word.lower().lstrip("-–—/")
    next_word = _WORD.match(after.lstrip(_OPENING))
    begun = next_word is not None and next_word[0].lower() in _BEGINNERS
    if name in _TITLES:
        return True
    if name in _COUNTED and following.isdigit():
        return True
    if name in _MAY_END or _DOTTED.fullmatch(name):
        return not begun and not _KANA_OR_HAN.match(following) and following.isalnum()
    # An initial: J. Smith. The word I may end a sentence.
    return (
        len(word) == 1
        and word.isalpha()
        and word.isupper()
        and word != "I"
        and following.isalpha()
        and not begun
    )


def _begins(after: str) -> str:
    """Give the first character behind a stop, opening signs left out; empty: none is in sight."""
    return after.lstrip(_OPENING)[:1]
