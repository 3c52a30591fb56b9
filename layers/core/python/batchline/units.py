"""Units: what an upload's content is cut into, and the records that each of them becomes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, batched, groupby, pairwise
from typing import Any, BinaryIO, Final, NamedTuple, override

from batchline import formats, splitting
from batchline.errors import Code, Refused
from batchline.formats import Archive, Content, Image, Scan, Section, Table, Text, tables
from batchline.pipelines import Pipeline
from batchline.prompts import MAX_CHARACTERS
from batchline.records import Form, Record, Variables
from batchline.splitting import Piece
from batchline.tokens import count_tokens, counter

# A text of fewer tokens is not the reason why a prompt is too long.
LEAST_TOKENS: Final = 50
# Rows are made records at once up to so many characters, or so many rows.
TOGETHER: Final = 65_536
MOST_TOGETHER: Final = 500


class Headings(tuple[str, ...]):
    """A path of headings that reads as `Terms > Payment` in a prompt."""

    __slots__ = ()

    @override
    def __str__(self) -> str:
        return " > ".join(self)


NO_HEADINGS: Final = Headings()
type Row = Mapping[str, Any]


class Unit(NamedTuple):
    """A piece of text or a picture: one record, or several where its prompt is too long for the model.

    `start` and `stop` are characters of the extracted text, from 0; `tokens` is given where the text was
    counted when it was cut.
    """

    text: str
    start: int
    stop: int
    page: int | None = None
    headings: tuple[str, ...] = ()
    image: Image | None = None
    tokens: int | None = None

    @property
    def units(self) -> int:
        return 1

    def variables(self, first: int, document: Mapping[str, Any], used: AbstractSet[str]) -> Variables:
        """Give the variables that a prompt has `used`. What does not exist for a text is empty."""
        found: dict[str, Sequence[Any]] = {"text": [self.text], "document": [document]}
        if "chunk" in used:
            place = {"index": first, "page": "" if self.page is None else self.page}
            headings = Headings(self.headings) if self.headings else NO_HEADINGS
            found["chunk"] = [place | {"headings": headings, "start": self.start, "end": self.stop}]
        return found


class Rows(NamedTuple):
    """Consecutive units of a table, each a group of rows, and their texts. `start` is a row, from 0."""

    start: int
    groups: Sequence[tuple[Row, ...]]
    texts: Sequence[str]

    @classmethod
    def one(cls, group: tuple[Row, ...], start: int) -> "Rows":
        return cls(start, [group], [_text(group)])

    @property
    def units(self) -> int:
        return len(self.groups)

    def part(self, first: int, stop: int | None = None) -> "Rows":
        """Give some of the units."""
        start = self.start + first * len(self.groups[0])
        return Rows(start, self.groups[first:stop], self.texts[first:stop])

    def variables(self, first: int, document: Mapping[str, Any], used: AbstractSet[str]) -> Variables:
        """Give the variables that a prompt has `used`. What does not exist for a table is empty."""
        found: dict[str, Sequence[Any]] = {"text": self.texts, "document": [document] * self.units}
        if "chunk" in used:
            nowhere = {"page": "", "headings": NO_HEADINGS}
            ends = [*accumulate(map(len, self.groups), initial=self.start)]
            found["chunk"] = [
                {"index": index, **nowhere, "start": start, "end": end}
                for index, (start, end) in enumerate(pairwise(ends), first)
            ]
        if "rows" in used:
            found["rows"] = list(map(list, self.groups))
        if "row" in used and len(self.groups[0]) == 1:
            found["row"] = [group[0] for group in self.groups]
        return found


def _text(group: tuple[Row, ...]) -> str:
    return tables.paragraph(group[0]) if len(group) == 1 else "\n\n".join(map(tables.paragraph, group))


class Made(NamedTuple):
    """Records: those of one unit, or one for each of several."""

    records: list[Record]
    units: int

    def halves(self) -> tuple["Made", "Made"]:
        """Part the records of several units in two."""
        half = self.units // 2
        return Made(self.records[:half], half), Made(self.records[half:], self.units - half)


def read(stream: BinaryIO, name: str, pipeline: Pipeline, *, size: int) -> Content:
    """Read an upload of `size` bytes as the pipeline wants it. Raises Refused as formats.read does."""
    rows = pipeline.chunk.by == "row"
    return formats.read(stream, name, size=size, rows=rows, columns=pipeline.chunk.columns)


def cut(content: Content, pipeline: Pipeline) -> Iterator[Unit] | Iterator[Rows]:
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
            return map(_unit, pieces)


def _split(sections: Iterable[Section], pipeline: Pipeline, most: int, overlap: int = 0) -> Iterator[Piece]:
    count = counter(pipeline.model)
    return splitting.split(sections, max_tokens=most, overlap_tokens=overlap, count=count)


def _unit(piece: Piece) -> Unit:
    return Unit(piece.text, piece.start, piece.stop, piece.page, piece.headings, tokens=piece.tokens)


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


def _tables(rows: Iterator[Row], count: int) -> Iterator[Rows]:
    """Yield units in batches of some size; what is read before a row that is refused comes first."""
    start = size = 0
    groups: list[tuple[Row, ...]] = []
    texts: list[str] = []
    try:
        for group in batched(rows, count, strict=False):
            text = _text(group)
            groups.append(group)
            texts.append(text)
            size += len(text)
            if size >= TOGETHER or len(groups) == MOST_TOGETHER:
                yield Rows(start, groups, texts)
                start += len(groups) * count
                groups, texts, size = [], [], 0
    except Refused:
        if groups:
            yield Rows(start, groups, texts)
        raise
    if groups:
        yield Rows(start, groups, texts)


def _picture(image: Image) -> Unit:
    return Unit("", 0, 0, image.page, image=image)


def records(
    found: Iterable[Unit | Rows], first: int, form: Form, document: Mapping[str, Any]
) -> Iterator[Made]:
    """Make the records of units, with indexes from `first` on; of many at once where nothing is in the way.

    Raises Refused.
    """
    form, index = form.about(document), first
    for unit in found:
        for made in _made(unit, index, form, document):
            yield made
            index += len(made.records)


def _made(unit: Unit | Rows, index: int, form: Form, document: Mapping[str, Any]) -> Iterator[Made]:
    if isinstance(unit, Unit) or unit.units == 1:
        yield Made(_one(unit, index, form, document), 1)
        return
    if form.plain:
        try:
            made = form.records(index, unit.variables(index, document, form.used), unit.units)
        except Refused:
            pass  # one by one it shows which
        else:
            yield Made(made, unit.units)
            return
    for at in range(unit.units):
        made = _one(unit.part(at, at + 1), index, form, document)
        yield Made(made, 1)
        index += len(made)


def _one(unit: Unit | Rows, index: int, form: Form, document: Mapping[str, Any]) -> list[Record]:
    """Make the record of one unit, or those of its halves where its prompt is too long."""
    variables = unit.variables(index, document, form.used)
    try:
        if isinstance(unit, Unit) and unit.image:
            return [form.picture(index, variables, unit.image)]
        return form.records(index, variables, 1, unit.tokens if isinstance(unit, Unit) else None)
    except Refused as refusal:
        halves = list(_halves(unit, form.pipeline)) if refusal.code == Code.PROMPT_TOO_LONG else []
        if len(halves) < 2:  # noqa: PLR2004 - it cannot be halved
            raise
    made: list[Record] = []
    for half in halves:
        made += _one(half, index + len(made), form, document)
    return made


def _halves(unit: Unit | Rows, pipeline: Pipeline) -> Iterator[Unit | Rows]:
    """Cut a unit in two, or a few, unless the pipeline wants it whole or nothing would be gained."""
    if isinstance(unit, Rows):
        (group,) = unit.groups
        middle = len(group) // 2
        if middle:
            yield Rows.one(group[:middle], unit.start)
            yield Rows.one(group[middle:], unit.start + middle)
    elif pipeline.chunk.by in {"tokens", "page"} and unit.image is None:
        half = count_tokens(unit.text, pipeline.model) // 2 + 1
        if half >= LEAST_TOKENS:
            for one in _split([Section(unit.text)], pipeline, half):
                start, stop = unit.start + one.start, unit.start + one.stop
                yield unit._replace(text=one.text, start=start, stop=stop, tokens=one.tokens)
