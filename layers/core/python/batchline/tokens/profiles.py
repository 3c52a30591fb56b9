"""Profiles: how many characters of each class a text has, from which weights estimate its tokens."""

from typing import Final, NamedTuple

# In UTF-8 the first byte of a character tells its class; those that follow are all of 0x80 to 0xBF.
_LOW_OR_FOLLOWING: Final = bytes(range(ord("a"), ord("z") + 1)) + b" " + bytes(range(0x80, 0xC0))
_UPPER, _DIGIT, _LINE, _MARK, _TWO, _KANA, _HAN, _HANGUL, _THREE, _FOUR = b"UDLM2KHG34"


def _class(first: int) -> int:
    if first < ord(" "):
        return _LINE
    if first < 0x80:  # noqa: PLR2004 - ASCII
        sign = chr(first)
        return _UPPER if sign.isupper() else _DIGIT if sign.isdigit() else _MARK
    bounds = ((0xE0, _TWO), (0xE3, _THREE), (0xE4, _KANA), (0xEA, _HAN), (0xEE, _HANGUL), (0xF0, _THREE))
    return next((name for bound, name in bounds if first < bound), _FOUR)


_JAPANESE: Final = bytes((_KANA, _HAN))
_CLASSES: Final = bytes(map(_class, range(0x100)))


class Profile(NamedTuple):
    """How many characters of each class a text has; see data/tokens.json."""

    low: int
    upper: int
    digit: int
    line: int
    mark: int
    two: int = 0
    kana: int = 0
    han: int = 0
    hangul: int = 0
    three: int = 0
    four: int = 0


def profile(*texts: str) -> Profile:
    """Count the characters of texts by class, at about 1 GB/s.

    Profiles add up: that of a text is the sum of those of its parts.
    """
    data = b"".join([one.encode("utf-8", "surrogatepass") for one in texts])
    length = sum(map(len, texts))
    found = data.translate(_CLASSES, _LOW_OR_FOLLOWING)
    low = length - len(found)
    if len(data) == length:
        upper, digit, line = found.count(_UPPER), found.count(_DIGIT), found.count(_LINE)
        return Profile(low, upper, digit, line, len(found) - upper - digit - line)
    rest = found.translate(None, _JAPANESE)  # few signs, which are soon counted
    upper, digit, line = rest.count(_UPPER), rest.count(_DIGIT), rest.count(_LINE)
    mark, two, hangul, three, four = map(rest.count, (_MARK, _TWO, _HANGUL, _THREE, _FOUR))
    kana = found.count(_KANA)
    han = len(found) - len(rest) - kana
    return Profile(low, upper, digit, line, mark, two, kana, han, hangul, three, four)
