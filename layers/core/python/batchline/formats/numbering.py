"""The numbers that Word draws before paragraphs and does not store: "1.2", "(a)", "第3条"."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from batchline.formats.office import Element, attribute

ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
LEVELS: Final = 9
MAX_ROMAN: Final = 3999


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


def read(tree: Element | None) -> Numbering:
    """Read the part numbering.xml."""
    if tree is None:
        return Numbering({})
    abstract = {attribute(each, "abstractNumId"): _levels(each) for each in tree.iter("{*}abstractNum")}
    return Numbering(
        {
            attribute(each, "numId") or "": abstract.get(attribute(each.find("{*}abstractNumId"), "val"), {})
            for each in tree.iter("{*}num")
        }
    )


def _levels(definition: Element) -> dict[int, Level]:
    found = {}
    for each in definition.iter("{*}lvl"):
        level = to_int(attribute(each, "ilvl"))
        if 0 <= level < LEVELS:
            found[level] = Level(
                attribute(each.find("{*}numFmt"), "val") or "decimal",
                attribute(each.find("{*}lvlText"), "val") or "",
                to_int(attribute(each.find("{*}start"), "val"), 1),
            )
    return found


def to_int(text: str | None, otherwise: int = 0) -> int:
    """Read a small number; a damaged file may have anything in its place."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < LEVELS else otherwise


def numeral(number: int, style: str) -> str:
    """Write a number in a style of Word; an unknown style is written in digits."""
    if style in {"lowerLetter", "upperLetter"}:
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
