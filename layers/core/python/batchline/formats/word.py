"""Word documents (.docx) as Markdown, read as a stream: headings, numbered lists, tables, notes."""

import os
import zipfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final, NamedTuple, cast, override

from batchline.formats import isolated, numbering, zipped
from batchline.formats.content import Section, Text
from batchline.formats.numbering import Numbering, to_int
from batchline.formats.office import End, Package, Start, value
from batchline.formats.tables import row, rule

WHAT: Final = "Word document"
MAX_LEVEL: Final = 9
MAX_SPAN: Final = 100
MAX_COLUMNS: Final = 1_000  # more cells are written, but no more of what they span
MAX_BASES: Final = 20  # styles that a style is based on, one on the other
TITLE_CHARACTERS: Final = 300
# What is read again elsewhere, or is not part of the text: the older drawing of a text box, the place that
# text was moved from, the reading above Han characters, tab stops, what properties were before.
DROPPED: Final = frozenset({"Fallback", "moveFrom", "rt", "tabs", "pPrChange", "tcPrChange"})
# What a paragraph, or its style, says of itself.
PROPERTIES: Final = ("pStyle", "numId", "ilvl", "outlineLvl")
SIGNS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
NOTES: Final = {"footnoteReference": "", "endnoteReference": "e"}
NOTE_PARTS: Final = (("footnotes", "footnote", ""), ("endnotes", "endnote", "e"))
# Up to these sizes, packed and unpacked, a document is read in this process: whatever was done to it, the
# standard library's own reader needs a few seconds and 200 MB at most.
SMALL_BYTES: Final = 8_000_000
SMALL_UNPACKED_BYTES: Final = 16_000_000


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    """Read a Word document. The iterator raises Refused."""
    return Text(_sections(stream))


def _sections(stream: BinaryIO) -> Iterator[Section]:
    with isolated.kept(stream, WHAT) as file:
        if _is_small(file):
            yield from parse(file)
        else:
            yield from cast("Iterator[Section]", isolated.run_on(__name__, file, what=WHAT))


def _is_small(file: BinaryIO) -> bool:
    """Tell a document that is read in this process; it is left at its start."""
    size = file.seek(0, os.SEEK_END)
    try:
        unpacked = sum(one.file_size for one in zipfile.ZipFile(file).infolist()) if size < SMALL_BYTES else 0
    except zipped.DAMAGED:
        unpacked = 0  # which is told when it is read
    file.seek(0)
    return size < SMALL_BYTES and unpacked < SMALL_UNPACKED_BYTES


def parse(file: BinaryIO) -> Iterator[Section]:
    """Yield the paragraphs and tables of the body, then the notes, in this process. Raises Refused."""
    package = Package(file, "word")
    parts = {kind: target for kind, target in package.related(package.main).values() if package.has(target)}
    styles = _styles(package, parts["styles"]) if "styles" in parts else {}
    lists = numbering.read(package, parts["numbering"]) if "numbering" in parts else Numbering({})
    body = _Body(styles, lists)
    for _ in package.walk(package.main, body.starts, body.ends, text=body.text, dropped=DROPPED):
        yield from body.written()
    body.end()
    yield from body.written()
    for part, tag, mark in NOTE_PARTS:
        if part in parts:
            notes = _Notes(tag, mark)
            for _ in package.walk(parts[part], notes.starts, notes.ends, text=notes.text, dropped=DROPPED):
                yield from notes.written()


class _Style(NamedTuple):
    """What a style, or the ones it stands on, says of a paragraph."""

    heading: int | None = None
    number: str | None = None
    level: int = 0


def _styles(package: Package, part: str) -> dict[str, _Style]:
    found: dict[str, dict[str, str]] = {}
    said: dict[str, str] = {}

    def style(attributes: Mapping[str, str]) -> None:
        nonlocal said
        said = found[value(attributes, "styleId") or ""] = {}

    def says(name: str) -> Start:
        def say(attributes: Mapping[str, str]) -> None:
            said[name] = value(attributes) or ""

        return say

    starts = {name: says(name) for name in ("name", "basedOn", *PROPERTIES)}
    for _ in package.walk(part, starts | {"style": style}, dropped={"tblStylePr", *DROPPED}):
        pass
    return {name: _inherited(name, found) for name in found}


