"""The pages of a PDF, by PDFium: runs in a child, so that the function itself loads none of it."""

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from batchline.errors import Code, Refused
from batchline.formats import furniture, paragraphs, pdfium
from batchline.formats.content import Image, Section

# A document is a scan when none of so many first pages has text.
SAMPLE_PAGES: Final = 10
MAX_BOOKMARKS: Final = 20_000
# The end mark stands in the last bytes; some programs append padding.
END_BYTES: Final = 65_536
# Letters: of a heading that may go on in the next line; of what a heading has and its bookmark has not.
LONG_TITLE: Final = 20
NUMBERING: Final = 12  # "Chapter12.3."
PICTURE: Final = "[This page holds a picture and no text.]"


def parse(file: BinaryIO, *, first: int = 1) -> Iterator[Section | Image]:
    """Yield what `pdf.pages` does, in this process. Raises Refused(FILE_ENCRYPTED or FILE_DAMAGED)."""
    _refuse_truncated(file)
    with pdfium.Document(file) as document:
        scanned = _is_scan(document)
        if not scanned:
            yield from _sections(document, first)
    if scanned:
        yield from _pictures(file, first)


def _refuse_truncated(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    file.seek(max(0, size - END_BYTES))
    if b"%%EOF" not in (end := file.read()) and b"startxref" not in end:
        raise Refused(
            Code.FILE_DAMAGED,
            f"The PDF ends after {size:,} bytes without its end mark: a part is missing. "
            "Upload the whole file.",
        )


def _is_scan(document: pdfium.Document) -> bool:
    """Say whether the first pages have pictures and no text."""
    drawn = False
    for number in range(1, min(len(document), SAMPLE_PAGES) + 1):
        page = document.page(number)
        if page.text.strip():
            return False
        drawn = drawn or page.drawn
    return drawn


def _pictures(file: BinaryIO, first: int) -> Iterator[Image]:
    """Draw the pages that have anything on them: images, or text drawn as shapes."""
    import pypdfium2  # type: ignore[import-untyped]  # noqa: PLC0415 - most PDFs have text

    from batchline.formats import image  # noqa: PLC0415

    document = pypdfium2.PdfDocument(file)
    for number in range(first, len(document) + 1):
        try:
            page = document[number - 1]
        except pypdfium2.PdfiumError as error:
            raise pdfium.damaged_page(number, len(document)) from error
        if any(page.get_objects(max_depth=1)):
            scale = image.PAGE_EDGE / max(*page.get_size(), 1)
            drawn = page.render(scale=scale, may_draw_forms=False)
            yield image.jpeg(drawn.to_pil(), page=number)
            drawn.close()
        page.close()


class _Page(NamedTuple):
    """The lines of one page as they stand on it."""

    lines: list[str]
    edges: furniture.Edges
    width: float
    drawn: bool


def _sections(document: pdfium.Document, first: int) -> Iterator[Section]:
    """Yield the sections of each page with a few pages of sight on both sides."""
    count = len(document)
    outline = _Outline(document)
    near: dict[int, _Page] = {}
    bodies: dict[int, list[str]] = {}

    def body(number: int) -> list[str]:
        for each in range(max(1, number - furniture.REACH), min(count, number + furniture.REACH) + 1):
            if each not in near:
                near[each] = _read(document, each)
        edges = {n: page.edges for n, page in near.items() if abs(n - number) <= furniture.REACH}
        lines = near[number].lines
        return lines[furniture.body(number, edges, len(lines))]

    for number in range(first, count + 1):
        lines = bodies.pop(number, None)
        if lines is None:
            lines = body(number)
        following: list[str] = []
        if number < count:
            following = bodies[number + 1] = body(number + 1)
        around = sorted(near[n].width for n in near if abs(n - number) <= furniture.REACH)
        full = max(near[number].width, around[len(around) // 2])
        if not lines and near[number].drawn:
            lines, following = [PICTURE], []
        yield from _of_page(number, lines, following, full, outline)
        near.pop(number - furniture.REACH, None)


def _read(document: pdfium.Document, number: int) -> _Page:
    text, drawn = document.page(number)
    lines = paragraphs.lines(text)
    return _Page(lines, furniture.edges(lines), paragraphs.width(lines), drawn)


def _of_page(
    number: int, lines: list[str], following: list[str], full: float, outline: "_Outline"
) -> Iterator[Section]:
    """Join the lines of a page and cut the text where a bookmark's heading stands."""
    path = outline.before(number)
    starts, unplaced = outline.on(number, lines)
    path = unplaced or path
    parts: list[str] = []
    ahead = [*lines[1:], *following[:2], "", ""]
    for index, line in enumerate(lines):
        if index in starts:
            if parts:
                yield Section("".join(parts), number, path)
            path, parts = starts[index], []
        after = ahead[index]
        last = index + 1 == len(lines)
        if last and _is_split(line, after):
            line = line[:-1] + paragraphs.HYPHEN  # noqa: PLW2901 PDFium cannot see that the word goes on
        parts.append(paragraphs.bare(line, after))
        title = last and paragraphs.is_title(after, line, ahead[index + 1], full)
        if index in starts or index + 1 in starts or not after or title:
            parts.append("\n\n")
        else:
            parts.append(paragraphs.break_after(line, after, full))
    if parts:
        yield Section("".join(parts), number, path)


def _is_split(line: str, following: str) -> bool:
    """Say whether the last word of a page goes on over the page."""
    return line[-1] == "-" and line[-2:-1].isalpha() and following[:1].islower()


class _Outline:
    """The bookmarks: which path of headings a page begins under, and which headings stand on it."""

    def __init__(self, document: pdfium.Document) -> None:
        entries: list[tuple[int, tuple[str, ...]]] = []
        path: list[str] = []
        for level, text, page in itertools.islice(document.bookmarks(), MAX_BOOKMARKS):
            title = " ".join(paragraphs.lines(text))
            path = [*path[:level], title]
            if page is not None and title:
                entries.append((page, tuple(path)))
        entries.sort(key=lambda entry: entry[0])
        self._pages = [page for page, _ in entries]
        self._paths = [path for _, path in entries]

    def before(self, page: int) -> tuple[str, ...]:
        """Give the path that is open where a page begins."""
        index = bisect_left(self._pages, page)
        return self._paths[index - 1] if index else ()

    def on(self, page: int, lines: list[str]) -> tuple[dict[int, tuple[str, ...]], tuple[str, ...]]:
        """Place the headings of a page: path by index of line, and the path of those found nowhere."""
        paths = self._paths[bisect_left(self._pages, page) : bisect_left(self._pages, page + 1)]
        placed: dict[int, tuple[str, ...]] = {}
        unplaced: tuple[str, ...] = ()
        index = 0
        keys = [line.replace(" ", "") for line in lines] if paths else []
        for path in paths:
            title = path[-1].replace(" ", "")
            found = next((i for i in range(index, len(keys)) if _is_heading(keys[i], title)), None)
            if found is not None:
                placed[found] = path
                index = found + 1
            elif not placed:
                unplaced = path
        return placed, unplaced


def _is_heading(line: str, title: str) -> bool:
    """Say whether a line is a title, perhaps with its number before it, or the first line of a long one."""
    if line == title or (title.startswith(line) and len(line) > LONG_TITLE):
        return True
    return (line.endswith(title) or title.endswith(line)) and abs(len(line) - len(title)) <= NUMBERING
