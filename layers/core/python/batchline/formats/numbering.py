"""The numbers that Word draws before paragraphs and does not store: "1.2", "(a)", "第3条"."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from batchline.formats.office import Package, Start, value

ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
LEVELS: Final = 9
DECIMAL: Final = "decimal"
MAX_ROMAN: Final = 3999
MAX_LETTERS: Final = 30 * 26  # a, b, ... z, aa, bb: it grows longer with each round
MAX_LABEL: Final = 100  # characters


@dataclass(frozen=True, slots=True)
class Level:
    """How one level of a list is numbered; `text` holds %1 to %9 for the numbers of the levels."""

    style: str
    text: str
    start: int


@dataclass(slots=True)
class Numbering:
    """The lists of a document and how far each has been counted."""

    lists: Mapping[str, Mapping[int, Level]]
    counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * LEVELS))

    def label(self, number: str, level: int) -> str:
        """Count one more paragraph of a list and give what Word draws before it, "" for nothing."""
        levels = self.lists.get(number, {})
        own = levels.get(level)
        if own is None:
            return ""
        if own.style == "bullet":
            return "-"
        counts = self.counts[number]
        counts[level] = counts[level] + 1 if counts[level] else own.start
        counts[level + 1 :] = [0] * (LEVELS - level - 1)
        label = own.text
        for index, each in sorted(levels.items()):
            label = label.replace(f"%{index + 1}", numeral(counts[index] or each.start, each.style))
        return label if own.style != "none" else ""


def read(package: Package, part: str) -> Numbering:
    """Read the part numbering.xml. Raises Refused."""
    found = _Definitions()
    for _ in package.walk(part, found.starts, dropped={"lvlOverride"}):
        pass
    return Numbering(found.lists)


class _Definitions:
    """Collects definitions, and the lists that refer to them, while the part is gone through."""

    def __init__(self) -> None:
        self.lists: dict[str, Mapping[int, Level]] = {}
        self._defined: dict[str | None, dict[int, Level]] = {}
        self._levels: dict[int, Level] = {}  # of the definition that is open
        self._level = 0
        self._list = ""
        self.starts: dict[str, Start] = {
            "abstractNum": self._define,
            "lvl": self._begin,
            "numFmt": lambda found: self._say(style=value(found) or DECIMAL),
            "lvlText": lambda found: self._say(text=(value(found) or "")[:MAX_LABEL]),
            "start": lambda found: self._say(start=to_int(value(found), 1)),
            "num": self._use,
            "abstractNumId": self._refer,
        }

    def _define(self, found: Mapping[str, str]) -> None:
        self._levels = self._defined[value(found, "abstractNumId")] = {}

    def _begin(self, found: Mapping[str, str]) -> None:
        self._level = to_int(value(found, "ilvl"))
        if self._level < LEVELS:
            self._levels[self._level] = Level(DECIMAL, "", 1)

    def _say(self, **what: Any) -> None:
        if self._level in self._levels:
            self._levels[self._level] = replace(self._levels[self._level], **what)

    def _use(self, found: Mapping[str, str]) -> None:
        self._list = value(found, "numId") or ""

    def _refer(self, found: Mapping[str, str]) -> None:
        self.lists[self._list] = self._defined.get(value(found), {})


def to_int(text: str | None, otherwise: int = 0) -> int:
    """Read a small number; a damaged file may have anything in its place."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < LEVELS else otherwise


def numeral(number: int, style: str) -> str:
    """Write a number in a style of Word; an unknown style is written in digits."""
    if style in {"lowerLetter", "upperLetter"} and number <= MAX_LETTERS:
        letter = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letter.upper() if style == "upperLetter" else letter
    if style in {"lowerRoman", "upperRoman"} and number <= MAX_ROMAN:
        roman = ""
        for value, sign in ROMAN:
            roman += sign * (number // value)
            number %= value
        return roman.upper() if style == "upperRoman" else roman
    if style == "decimalFullWidth":
        return str(number).translate({ord("0") + digit: ord("０") + digit for digit in range(10)})
    if style == "decimalEnclosedCircle" and number <= 20:  # noqa: PLR2004 the circled numbers of Unicode
        return chr(ord("①") + number - 1)
    return str(number)
