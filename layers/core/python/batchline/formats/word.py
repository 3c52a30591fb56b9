"""Word documents (.docx) as Markdown, read as a stream: headings, numbered lists, tables, notes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from batchline.formats import isolated, numbering
from batchline.formats.content import Section, Text
from batchline.formats.numbering import Numbering, to_int
from batchline.formats.office import Element, Package, attribute, local
from batchline.formats.tables import row, rule

MAX_LEVEL: Final = 9
# What is read again elsewhere, or is not part of the text: the older drawing of a text box, the place that
# text was moved from, the reading above Han characters.
DROPPED: Final = frozenset({"Fallback", "moveFrom", "rt"})
TAGS: Final = ("{*}p", "{*}tbl", "{*}tr", *(f"{{*}}{each}" for each in sorted(DROPPED)))
RUN: Final = tuple(
    f"{{*}}{each}"
    for each in ("t", "tab", "br", "cr", "noBreakHyphen", "footnoteReference", "endnoteReference")
)
SIGNS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
NOTES: Final = {"footnoteReference": "", "endnoteReference": "e"}
NOTE_PARTS: Final = (("footnotes", "{*}footnote", ""), ("endnotes", "{*}endnote", "e"))


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    """Read a Word document. The iterator raises Refused."""
    return Text(cast("Iterator[Section]", isolated.run(__name__, stream, what="Word document")))


def parse(file: BinaryIO) -> Iterator[Section]:
    """Yield the paragraphs and tables of the body, then the notes, in this process. Raises Refused."""
    package = Package(file, "word")
    parts = {kind: target for kind, target in package.related(package.main).values() if package.has(target)}
    styles = _styles(package.tree(parts["styles"])) if "styles" in parts else {}
    lists = numbering.read(package.tree(parts["numbering"]) if "numbering" in parts else None)
    yield from _Body(styles, lists).sections(package.stream(package.main, TAGS))
    for part, tag, mark in NOTE_PARTS:
        if part in parts:
            for note in package.tree(parts[part]).iter(tag):
                text = " ".join(_text(note).split())
                if text and attribute(note, "type") in {None, "normal"}:
                    yield Section(f"[^{mark}{attribute(note, 'id')}]: {text}\n\n")


@dataclass(frozen=True, slots=True)
class _Style:
    """What a style, or the ones it stands on, says of a paragraph."""

    heading: int | None = None
    number: str | None = None
    level: int = 0


def _styles(tree: Element) -> dict[str, _Style]:
    elements = {attribute(each, "styleId") or "": each for each in tree.iter("{*}style")}
    found: dict[str, _Style] = {}
    for name, element in elements.items():
        heading = number = None
        level = 0
        seen: set[str] = set()
        at: str | None = name
        while at in elements and at not in seen:
            seen.add(at)
            element = elements[at]  # noqa: PLW2901 up the chain of styles
            heading = _heading(element) if heading is None else heading
            if number is None:
                number, level = _numbered(element.find("{*}pPr"))
            at = attribute(element.find("{*}basedOn"), "val")
        found[name] = _Style(heading, number, level)
    return found


def _heading(style: Element) -> int | None:
    """Give the level of a heading's style by its name, which Word keeps in English in every language."""
    name = (attribute(style.find("{*}name"), "val") or "").lower()
    if name == "title":
        return 0
    if name.startswith("heading ") and to_int(name[8:]):
        return to_int(name[8:])
    return _outline(style.find("{*}pPr"))


def _outline(properties: Element | None) -> int | None:
    level = None if properties is None else attribute(properties.find("{*}outlineLvl"), "val")
    return to_int(level) + 1 if level is not None and to_int(level, MAX_LEVEL) < MAX_LEVEL else None


def _numbered(properties: Element | None) -> tuple[str | None, int]:
    """Give the list that a paragraph belongs to and its level in it."""
    found = None if properties is None else properties.find("{*}numPr")
    if found is None:
        return None, 0
    level = to_int(attribute(found.find("{*}ilvl"), "val"))
    return attribute(found.find("{*}numId"), "val"), min(level, MAX_LEVEL - 1)


