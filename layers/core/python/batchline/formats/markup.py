"""HTML: the whole page as a person reads it, headings and tables as Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Final

import turbohtml
from turbohtml import Axis, Document, Element, Node, PlainText
from turbohtml import Text as Characters

from batchline.formats import encoding, pages, tables
from batchline.formats.content import Section, Text
from batchline.formats.streams import read_exactly, rewound

LONGEST_CELL: Final = 2_000  # characters; more is a table that lays a page out
MOST_COLUMNS: Final = 200
MIN_COLUMNS: Final = 2
MIN_ROWS: Final = 2
_TITLE_CHARACTERS: Final = 300
_CHARSET: Final = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)
_CHARSET_BYTES: Final = 4096  # browsers look through a quarter of this
# What a reader does not see, or only to fill in a form.
_UNREAD: Final = "noscript,iframe,object,video,audio,canvas,svg,button,select,datalist,textarea"
_LISTS: Final = ("ul", "ol", "menu")
_IN_LISTS: Final = frozenset({*_LISTS, "li"})
_PARTS_OF_TABLES: Final = "table,caption,thead,tbody,tfoot,tr,td,th"
_HEADINGS: Final = {f"h{level}": ["#" * level] for level in range(1, 7)}
_FORM: Final = PlainText(bullet="- ")
_GAPS: Final = re.compile(r"\n\n\n+")
# The mark of an item of a list, alone in its line because the item begins with a paragraph.
_ITEM: Final = re.compile(r"^( *(?:-|[0-9]+\.) )\n +", re.MULTILINE)


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    head = read_exactly(stream, _CHARSET_BYTES)
    declared = _CHARSET.search(head)
    blocks = encoding.decode(
        rewound(stream, head), declared=declared[1].decode("ascii", "replace") if declared else None
    )
    return Text(_sections(blocks))


def _sections(blocks: Iterable[str]) -> Iterator[Section]:
    path: list[tuple[int, str]] = []
    for number, piece in enumerate(pages.pieces(blocks)):
        page = turbohtml.parse(piece)
        # The whole page: a guess at the main content loses half of some documents.
        text, found = readable(page)
        if number == 0 and (title := _title(page, text, found)):
            path = [(0, title)]
            yield _section(f"# {title}\n\n", path)
        begin, mark = 0, ""
        for start, stop, level in found:
            if start > begin:
                yield _section(mark + text[begin:start], path)
            begin, mark = start, f"{level} "
            path = [*(one for one in path if one[0] < len(level)), (len(level), _line(text, start, stop))]
        if text:
            yield _section(f"{mark}{text[begin:]}\n\n", path)


def readable(page: Document) -> tuple[str, list[tuple[int, int, str]]]:
    """Give the text of a page, which this changes, and the places of its headings with their marks."""
    page.remove(_UNREAD)
    for bracket in list(page.iter_elements("rp")):
        bracket.unwrap()  # the reading of a Japanese word stands in brackets behind it
    for listed in list(page.iter_elements(_LISTS)):
        _mend(listed)
    if found := list(page.iter_elements("table")):
        for table in found:
            if not table.find("table") and (lines := _table(table)):
                table.replace_with(*table.iter_elements("caption"), Element("pre", None, [Characters(lines)]))
        # Those that are left lay out the page: each of their cells is a block.
        for part in page.select(_PARTS_OF_TABLES):
            part.tag = "div"
    text, headings = page.to_annotated_text(_HEADINGS, _FORM)
    return text, sorted(headings)


def _mend(listed: Element) -> None:
    """Make an item of all that a list holds beside its items: turbohtml leaves it out."""
    strays = [one for one in listed.children if _is_stray(one)]
    for stray in strays:
        if stray.find("li", axis=Axis.CHILDREN):
            stray.unwrap()  # as a link that is never closed goes round items
    for stray in [one for one in listed.children if _is_stray(one)] if strays else ():
        stray.wrap(Element("li"))


def _is_stray(node: Node) -> bool:
    if isinstance(node, Element):
        return node.tag not in _IN_LISTS
    return isinstance(node, Characters) and not node.data.isspace()


def _title(page: Document, text: str, headings: Sequence[tuple[int, int, str]]) -> str:
    """Give the title of a page, unless it has no text or its first heading says the same."""
    found = page.select_one("head > title")
    title = " ".join(found.text.split())[:_TITLE_CHARACTERS] if found and text.strip() else ""
    return "" if headings and _line(text, *headings[0][:2]).casefold() in title.casefold() else title


def _line(text: str, start: int, stop: int) -> str:
    """Give the first line of a heading."""
    return text[start : min(stop, start + _TITLE_CHARACTERS)].partition("\n")[0].strip()


def _section(text: str, path: list[tuple[int, str]]) -> Section:
    if "\n\n\n" in text:
        text = _GAPS.sub("\n\n", text)
    if " \n" in text:
        text = _ITEM.sub(r"\1", text)
    return Section(text, headings=tuple([title for _, title in path]))


def _table(table: Element) -> str:
    """Write a table of data as Markdown; nothing for one that only lays out a page."""
    rows = []
    below: dict[int, tuple[int, str]] = {}  # by column: for how many more rows a cell reaches down
    for row in table.iter_elements("tr"):
        cells: list[str] = []
        for cell in row.iter_elements(("td", "th")):
            text = cell.to_text(_FORM)
            if len(text) > LONGEST_CELL or len(cells) > MOST_COLUMNS:
                return ""
            _fill(cells, below)
            deep, wide = _span(cell, "rowspan"), _span(cell, "colspan")
            if deep > 1:
                below |= dict.fromkeys(range(len(cells), len(cells) + wide), (deep - 1, text))
            cells += [text, *[""] * (wide - 1)]
        _fill(cells, below)
        rows.append(cells)
    if len(rows) < MIN_ROWS or max(map(len, rows)) < MIN_COLUMNS:
        return ""
    return tables.markdown(rows)


def _fill(cells: list[str], below: dict[int, tuple[int, str]]) -> None:
    """Repeat what reaches down from the rows above at the place where the next cell would stand."""
    while found := below.pop(len(cells), None):
        rows, text = found
        if rows > 1:
            below[len(cells)] = rows - 1, text
        cells.append(text)


def _span(cell: Element, name: str) -> int:
    value = cell.attr(name) or ""
    return min(int(value), MOST_COLUMNS) if re.fullmatch(r"[1-9][0-9]{0,5}", value) else 1
