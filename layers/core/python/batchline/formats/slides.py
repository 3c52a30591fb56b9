"""PowerPoint presentations (.pptx): a page per slide, its title as heading, tables as Markdown, notes."""

from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from batchline.errors import Code, Refused
from batchline.formats import isolated
from batchline.formats.content import Section, Text
from batchline.formats.numbering import to_int
from batchline.formats.office import Element, Package, attribute, local
from batchline.formats.tables import row, rule

MAX_SLIDES: Final = 5_000
SHAPES: Final = frozenset({"sp", "graphicFrame"})
TITLES: Final = frozenset({"title", "ctrTitle"})
# Text that the layout repeats on every slide.
FURNITURE: Final = frozenset({"dt", "ftr", "hdr", "sldNum", "sldImg"})


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    """Read a presentation. The iterator raises Refused."""
    return Text(cast("Iterator[Section]", isolated.run(__name__, stream, what="PowerPoint presentation")))


def parse(file: BinaryIO) -> Iterator[Section]:
    """Yield the slides in the order of the show, in this process. Raises Refused."""
    package = Package(file, "ppt")
    targets = package.related(package.main)
    slides = package.tree(package.main).findall("{*}sldIdLst/{*}sldId")
    if len(slides) > MAX_SLIDES:
        raise Refused(
            Code.FILE_TOO_COMPLEX,
            f"The presentation has {len(slides):,} slides; {MAX_SLIDES:,} are read. Split it.",
        )
    for number, slide in enumerate(slides, start=1):
        relation = attribute(slide, "id", of_namespace=True) or ""  # a slide has an id of its own, too
        if relation not in targets:
            raise package.damaged(f"its slide {number} is missing")
        part = targets[relation][1]
        title, text = _slide(package.tree(part))
        notes = package.related_by(part, "notesSlide")
        if notes is not None and (spoken := _notes(package.tree(notes))):
            text += f"Notes: {spoken}\n\n"
        if text:
            yield Section(text, number, (title,) if title else ())


def _slide(tree: Element) -> tuple[str, str]:
    """Give the title of a slide and its whole text."""
    for choices in tree.findall(".//{*}AlternateContent"):
        for older in choices.findall("{*}Fallback"):
            choices.remove(older)
    title, parts = "", []
    for shape in tree.iter():
        if local(shape) not in SHAPES:
            continue
        kind = _placeholder(shape)
        table = shape.find(".//{*}tbl")
        if table is not None:
            parts.append(_table(table))
        elif kind in TITLES:
            title = title or " ".join(_plain(shape).split())
        elif kind not in FURNITURE:
            parts.append(_paragraphs(shape, listed=kind is not None and kind != "subTitle"))
    head = f"# {title}\n\n" if title else ""
    return title, head + "".join(parts)


def _placeholder(shape: Element) -> str | None:
    """Give what a shape holds the place of; the layout's main text has no type. None: a free shape."""
    found = shape.find("{*}nvSpPr/{*}nvPr/{*}ph")
    return None if found is None else found.get("type", "body")


def _paragraphs(shape: Element, *, listed: bool) -> str:
    lines = []
    for paragraph in shape.iterfind("{*}txBody/{*}p"):
        text = _plain(paragraph).strip()
        if text:
            level = min(to_int(attribute(paragraph.find("{*}pPr"), "lvl")), 8)
            bullet = f"{'  ' * level}- " if listed or level else ""
            lines.append(bullet + text.replace("\n", "\n" + " " * len(bullet)))
    return "\n".join(lines) + "\n\n" if lines else ""


def _table(table: Element) -> str:
    lines = []
    for number, line in enumerate(table.iterfind(".//{*}tr")):
        cells = [_plain(cell) for cell in line.iterfind("{*}tc")]
        lines.append(row(cells) + (rule(len(cells)) if number == 0 else ""))
    return "".join(lines) + "\n"


def _notes(tree: Element) -> str:
    bodies = (shape for shape in tree.iterfind(".//{*}sp") if _placeholder(shape) == "body")
    return "\n".join(filter(None, (_plain(shape).strip() for shape in bodies)))


def _plain(element: Element) -> str:
    """Join the text in an element, a line per paragraph."""
    parts: list[str] = []
    for node in element.iter():
        tag = local(node)
        if tag == "t":
            parts.append(node.text or "")
        elif parts and tag in {"p", "br"}:
            parts.append("\n")
    return "".join(parts)
