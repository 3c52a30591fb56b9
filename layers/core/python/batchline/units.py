"""Units: what an upload's content is cut into, and the records that each of them becomes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import batched, groupby
from typing import Any, BinaryIO, Final, NamedTuple, override

from batchline import formats, splitting
from batchline.errors import Code, Refused
from batchline.formats import Archive, Content, Image, Scan, Section, Table, Text, tables
from batchline.pipelines import Pipeline
from batchline.prompts import MAX_CHARACTERS
from batchline.records import Form, Record
from batchline.splitting import Piece
from batchline.tokens import count_tokens, counter

# A text of fewer tokens is not the reason why a prompt is too long.
LEAST_TOKENS: Final = 50
# Units are made records at once up to so many characters, which stay in the processor's cache.
TOGETHER: Final = 65_536
MOST_TOGETHER: Final = 500


class Headings(tuple[str, ...]):
    """A path of headings that reads as `Terms > Payment` in a prompt."""

    __slots__ = ()

    @override
    def __str__(self) -> str:
        return " > ".join(self)


NO_HEADINGS: Final = Headings()


class Unit(NamedTuple):
    """What becomes one record, or several where its prompt is too long for the model.

    `start` and `stop` are characters of the extracted text; of a table they are rows; from 0.
    """

    text: str
    start: int
    stop: int
    page: int | None = None
    headings: tuple[str, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    image: Image | None = None

    def variables(self, index: int, document: Mapping[str, Any], used: AbstractSet[str]) -> dict[str, Any]:
        """Give the variables that a prompt has `used`. What does not exist for this kind of unit is empty."""
        found: dict[str, Any] = {"text": self.text, "document": document}
        if "chunk" in used:
            found["chunk"] = {
                "index": index,
                "page": "" if self.page is None else self.page,
                "headings": Headings(self.headings) if self.headings else NO_HEADINGS,
                "start": self.start,
                "end": self.stop,
            }
        if "rows" in used and self.rows:
            found["rows"] = list(self.rows)
        if "row" in used and len(self.rows) == 1:
            found["row"] = self.rows[0]
        return found


def read(stream: BinaryIO, name: str, pipeline: Pipeline, *, size: int) -> Content:
    """Read an upload of `size` bytes as the pipeline wants it. Raises Refused as formats.read does."""
    rows = pipeline.chunk.by == "row"
    return formats.read(stream, name, size=size, rows=rows, columns=pipeline.chunk.columns)


def cut(content: Content, pipeline: Pipeline) -> Iterator[Unit]:
    """Cut the content of an upload as the pipeline says, the same way on every run. Raises Refused."""
    match content:
        case Text(sections):
            return _cut_text(sections, pipeline)
        case Table(rows):
            return _tables(rows, pipeline.chunk.rows)
        case Image():
            return iter([_picture(content)])
        case Scan(pages):
            return map(_picture, pages)
        case Archive():
            raise Refused(
                Code.FORMAT_UNSUPPORTED,
                "The file is an archive in an archive, and only one level is read. Upload it by itself.",
            )


def _cut_text(sections: Iterator[Section], pipeline: Pipeline) -> Iterator[Unit]:
    match pipeline.chunk.by:
        case "document":
            return _whole(sections)
        case "page":
            return _pages(sections)
        case _:
            pieces = _split(sections, pipeline, pipeline.chunk.max_tokens, pipeline.chunk.overlap_tokens)
            return (Unit(one.text, one.start, one.stop, one.page, one.headings) for one in pieces)


def _split(sections: Iterable[Section], pipeline: Pipeline, most: int, overlap: int = 0) -> Iterator[Piece]:
    count = counter(pipeline.model)
    return splitting.split(sections, max_tokens=most, overlap_tokens=overlap, count=count)


def _whole(sections: Iterator[Section]) -> Iterator[Unit]:
    yield _stripped(_joined(sections), 0)


def _pages(sections: Iterator[Section]) -> Iterator[Unit]:
    """Yield the pages that have text."""
    start = 0
    for page, found in groupby(sections, key=lambda one: one.page):
        if page is None:
            raise Refused(
                Code.FORMAT_UNSUPPORTED,
                "`chunk: {by: page}` reads files that have pages (PDF, PPTX), and this one has none. Use a "
                "pipeline that chunks by tokens.",
            )
        parts = list(found)
        text = _joined(parts)
        if text.strip():
            yield _stripped(text, start)._replace(page=page, headings=parts[0].headings)
        start += len(text)


def _joined(sections: Iterable[Section]) -> str:
    parts: list[str] = []
    size = 0
    for section in sections:
        parts.append(section.text)
        size += len(section.text)
        if size > MAX_CHARACTERS:
            raise Refused(
                Code.PROMPT_TOO_LONG,
                f"What is to go into one record is longer than {MAX_CHARACTERS:,} characters, more than any "
                "model takes. Use a pipeline that chunks by tokens.",
            )
    return "".join(parts)


def _stripped(text: str, start: int) -> Unit:
    begin = start + len(text) - len(text.lstrip())
    body = text.strip()
    return Unit(body, begin, begin + len(body))


def _tables(rows: Iterator[Mapping[str, Any]], count: int) -> Iterator[Unit]:
    start = 0
    for found in batched(rows, count, strict=False):
        yield _table(found, start)
        start += len(found)


def _table(rows: tuple[Mapping[str, Any], ...], start: int) -> Unit:
    text = tables.paragraph(rows[0]) if len(rows) == 1 else "\n\n".join(map(tables.paragraph, rows))
    return Unit(text, start, start + len(rows), None, (), rows)


def _picture(image: Image) -> Unit:
    return Unit("", 0, 0, image.page, image=image)


def records(
    found: Iterable[Unit], first: int, form: Form, document: Mapping[str, Any]
) -> Iterator[list[Record]]:
    """Make the record of each unit, or those of its halves where its prompt is too long. Raises Refused.

    Indexes begin at `first`.
    """
    index = first
    for some in _together(found) if form.plain else zip(found):
        made = _at_once(some, index, form, document)
        if made is not None:
            yield from made
            index += len(made)
            continue
        for unit in some:
            halves = _one_by_one(unit, index, form, document)
            yield halves
            index += len(halves)


def _together(found: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Put units together that are made records at once; a picture stays alone. What is refused comes last."""
    some: list[Unit] = []
    size = 0
    try:
        for unit in found:
            some.append(unit)
            size += len(unit.text) if unit.image is None else TOGETHER
            if size >= TOGETHER or len(some) == MOST_TOGETHER:
                yield some
                some, size = [], 0
    except Refused:
        if some:
            yield some
        raise
    if some:
        yield some


