"""HTML: the whole page as a person reads it, headings and tables as Markdown."""

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

import turbohtml
from turbohtml import Axis, Document, Element, Node, PlainText
from turbohtml import Text as Characters

from batchline.formats import encoding, pages, tables
from batchline.formats.content import Section, Text
from batchline.formats.streams import read_exactly, rewound

LONGEST_CELL: Final = 2_000  # characters; more is a table that lays a page out
MOST_COLUMNS: Final = 200
LARGEST_TABLE: Final = 4_000_000  # characters; more than a piece has is text that reaches down many rows
MOST_CELLS: Final = 1_000_000  # those included that fill up short rows
MIN_COLUMNS: Final = 2
MIN_ROWS: Final = 2
_TITLE_CHARACTERS: Final = 300
_CHARSET: Final = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)
_CHARSET_BYTES: Final = 4096  # browsers look through a quarter of this
# What a reader does not see, or only to fill in a form.
_UNREAD: Final = frozenset(
    {"noscript", "iframe", "object", "video", "audio", "canvas", "svg"}
    | {"button", "select", "datalist", "textarea"}
)
_LISTS: Final = frozenset({"ul", "ol", "menu"})
_IN_LISTS: Final = _LISTS | {"li"}
_CHANGED: Final = tuple(_UNREAD | _LISTS | {"rp", "table"})
_PARTS_OF_TABLES: Final = ("table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th")
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
    return Text(sections(blocks))


def sections(blocks: Iterable[str]) -> Iterator[Section]:
    """Yield the text of a page, which comes in blocks of any size, by its headings."""
    path: list[tuple[int, str]] = []
    for number, piece in enumerate(pages.pieces(blocks)):
        page = turbohtml.parse(piece)
        has_lists = _prepare(page)
        # The whole page: a guess at the main content loses half of some documents.
        text, found = page.to_annotated_text(_HEADINGS, _FORM)
        headings = [
            (start, mark, line) for start, stop, mark in sorted(found) if (line := _line(text, start, stop))
        ]
        if number == 0 and (title := _title(page, text, headings[0][2] if headings else "")):
            path = [(0, title)]
            yield _section(f"# {title}\n\n", path, has_lists=False)
        begin, before = 0, ""
        for start, mark, line in headings:
            if start > begin:
                yield _section(before + text[begin:start], path, has_lists=has_lists)
            begin, before = start, f"{mark} "
            path = [*(one for one in path if one[0] < len(mark)), (len(mark), line)]
        if text:
            yield _section(f"{before}{text[begin:]}\n\n", path, has_lists=has_lists)


def _prepare(page: Document) -> bool:
    """Make of a page what its text is to be written from; tell whether it has lists."""
    found = list(page.iter_elements(_CHANGED))
    for one in found:
        if one.tag in _UNREAD:
            one.extract()
        elif one.tag == "rp":
            one.unwrap()  # the reading of a Japanese word stands in brackets behind it
    lists = [one for one in found if one.tag in _LISTS]
    for one in lists:
        _mend(one)
    if grids := [one for one in found if one.tag == "table"]:
        for one in grids:
            if not one.find("table") and (lines := _table(one)):
                one.replace_with(*one.iter_elements("caption"), Element("pre", None, [Characters(lines)]))
        # Those that are left lay out the page: each of their cells is a block.
        for part in list(page.iter_elements(_PARTS_OF_TABLES)):
            part.tag = "div"
    return bool(lists)


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


def _title(page: Document, text: str, said: str) -> str:
    """Give the title of a page, unless it has no text or `said`, its first heading, says the same."""
    found = page.select_one("head > title")
    title = " ".join(found.text.split())[:_TITLE_CHARACTERS] if found and text.strip() else ""
    return "" if said and said.casefold() in title.casefold() else title


def _line(text: str, start: int, stop: int) -> str:
    """Give the first line of a heading."""
    return text[start : min(stop, start + _TITLE_CHARACTERS)].partition("\n")[0].strip()


def _section(text: str, path: list[tuple[int, str]], *, has_lists: bool) -> Section:
    if "\n\n\n" in text:
        text = _GAPS.sub("\n\n", text)
    if has_lists:
        text = _ITEM.sub(r"\1", text)
    return Section(text, headings=tuple([title for _, title in path]))


def _table(table: Element) -> str:
    """Write a table of data as Markdown; nothing for one that only lays out a page."""
    rows = []
    size = 0
    below: dict[int, tuple[int, str]] = {}  # by column: for how many more rows a cell reaches down
    for row in table.iter_elements("tr"):
        cells: list[str] = []
        for cell in row.iter_elements(("td", "th")):
            text = cell.to_text()
            _fill(cells, below)
            if len(text) > LONGEST_CELL or len(cells) > MOST_COLUMNS:
                return ""
            deep, wide = _span(cell, "rowspan"), _span(cell, "colspan")
            if deep > 1:
                below |= dict.fromkeys(range(len(cells), len(cells) + wide), (deep - 1, text))
            cells += [text, *[""] * (wide - 1)]
        _fill(cells, below)
        size += sum(map(len, cells))
        if size > LARGEST_TABLE:
            return ""
        rows.append(cells)
    columns = max(map(len, rows), default=0)
    if len(rows) < MIN_ROWS or columns < MIN_COLUMNS or len(rows) * columns > MOST_CELLS:
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
    value = cell.attr(name)
    return min(int(value), MOST_COLUMNS) if value and re.fullmatch(r"[1-9][0-9]{0,5}", value) else 1
