"""Markdown: the text as it is, cut where headings begin."""

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from batchline.formats import encoding
from batchline.formats.content import Section, Text

# What begins a line and matters: a heading, a fence, or the underline of a heading. The search is for
# line feeds, several times as fast as one for the beginnings of lines.
_MARK: Final = re.compile(
    r"\n {0,3}(?:"
    r"(?P<hashes>#{1,6})(?:[ \t]+(?P<title>.*))?"
    r"|(?P<fence>`{3,}(?=[^`\n]*$)|~{3,}).*"
    r"|(?P<underline>=+|-+)[ \t]*"
    r")$",
    re.MULTILINE,
)
_UNDERLINE: Final = re.compile(r" {0,3}(?:=+|-+)[ \t]*$", re.MULTILINE)
_CLOSING: Final = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
# What a line above an underline may not begin with to be a title: a block of another kind.
_NOT_TITLE: Final = re.compile(r" {4}|\t|\s*(?:[-*+>|#]|\d+[.)]\s|`{3}|~{3})")
_TITLE_CHARACTERS: Final = 300
_LONGEST_LINE: Final = 65_536  # a heading is shorter: more without a line feed is handed on as it comes


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    return Text(sections(encoding.decode(stream)))


def sections(blocks: Iterable[str]) -> Iterator[Section]:
    """Cut a text where its headings begin. Code in fences has no headings."""
    outline = _Outline()
    text = ""
    for block in blocks:
        cut = _cut(text)
        yield from outline.cut(text[:cut])
        text = text[cut:] + block
    yield from outline.cut(text)


def _cut(text: str) -> int:
    """Find where whole lines end of which nothing that follows can make a heading.

    An underline makes the line before it a heading: the last whole line waits, with what it underlines.
    """
    cut = _line_before(text, text.rfind("\n") + 1)
    while cut and _UNDERLINE.match(text, cut):
        cut = _line_before(text, cut)
    return cut if len(text) - cut <= _LONGEST_LINE else len(text)


def _line_before(text: str, start: int) -> int:
    """Give the start of the line before the one that begins at `start`."""
    return text.rfind("\n", 0, max(0, start - 1)) + 1


class _Outline:
    """The headings and the fence that the next line stands under."""

    def __init__(self) -> None:
        self._path: list[tuple[int, str]] = []
        self._fence = ""
        self._above = ""  # the line before the next one

    def cut(self, text: str) -> Iterator[Section]:
        """Yield the sections of whole lines."""
        text = f"\n{text}"
        begin = 1
        for mark in _MARK.finditer(text):
            start, level, title = self._heading(text, mark)
            if not level:
                continue
            if start > begin:
                yield self._section(text[begin:start])
            begin = start
            self._path = [one for one in self._path if one[0] < level]
            if title:
                self._path.append((level, title))
        if begin < len(text):
            yield self._section(text[begin:])
            self._above = text[_line_before(text, len(text)) :]

    def _heading(self, text: str, mark: re.Match[str]) -> tuple[int, int, str]:
        """Give the start, level and title of a heading; level 0 for a line that is none."""
        if self._fence:
            if _closes(mark, self._fence):
                self._fence = ""
        elif mark["fence"]:
            self._fence = mark["fence"]
        elif hashes := mark["hashes"]:
            title = _CLOSING.sub("", mark["title"] or "").strip()
            return mark.start() + 1, len(hashes), title[:_TITLE_CHARACTERS]
        else:
            start = _line_before(text, mark.start() + 1)
            above = text[_line_before(text, start) : start] if start > 1 else self._above
            title = text[start : mark.start()].strip() if start else ""
            if title and not above.strip() and not _NOT_TITLE.match(text, start):
                return start, 1 if mark["underline"][0] == "=" else 2, title[:_TITLE_CHARACTERS]
        return 0, 0, ""

    def _section(self, text: str) -> Section:
        return Section(text, headings=tuple(title for _, title in self._path))


def _closes(mark: re.Match[str], fence: str) -> bool:
    """Tell whether a line closes a fence: its characters, as many or more, and nothing else."""
    found = mark["fence"] or ""
    return found.startswith(fence) and not mark[0].strip().strip(fence[0])