def _at_once(
    some: Sequence[Unit], index: int, form: Form, document: Mapping[str, Any]
) -> list[list[Record]] | None:
    """Make the records of some units. None: one of them is refused."""
    if len(some) == 1:
        return None
    variables = [unit.variables(place, document, form.used) for place, unit in enumerate(some, index)]
    try:
        return [[one] for one in form.records(index, variables)]
    except Refused:
        return None


def _one_by_one(unit: Unit, index: int, form: Form, document: Mapping[str, Any]) -> list[Record]:
    try:
        return [form.record(index, unit.variables(index, document, form.used), image=unit.image)]
    except Refused as refusal:
        halves = list(_halves(unit, form.pipeline)) if refusal.code == Code.PROMPT_TOO_LONG else []
        if len(halves) < 2:  # noqa: PLR2004 - it cannot be halved
            raise
    made: list[Record] = []
    for half in halves:
        made += _one_by_one(half, index + len(made), form, document)
    return made


def _halves(unit: Unit, pipeline: Pipeline) -> Iterator[Unit]:
    """Cut a unit in two, or a few, unless the pipeline wants it whole or nothing would be gained."""
    if len(unit.rows) > 1:
        middle = len(unit.rows) // 2
        yield _table(unit.rows[:middle], unit.start)
        yield _table(unit.rows[middle:], unit.start + middle)
    elif pipeline.chunk.by in {"tokens", "page"} and unit.image is None:
        half = count_tokens(unit.text, pipeline.model) // 2 + 1
        if half >= LEAST_TOKENS:
            for one in _split([Section(unit.text)], pipeline, half):
                start, stop = unit.start + one.start, unit.start + one.stop
                yield unit._replace(text=one.text, start=start, stop=stop)