def _inherited(name: str, styles: Mapping[str, Mapping[str, str]]) -> _Style:
    """Ask a style and those that it is based on."""
    heading = number = None
    level = 0
    seen: set[str] = set()
    while name in styles and name not in seen and len(seen) < MAX_BASES:
        seen.add(name)
        said = styles[name]
        heading = _heading(said) if heading is None else heading
        if number is None:
            number, level = _numbered(said)
        name = said.get("basedOn", "")
    return _Style(heading, number, level)


def _heading(style: Mapping[str, str]) -> int | None:
    """Give the level of a heading's style by its name, which Word keeps in English in every language."""
    name = style.get("name", "").lower()
    if name == "title":
        return 0
    if name.startswith("heading ") and to_int(name[8:]):
        return min(to_int(name[8:]), MAX_LEVEL)
    return _outline(style)


def _outline(said: Mapping[str, str]) -> int | None:
    level = to_int(said.get("outlineLvl"), MAX_LEVEL)
    return level + 1 if level < MAX_LEVEL else None


def _numbered(said: Mapping[str, str]) -> tuple[str | None, int]:
    """Give the list that a paragraph belongs to and its level in it."""
    return said.get("numId"), min(to_int(said.get("ilvl")), MAX_LEVEL - 1)


class _Texts:
    """Joins the text of runs while a part is gone through; what is written is fetched after each block."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._reading = False
        self._path: tuple[str, ...] = ()
        self._texts: list[str] = []
        self._sections: list[Section] = []
        self.starts: dict[str, Start] = {
            "t": self._start_text,
            "p": self._start_paragraph,
            **{name: self._adds(sign) for name, sign in SIGNS.items()},
            **{name: self._refers(mark) for name, mark in NOTES.items()},
        }
        self.ends: dict[str, End] = {"t": self._end_text}

    def text(self, data: str) -> None:
        if self._reading:
            self._parts.append(data)

    def written(self) -> list[Section]:
        """Give what has been written since this was asked the last time."""
        self._close()
        written, self._sections = self._sections, []
        return written

    def _write(self, text: str) -> None:
        self._texts.append(text)

    def _close(self) -> None:
        """End the section that is written: what follows stands elsewhere."""
        if self._texts:
            self._sections.append(Section("".join(self._texts), None, self._path))
            self._texts = []

    def _start_text(self, _: Mapping[str, str]) -> None:
        self._reading = True

    def _end_text(self) -> None:
        self._reading = False

    def _start_paragraph(self, _: Mapping[str, str]) -> None:
        """Part a paragraph from what stands before it in the same cell or note."""
        if self._parts:
            self._parts.append(" ")

    def _adds(self, sign: str) -> Start:
        return lambda _: self._parts.append(sign)

    def _refers(self, mark: str) -> Start:
        return lambda attributes: self._parts.append(f"[^{mark}{value(attributes, 'id')}]")


class _Notes(_Texts):
    """Writes footnotes or endnotes."""

    def __init__(self, tag: str, mark: str) -> None:
        super().__init__()
        self._mark = mark
        self._note: Mapping[str, str] = {}
        self.starts |= {tag: self._start_note}
        self.ends |= {tag: self._end_note}

    def _start_note(self, attributes: Mapping[str, str]) -> None:
        self._note = attributes
        self._parts = []

    def _end_note(self) -> None:
        text = " ".join("".join(self._parts).split())
        if text and value(self._note, "type") in {None, "normal"}:
            self._write(f"[^{self._mark}{value(self._note, 'id')}]: {text}\n\n")


class _Body(_Texts):
    """Writes paragraphs and tables.

    A paragraph in another one, that of a text box, comes before it. A table in a cell is text of the cell.
    """

    def __init__(self, styles: Mapping[str, _Style], lists: Numbering) -> None:
        super().__init__()
        self._styles = styles
        self._lists = lists
        self._said: dict[str, str] = {}  # the properties of the paragraph that is open
        self._outer: list[tuple[list[str], dict[str, str]]] = []  # what is open around what is read
        self._tables = 0  # how many are open
        self._rows = 0
        self._cells: list[str] = []
        self._span = 1
        self._continued = False
        self._headings: dict[int, str] = {}
        self._listed = False
        self.starts |= {
            **{name: self._says(name) for name in PROPERTIES},
            "tbl": self._start_table,
            "tr": self._start_row,
            "tc": self._start_cell,
            "gridSpan": self._spans,
            "vMerge": self._merges,
        }
        self.ends |= {
            "p": self._end_paragraph,
            "tbl": self._end_table,
            "tr": self._end_row,
            "tc": self._end_cell,
        }

    def end(self) -> None:
        self._end_list()

    def _says(self, name: str) -> Start:
        def say(attributes: Mapping[str, str]) -> None:
            self._said[name] = value(attributes) or ""

        return say

    @override
    def _start_paragraph(self, _: Mapping[str, str]) -> None:
        if self._tables:
            super()._start_paragraph(_)
        else:
            self._enter()

    def _end_paragraph(self) -> None:
        if self._tables:
            return
        text = "".join(self._parts).strip()
        if text:
            self._paragraph(text)
        self._leave()
        if self._parts and self._parts[-1] != " ":
            self._parts.append(" ")

    def _enter(self) -> None:
        self._outer.append((self._parts, self._said))
        self._parts, self._said = [], {}

    def _leave(self) -> None:
        self._parts, self._said = self._outer.pop()

    def _paragraph(self, text: str) -> None:
        heading: int | None = None
        label = ""
        level = 0
        if said := self._said:
            style = self._styles.get(said.get("pStyle", ""), _Style())
            number, level = _numbered(said) if "numId" in said else (style.number, style.level)
            label = self._lists.label(number, level) if number not in {None, "0"} else ""
            heading = _outline(said) if style.heading is None else style.heading
        if self._listed and (heading is not None or not label):
            self._end_list()
        if heading is not None:
            title = " ".join(f"{label} {text}".split())
            self._close()
            self._headings = {k: v for k, v in self._headings.items() if k < heading}
            self._headings[heading] = title[:TITLE_CHARACTERS]
            self._path = tuple(self._headings.values())
            self._write(f"{'#' * min(max(heading, 1), 6)} {title}\n\n")
        elif label:
            self._listed = True
            lines = text.replace("\n", "\n" + "  " * (level + 1))
            self._write(f"{'  ' * level}{label} {lines}\n")
        else:
            self._write(f"{text}\n\n")

    def _end_list(self) -> None:
        if self._listed:
            self._listed = False
            self._write("\n")

    def _start_table(self, _: Mapping[str, str]) -> None:
        if not self._tables:
            self._enter()
            self._rows = 0
        self._tables += 1

    def _end_table(self) -> None:
        self._tables -= 1
        if not self._tables:
            self._leave()
            if self._rows:
                self._write("\n")

    def _start_row(self, _: Mapping[str, str]) -> None:
        if self._tables == 1:
            self._cells = []

    def _end_row(self) -> None:
        if self._tables == 1 and self._cells:
            self._end_list()
            self._rows += 1
            self._write(row(self._cells) + (rule(len(self._cells)) if self._rows == 1 else ""))

    def _start_cell(self, _: Mapping[str, str]) -> None:
        if self._tables == 1:
            self._parts = []
            self._span = 1
            self._continued = False

    def _end_cell(self) -> None:
        if self._tables == 1:
            self._cells.append("" if self._continued else "".join(self._parts))
            if len(self._cells) < MAX_COLUMNS:
                self._cells.extend([""] * (self._span - 1))

    def _spans(self, attributes: Mapping[str, str]) -> None:
        if self._tables == 1:
            self._span = max(1, min(to_int(value(attributes), 1), MAX_SPAN))

    def _merges(self, attributes: Mapping[str, str]) -> None:
        """Note that a cell is the lower part of one that spans rows."""
        if self._tables == 1:
            self._continued = value(attributes) in {None, "continue"}
