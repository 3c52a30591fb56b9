"""Printed lines back to the text that was set in them.

A page gives lines as they were broken to fit it. Lines that were broken only because the next word did
not fit are joined; all others stay apart: paragraphs by a blank line, headings, list items, code and
table rows by a line feed.
"""

import re
import unicodedata
from bisect import bisect
from collections.abc import Sequence
from typing import Final

# PDFium's sign for a hyphen that ends a line; it stands in place of the line feed, too.
HYPHEN: Final = "\ufffe"
# Han, kana, their punctuation and full-width forms; Korean puts spaces between words.
_CJK: Final = "\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
# Where such a range begins, and where it has ended.
_BOUNDS: Final = [sign for i in range(0, len(_CJK), 3) for sign in (_CJK[i], chr(ord(_CJK[i + 2]) + 1))]
# Typographic signs that stand for letters: ligatures, radicals in place of Han, Symbol's bullet, and
# what no text has.
_ODD: Final = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f\u00a0\u00ad\u2e80-\u2fdf\ufb00-\ufb06\uf0b7\ufffe\uffff]"
)
_DROPPED: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u00ad\uffff]")
_COMPATIBLE: Final = re.compile("[\u2e80-\u2fdf\ufb00-\ufb06]")
_TABS: Final = re.compile(r"[ \t]{2,}")
# Justified Japanese has gaps that read as spaces; between two Han or katakana words a space may be meant.
_SOFT: Final = "\u3001-\u303f\u3041-\u309f"
_GAP: Final = re.compile(f" (?:(?<=[{_SOFT}] )(?=[{_CJK}])|(?<=[{_CJK}] )(?=[{_SOFT}]))")
_LEADERS: Final = re.compile(r"(?: ?[.·…]){4,} *")
_LISTED: Final = re.compile(
    r"(?:[•‣◦▪●○■□◆◇►▶✓✔※・*+–—-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)]|[①-⑳]|[0-9０-９]+[．）])[ \u3000]?\S"
)
_TERMINATORS: Final = frozenset(".!?:;。！？：；．…‥")
_CLOSERS: Final = "\"'”’)]」』）】"
# A line is full when the next line's first word would have made it longer than this share of the width:
# letters differ in width, and after the end of a sentence a break is likelier to be meant.
_FULL: Final = 0.77
_FULL_AFTER_SENTENCE: Final = 0.9
_SHORT: Final = 0.5
_LONGEST_WORD: Final = 30
# No column is narrower, in letters: a page of short lines is a form or a title.
_NARROWEST: Final = 40.0


def lines(text: str) -> list[str]:
    """Cut the text of a page into clean lines without blank ones. A line may end with HYPHEN."""
    if _ODD.search(text):
        text = text.replace(HYPHEN, HYPHEN + "\n").replace("\u00a0", " ").replace("\uf0b7", "•")
        text = _COMPATIBLE.sub(lambda sign: unicodedata.normalize("NFKC", sign.group()), text)
        text = _DROPPED.sub("", text)
    if not text.isascii():
        text = _GAP.sub("", text)
    if "\t" in text:
        text = _TABS.sub(" ", text)
    while "  " in text:
        text = text.replace("  ", " ")
    return [line for each in text.splitlines() if (line := each.strip())]


def width(page: Sequence[str]) -> float:
    """Estimate how much fits in a line of a page: the length that one line in ten exceeds."""
    lengths = sorted(map(_length, page))
    return max(lengths[len(lengths) * 9 // 10], _NARROWEST) if lengths else _NARROWEST


def break_after(line: str, following: str, full: float) -> str:
    """Say what stands between two lines: a blank line, a line feed, a space or nothing."""
    if line.endswith(HYPHEN):
        return ""
    if _LISTED.match(following) or _has_leaders(line):
        return "\n"
    starts_cjk = _is_cjk(following[:1])
    word = 2 if starts_cjk else min(len(following.partition(" ")[0]), _LONGEST_WORD)
    ended = _ends(line)
    if _length(line) + 1 + word <= full * (_FULL_AFTER_SENTENCE if ended else _FULL):
        return "\n\n" if ended else "\n"
    if starts_cjk or _is_cjk(line[-1]) or line[-1] in "-/_":
        return ""
    return " "


def is_title(line: str, before: str, following: str, full: float) -> bool:
    """Say whether a line at the top of a page is short, ends no sentence and follows the end of one."""
    short = _length(line) <= full * _SHORT and break_after(line, following, full) in {"\n", "\n\n"}
    return short and _ends(before) and not _ends(line)


def _ends(line: str) -> bool:
    return line.rstrip(_CLOSERS)[-1:] in _TERMINATORS


def bare(line: str, following: str) -> str:
    """Give a line as it is read: without the hyphen that its break brought, leaders shortened."""
    if line.endswith(HYPHEN):
        line = line[:-1]
        return line if following[:1].islower() else line + "-"
    return _LEADERS.sub(" … ", line).rstrip() if _has_leaders(line) else line


def _has_leaders(line: str) -> bool:
    """Say whether dots lead from an entry to its page; the search is worth it for few lines."""
    return (". ." in line or "..." in line or "…" in line or "··" in line) and bool(_LEADERS.search(line))


def _is_cjk(sign: str) -> bool:
    return bisect(_BOUNDS, sign) % 2 == 1


def _length(line: str) -> float:
    """Measure a line in letters; a sign of three bytes in UTF-8 is twice as wide."""
    return len(line) if line.isascii() else (len(line) + len(line.encode("utf-8", "replace"))) / 2
