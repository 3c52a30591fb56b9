"""HTML: the whole page as a person reads it, headings and tables as Markdown."""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from batchline.formats import encoding, pages, tables
from batchline.formats.content import Section, Text
from batchline.formats.streams import read_exactly, rewound

# The parser's own types call each step optional, those included that cannot fail here.
type Tree = Any
type Node = Any

LONGEST_CELL: Final = 2_000  # characters; more is a table that lays a page out
MOST_COLUMNS: Final = 200
MIN_COLUMNS: Final = 2
MIN_ROWS: Final = 2
MOST_TABLES: Final = 2_000  # the cells of those that follow stand beside each other without marks
_TITLE_CHARACTERS: Final = 300
# Marks where a heading begins, from the page to its text. No document may hold it: it is no character.
_HEADING_MARK: Final = "\ufdd0"
_CHARSET: Final = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)
_CHARSET_BYTES: Final = 4096  # browsers look through a quarter of this
_GAPS: Final = re.compile(r"\n\n\n+")
_BREAKS: Final = "br,p,div,li,tr"
_HEADING: Final = re.compile(f"{_HEADING_MARK}(#{{1,6}}) ?(.*)")
_MARK: Final = re.compile(f"{_HEADING_MARK}#{{1,6}} ?")
_NO_HEADING: Final = re.compile(f"{_HEADING_MARK}#{{1,6}} *$", re.MULTILINE)


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    head = read_exactly(stream, _CHARSET_BYTES)
    declared = _CHARSET.search(head)
    blocks = encoding.decode(
        rewound(stream, head), declared=declared[1].decode("ascii", "replace") if declared else None
    )
    return Text(_sections(blocks))


def _sections(blocks: Iterable[str]) -> Iterator[Section]:
    path: list[tuple[int, str]] = []
    unmarked = (block.replace(_HEADING_MARK, "") for block in blocks)
    for number, page in enumerate(pages.pieces(unmarked, mark=_HEADING_MARK)):
        # The whole page: a guess at the main content loses half of some documents.
        tree = _tree(page)
        text = extract_plain_text(tree, main_content=False, alt_texts=False, preserve_formatting=True)
        text = _NO_HEADING.sub("", text)
        if "\n\n\n" in text:
            text = _GAPS.sub("\n\n", text)
        if number == 0 and (title := _title(tree, text)):
            path = [(0, title)]
            yield _section(f"# {title}\n\n", path)
        begin = 0
        for mark in _HEADING.finditer(text):
            if mark.start() > begin:
                yield _section(text[begin : mark.start()], path)
            begin = mark.start() + len(_HEADING_MARK)
            level, title = len(mark[1]), mark[2].replace(_HEADING_MARK, "").strip()[:_TITLE_CHARACTERS]
            path = [*(one for one in path if one[0] < level), (level, title)]
        if text:
            yield _section(text[begin:].replace(_HEADING_MARK, "") + "\n\n", path)


def _title(tree: Tree, text: str) -> str:
    """Give the title of a page, unless it has no text or its first heading says the same."""
    title = " ".join((tree.title or "").replace(_HEADING_MARK, "").split())[:_TITLE_CHARACTERS]
    first = _HEADING.search(text)
    said = first is not None and first[2].strip()
    return "" if not text.strip() or (said and said.casefold() in title.casefold()) else title


def _section(text: str, path: list[tuple[int, str]]) -> Section:
    return Section(text, headings=tuple(title for _, title in path))


def _tree(page: str) -> Tree:
    """Parse a page and write into its tree what the text would lose: which cells of tables are in a row."""
    tree: Tree = HTMLTree.parse(page)
    # Slices, because the lists of the parser are live: each step of a loop would search the page again.
    found = tree.document.query_selector_all("table")[: MOST_TABLES + 1]
    for table, following in itertools.zip_longest(found[:MOST_TABLES], found[1:]):
        holds_table = following is not None and table.contains(following)
        if not holds_table and (lines := _table(tree, table)):
            block = tree.create_element("pre")
            block.append_child(tree.create_text_node(lines))
            table.parent.replace_child(block, table)
    return tree


def _table(tree: Tree, table: Node) -> str:
    """Write a table of data as Markdown; nothing for one that only lays out a page."""
    for node in table.query_selector_all(_BREAKS)[:]:
        node.parent.insert_before(tree.create_text_node(" "), node)  # words on two lines are two words
    rows = []
    below: dict[int, tuple[int, str]] = {}  # by column: for how many more rows a cell reaches down
    for row in table.query_selector_all("tr")[:]:
        cells: list[str] = []
        for cell in row.children[:]:
            text = _MARK.sub("", cell.text)
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
    return "\n" + tables.markdown(rows)


def _fill(cells: list[str], below: dict[int, tuple[int, str]]) -> None:
    """Repeat what reaches down from the rows above at the place where the next cell would stand."""
    while found := below.pop(len(cells), None):
        rows, text = found
        if rows > 1:
            below[len(cells)] = rows - 1, text
        cells.append(text)


def _span(cell: Node, name: str) -> int:
    value = cell.getattr(name) or ""
    return min(int(value), MOST_COLUMNS) if re.fullmatch(r"[1-9][0-9]{0,5}", value) else 1
