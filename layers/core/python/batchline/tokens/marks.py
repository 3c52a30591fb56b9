"""Marks: where words begin and end, and their capitals, as Claude's tokenizer reads them.

ctok's `stream_norm` marks any text, in Python, sign by sign. What most texts are made of is marked here in a
tenth of the time, and the same way: words, and the signs of ASCII between them.
"""

import re
from typing import Final

from ctok.constants import BOW_G, CAPS_G, CONTRACTION_SUFFIXES, EOW_G, SHIFT_G  # type: ignore[import-untyped]
from ctok.normalize import mark_case  # type: ignore[import-untyped]

BEGIN: Final = str(BOW_G)
END: Final = str(EOW_G)
TITLE: Final = str(SHIFT_G)
CAPITALS: Final = str(CAPS_G)
# What an apostrophe joins to the word before, as in "it's".
ENDINGS: Final = "|".join(sorted(CONTRACTION_SUFFIXES))
# What stands for any word, and for any sign that has no marks: a Chinese character, a digit.
WORD: Final = "x"
SIGN: Final = "一"

_MARK: Final = r"[!-/:-@\[-`{-~]"
_PLAIN: Final = re.compile(rf"([{WORD}{SIGN}])((?:{_MARK}|[ \t\n])+)([{WORD}{SIGN}]|{ENDINGS})")
# Signs are marked where one space parts them from others; an apostrophe before a word is part of that word.
_LEFT_BORDER: Final = re.compile(rf"(?<= )(?={_MARK})(?!'[a-z])")
_RIGHT_BORDER: Final = re.compile(rf"(?<={_MARK})(?= (?! ))")
_LONE_APOSTROPHE: Final = re.compile(rf"(?<!{_MARK})'\Z")


def word(letters: str, capitals_from: int | None) -> str:
    """Mark a word of letters alone; all in capitals it has a mark of its own from so many letters on."""
    small = letters.lower()
    if small == letters:
        return BEGIN + letters + END
    if not letters.isascii():
        marked: str = mark_case(letters, capitals_from)
        case = marked[0] if marked[0] in TITLE + CAPITALS else ""
        return case + BEGIN + marked.removeprefix(case) + END
    if capitals_from is not None and len(letters) >= capitals_from and letters.isupper():
        return CAPITALS + BEGIN + small + END
    if letters[1:] == small[1:]:
        return TITLE + BEGIN + small + END
    return BEGIN + letters + END


def between(signs: str) -> str | None:
    """Mark signs of ASCII, given with what is on either side: a word, a sign, or behind them an ending.

    The marks of those are left out, but for the ending, which is one with the signs. None: there are others
    among the signs.
    """
    found = _PLAIN.fullmatch(signs)
    if not found:
        return None
    left, run, right = found.groups()
    before = END if left == WORD else ""
    behind = {WORD: BEGIN, SIGN: ""}.get(right, right + END)
    if right not in {WORD, SIGN} and not _LONE_APOSTROPHE.search(run):
        behind = BEGIN + behind
    marked = _RIGHT_BORDER.sub(END, _LEFT_BORDER.sub(BEGIN, run + right)).removesuffix(right)
    # Between two marks a single space is not written.
    marked = (before + marked + behind).replace(f"{END} {BEGIN}", END + BEGIN)
    return marked.removeprefix(before).removesuffix(behind if right == WORD else "")
