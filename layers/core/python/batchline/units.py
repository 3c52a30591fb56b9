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
# Rows and texts are made records at once up to so many characters, or so many of them.
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


class Texts(NamedTuple):
    """Consecutive pieces of a text, each of which is a unit."""

    pieces: Sequence[Piece]

    @property
    def units(self) -> int:
        return len(self.pieces)

    @property
    def counted(self) -> Sequence[int | None]:
        """The tokens of each text that was counted when it was cut."""
        return [one.tokens for one in self.pieces]

    def part(self, first: int, stop: int | None = None) -> "Texts":
        """Give some of the units."""
        return Texts(self.pieces[first:stop])

    def variables(self, first: int, document: Mapping[str, Any], used: AbstractSet[str]) -> Variables:
        """Give the variables that a prompt has `used`. What does not exist for a text is empty."""
        texts = [one.text for one in self.pieces]
        found: dict[str, Sequence[Any]] = {"text": texts, "document": [document] * self.units}
        if "chunk" in used:
            found["chunk"] = [
                {
                    "index": index,
                    "page": "" if one.page is None else one.page,
                    "headings": Headings(one.headings) if one.headings else NO_HEADINGS,
                    "start": one.start,
                    "end": one.stop,
                }
                for index, one in enumerate(self.pieces, first)
            ]
        return found


class Picture(NamedTuple):
    """A picture, which is a unit."""

    image: Image

    @property
    def units(self) -> int:
        return 1

    def variables(self, first: int, document: Mapping[str, Any], used: AbstractSet[str]) -> Variables:
        """Give the variables that a prompt has `used`; the text is empty."""
        return Texts([Piece(0, 0, "", page=self.image.page)]).variables(first, document, used)


class Rows(NamedTuple):
    """Consecutive units of a table, each a group of rows, and their texts. `start` is a row, from 0."""

    start: int
    groups: Sequence[tuple[Row, ...]]
    texts: Sequence[str]
    counted: None = None  # they are weighed as records

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


type Units = Texts | Rows | Picture


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


def cut(content: Content, pipeline: Pipeline) -> Iterator[Units]:
    """Cut the content of an upload as the pipeline says, the same way on every run. Raises Refused."""
    match content:
        case Text(sections):
            return _cut_text(sections, pipeline)
        case Table(rows):
            return _tables(rows, pipeline.chunk.rows)
        case Image():
            return iter([Picture(content)])
        case Scan(pages):
            return map(Picture, pages)
        case Archive():
            raise Refused(
                Code.FORMAT_UNSUPPORTED,
                "The file is an archive in an archive, and only one level is read. Upload it by itself.",
            )


def _cut_text(sections: Iterator[Section], pipeline: Pipeline) -> Iterator[Texts]:
    match pipeline.chunk.by:
        case "document":
            return _whole(sections)
        case "page":
            return _pages(sections)
        case _:
            return _texts(
                _split(sections, pipeline, pipeline.chunk.max_tokens, pipeline.chunk.overlap_tokens)
            )


def _split(sections: Iterable[Section], pipeline: Pipeline, most: int, overlap: int = 0) -> Iterator[Piece]:
    count = counter(pipeline.model)
    return splitting.split(sections, max_tokens=most, overlap_tokens=overlap, count=count)


def _texts(pieces: Iterator[Piece]) -> Iterator[Texts]:
    for paged, found in groupby(pieces, key=lambda one: one.page is not None):
        # Pages may take seconds each: after every piece there must be time to look at the clock.
        for some in _gathered(((one, one.text) for one in found), 1 if paged else MOST_TOGETHER):
            yield Texts([one for one, _ in some])


def _whole(sections: Iterator[Section]) -> Iterator[Texts]:
    yield Texts([_stripped(_joined(sections), 0)])


def _pages(sections: Iterator[Section]) -> Iterator[Texts]:
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
            yield Texts([_stripped(text, start)._replace(page=page, headings=parts[0].headings)])
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


def _stripped(text: str, start: int) -> Piece:
    begin = start + len(text) - len(text.lstrip())
    body = text.strip()
    return Piece(begin, begin + len(body), body)


def _tables(rows: Iterator[Row], count: int) -> Iterator[Rows]:
    start = 0
    found = ((group, _text(group)) for group in batched(rows, count, strict=False))
    for some in _gathered(found, MOST_TOGETHER):
        groups, texts = zip(*some, strict=True)
        yield Rows(start, groups, texts)
        start += len(groups) * count


def _gathered[T](found: Iterable[tuple[T, str]], most: int) -> Iterator[list[tuple[T, str]]]:
    """Yield what has a text in batches of some size, `most` at once; first what comes before a refusal."""
    batch: list[tuple[T, str]] = []
    size = 0
    try:
        for one in found:
            batch.append(one)
            size += len(one[1])
            if size >= TOGETHER or len(batch) == most:
                yield batch
                batch, size = [], 0
    except Refused:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def records(found: Iterable[Units], first: int, form: Form, document: Mapping[str, Any]) -> Iterator[Made]:
    """Make the records of units, with indexes from `first` on; of many at once where nothing is in the way.

    Raises Refused.
    """
    form, index = form.about(document), first
    for some in found:
        for made in _made(some, index, form, document):
            yield made
            index += len(made.records)


def _made(some: Units, index: int, form: Form, document: Mapping[str, Any]) -> Iterator[Made]:
    if isinstance(some, Picture) or some.units == 1:
        yield Made(_one(some, index, form, document), 1)
        return
    if form.plain:
        try:
            variables = some.variables(index, document, form.used)
            made = form.records(index, variables, some.units, some.counted)
        except Refused:
            pass  # one by one it shows which
        else:
            yield Made(made, some.units)
            return
    for at in range(some.units):
        of_one = _one(some.part(at, at + 1), index, form, document)
        yield Made(of_one, 1)
        index += len(of_one)


def _one(unit: Units, index: int, form: Form, document: Mapping[str, Any]) -> list[Record]:
    """Make the record of one unit, or those of its halves where its prompt is too long."""
    variables = unit.variables(index, document, form.used)
    try:
        if isinstance(unit, Picture):
            return [form.picture(index, variables, unit.image)]
        return form.records(index, variables, 1, unit.counted)
    except Refused as refusal:
        halves = list(_halves(unit, form.pipeline)) if refusal.code == Code.PROMPT_TOO_LONG else []
        if len(halves) < 2:  # noqa: PLR2004 - it cannot be halved
            raise
    made: list[Record] = []
    for half in halves:
        made += _one(half, index + len(made), form, document)
    return made


def _halves(unit: Units, pipeline: Pipeline) -> Iterator[Texts | Rows]:
    """Cut a unit in two, or a few, unless the pipeline wants it whole or nothing would be gained."""
    if isinstance(unit, Rows):
        (group,) = unit.groups
        middle = len(group) // 2
        if middle:
            yield Rows.one(group[:middle], unit.start)
            yield Rows.one(group[middle:], unit.start + middle)
    elif isinstance(unit, Texts) and pipeline.chunk.by in {"tokens", "page"}:
        (piece,) = unit.pieces
        half = count_tokens(piece.text, pipeline.model) // 2 + 1
        if half >= LEAST_TOKENS:
            for one in _split([Section(piece.text)], pipeline, half):
                start, stop = piece.start + one.start, piece.start + one.stop
                yield Texts([piece._replace(start=start, stop=stop, text=one.text, tokens=one.tokens)])