class _Body:
    """Goes through the body once and forgets what it has written."""

    def __init__(self, styles: dict[str, _Style], lists: Numbering) -> None:
        self._styles = styles
        self._lists = lists
        self._headings: dict[int, str] = {}
        self._path: tuple[str, ...] = ()
        self._rows = 0
        self._listed = False

    def sections(self, elements: Iterator[Element]) -> Iterator[Section]:
        for element in elements:
            tag = local(element)
            if tag in DROPPED:
                element.clear()
            elif tag == "p":
                if _within(element) == "body":
                    yield from self._paragraph(element)
                    _forget(element)
            elif _within(element) == ("table" if tag == "tr" else "body"):
                yield from self._table(element, tag)
        if self._listed:
            yield self._section("\n")

    def _table(self, element: Element, tag: str) -> Iterator[Section]:
        """Write a row of a table, or what follows the table."""
        if tag == "tbl":
            if self._rows:
                yield self._section("\n")
            self._rows = 0
            return
        if self._listed:
            self._listed = False
            yield self._section("\n")
        yield self._section(self._row(element))
        _forget(element)

    def _section(self, text: str) -> Section:
        return Section(text, None, self._path)

    def _row(self, element: Element) -> str:
        cells: list[str] = []
        for cell in element.iter("{*}tc"):
            if next(cell.iterancestors("{*}tr")) is element:
                cells.append("" if _is_continued(cell) else _text(cell))
                cells.extend([""] * (_columns(cell) - 1))
        self._rows += 1
        return row(cells) + (rule(len(cells)) if self._rows == 1 else "")

    def _paragraph(self, element: Element) -> Iterator[Section]:
        text = _text(element).strip()
        if not text:
            return
        properties = element.find("{*}pPr")
        style = _Style()
        if properties is not None:
            style = self._styles.get(attribute(properties.find("{*}pStyle"), "val") or "", style)
        number, level = _numbered(properties)
        if number is None:
            number, level = style.number, style.level
        label = self._lists.label(number, level) if number not in {None, "0"} else ""
        heading = _outline(properties) if style.heading is None else style.heading
        listed = bool(label) and heading is None
        if self._listed and not listed:
            yield self._section("\n")
        self._listed = listed
        if heading is not None:
            title = " ".join(f"{label} {text}".split())
            self._headings = {k: v for k, v in self._headings.items() if k < heading} | {heading: title}
            self._path = tuple(self._headings.values())
            yield self._section(f"{'#' * min(max(heading, 1), 6)} {title}\n\n")
        elif listed:
            lines = text.replace("\n", "\n" + "  " * (level + 1))
            yield self._section(f"{'  ' * level}{label} {lines}\n")
        else:
            yield self._section(f"{text}\n\n")


def _within(element: Element) -> str:
    """Say where an element is: in the body, in a table of the body, or in what is read as a part of else."""
    parent = element.getparent()
    if parent is not None and local(parent) == "body":
        return "body"  # as most are
    tables = 0
    for ancestor in element.iterancestors():
        tag = local(ancestor)
        if tag in DROPPED:
            return "dropped"
        tables += tag == "tbl"
    return ("body", "table", "inner table")[min(tables, 2)]


def _text(element: Element) -> str:
    """Join the text in an element; its paragraphs, if it has several, by spaces."""
    parts: list[str] = []
    for node in element.iter("{*}p", *RUN):
        tag = local(node)
        if tag == "t":
            parts.append(node.text or "")
        elif tag == "p":
            parts.append(" " if parts else "")
        elif tag in NOTES:
            parts.append(f"[^{NOTES[tag]}{attribute(node, 'id')}]")
        elif tag != "tab" or local(cast("Element", node.getparent())) == "r":  # not a tab stop
            parts.append(SIGNS[tag])
    return "".join(parts)


def _columns(cell: Element) -> int:
    return max(1, min(to_int(attribute(cell.find("{*}tcPr/{*}gridSpan"), "val"), 1), 100))


def _is_continued(cell: Element) -> bool:
    """Say whether a cell is the lower part of one that spans rows."""
    merged = cell.find("{*}tcPr/{*}vMerge")
    return merged is not None and attribute(merged, "val") in {None, "continue"}


def _forget(element: Element) -> None:
    """Free an element and those before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
