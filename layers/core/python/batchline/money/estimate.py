"""Estimate: what files will cost, said before anything is spent.

The records are those that the chunk function makes, the jobs those that pack plans. What nobody knows is how
long the answers will be: their length is taken from earlier documents of the pipeline, or guessed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import orjson

from batchline import catalog, chunk, dialects, intake, pack, tokens
from batchline.cancel import Cancels
from batchline.chunk import Part
from batchline.errors import Refused
from batchline.ids import REDUCE, RecordId
from batchline.intake import Document, File
from batchline.models import SHORT_PROMPT, Engine, Shard, Tier, Usage
from batchline.money import budgets, overhead, prices
from batchline.money.expected import Answers, answers
from batchline.money.overhead import Work
from batchline.pack import Plan, Planned
from batchline.pipelines import Pipeline
from batchline.records import Record, record

# What a chat format adds to a request: measured 6 to 7 for Claude.
FRAME_TOKENS: Final = 7
# So many records are counted at first, and then one for each so many of those before it.
COUNTED: Final = 50
LINE_BYTES: Final = len(Record(0, b"", 0).line(str(RecordId("a" * 16, "m", 0, 1))))
TOKEN_BYTES: Final = 4
AS_PLANNED: Final = "as planned"
LEAST_SURE: Final = ("unknown", "half", "premium")
NOW: Final = "-"  # when the shards of an estimate become urgent, and when they are planned


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that would be refused. `records` of it would have been kept by then."""

    name: str
    code: str
    message: str
    records: int = 0


def counted(one: Record, model: str) -> int:
    """Count the tokens that a record's request will be charged for, with the model's own tokenizer."""
    body = orjson.loads(one.model_input)
    read = tokens.count_tokens("".join(dialects.texts(body)), model)
    return read + tokens.counter(model).family.picture * dialects.pictures(body) + FRAME_TOKENS


@dataclass(slots=True)
class Meter:
    """Counts records, `every` one of them or ever fewer; how they differ from their estimate tells the rest.

    Each record that is counted stands for those between it and the next.
    """

    count: Callable[[Record], int]
    every: bool
    counted: int = 0
    _seen: int = 0
    _next: int = 0
    _true: int = 0
    _estimated: int = 0

    @classmethod
    def of(cls, model: str) -> "Meter":
        """Make the meter that counts all records, offline."""
        return cls(lambda one: counted(one, model), every=True)

    def add(self, one: Record) -> int | None:
        """Take a record; return its tokens if it was counted."""
        read = None
        if self._seen >= self._next:
            weight = 1 if self.every else 1 + self._seen // COUNTED
            read = self.count(one)
            self._true += weight * read
            self._estimated += weight * one.input_tokens
            self._next = self._seen + weight
            self.counted += 1
        self._seen += 1
        return read

    def correct(self, estimated: int) -> int:
        """Turn a sum of records' estimates into tokens."""
        return round(estimated * self._true / self._estimated) if self._estimated else estimated


@dataclass(slots=True)
class Survey:
    """What files hold for a pipeline, read once. It grows with what is refused, not with what is read."""

    name: str
    pipeline: Pipeline
    meter: Meter
    documents: int = 0
    too_dear: int = 0
    refused: list[Refusal] = field(default_factory=list)
    _shards: list[Shard] = field(default_factory=list)
    _lengths: dict[str, list[int]] = field(default_factory=dict)
    _sizes: Counter[int] = field(default_factory=Counter)
    _records: int = 0
    _bytes: int = 0
    _tokens: int = 0
    _long: list[int] = field(default_factory=list)

    def add(self, file: File) -> None:
        """Read a file as the chunk function would."""
        try:
            for document in intake.documents(file, self.name, self.pipeline):
                self._add(document)
        except Refused as refusal:
            self.refused.append(Refusal(file.name, refusal.code, refusal.message))

    def _add(self, document: Document) -> None:
        records = 0
        most = Decimal(0)
        try:
            for part in document.parts:
                self._take(part)
                records += len(part.records)
                usage = Usage(part.input_tokens, len(part.records) * self.pipeline.answer_tokens)
                longest = max(part.lengths, default=0)
                most += budgets.dearest(usage, self.pipeline, self.pipeline.model, longest=longest)
        except Refused as refusal:
            self.refused.append(Refusal(document.name, refusal.code, refusal.message, records))
        if records:
            self.documents += 1
            self._sizes[records] += 1
            self.too_dear += not budgets.covers(self.pipeline, most)

    def _take(self, part: Part) -> None:
        size = part.size + len(part.records) * LINE_BYTES
        if self._records and not chunk.fits(self._records + len(part.records), self._bytes + size):
            self._close()
        self._records += len(part.records)
        self._bytes += size
        # One by one, as the meter takes them: a part's own sum is weighed in one piece.
        self._tokens += sum(one.input_tokens for one in part.records)
        for one in part.records:
            read = self.meter.add(one)
            if len(one.model_input) > SHORT_PROMPT:
                self._long.append(self.meter.correct(one.input_tokens) if read is None else read)

    def _close(self) -> None:
        """End a shard; documents share them as they do when many are uploaded at once."""
        if self._records:
            made = _shard(
                self.name,
                len(self._shards),
                self.pipeline,
                records=self._records,
                size=self._bytes,
                input_tokens=self._tokens,
                longest=max(self._long, default=0),
            )
            self._shards.append(made)
            self._lengths[made.shard_id] = self._long
        self._records = self._bytes = self._tokens = 0
        self._long = []

    def estimate(self, length: Answers) -> "Estimate":
        """Plan and price what was read; `length` is that of the answers to its records."""
        self._close()
        shards = tuple(
            one.model_copy(update={"input_tokens": self.meter.correct(one.input_tokens)})
            for one in self._shards
        )
        stages = [Stage.of("records", self.pipeline.model, shards, length, self._lengths)]
        if reducing := self.pipeline.reducing:
            stages.append(_combining(self.name, reducing, self._sizes, length))
        return Estimate(
            self.pipeline.model,
            self.documents,
            tuple(self.refused),
            self.meter.counted,
            tuple(stages),
            self.too_dear,
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """What a way to ask costs in USD: as expected, with the longest answers, and less than on demand.

    `basis` is `list`, `half` or `unknown`, as of a price; where several are meant the least sure one.
    """

    way: str
    expected: Decimal
    most: Decimal
    saved: Decimal
    basis: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Records that wait for a job together, and the jobs that they become when nothing else is there.

    `lengths` are the tokens of the prompts that may be long ones, by shard.
    """

    name: str
    model: str
    shards: tuple[Shard, ...]
    answers: Answers
    plan: Plan
    lengths: Mapping[str, Sequence[int]]

    @classmethod
    def of(
        cls,
        name: str,
        model: str,
        shards: tuple[Shard, ...],
        length: Answers,
        lengths: Mapping[str, Sequence[int]],
    ) -> "Stage":
        limits, batch = catalog.limits(model), catalog.model(model).batch
        planned = pack.plan(
            [pack.Lane(chunk.lane(model), shards, limits, batch)],
            now=NOW,
            free_slots=len(shards),
            turn="",
            room={},
            cost=pack.most,
            cancels=Cancels(),
        )
        return cls(name, model, shards, length, planned, lengths)

    @property
    def records(self) -> int:
        return sum(one.records for one in self.shards)

    @property
    def expected(self) -> Usage:
        return self._usage(self.shards, self.answers)

    @property
    def most(self) -> Usage:
        return self._usage(self.shards, self.answers.longest)

    def _usage(self, shards: Sequence[Shard], answers: Answers) -> Usage:
        """Say what records take when they are answered so."""
        return answers.usage(
            sum(one.records for one in shards),
            sum(one.input_tokens for one in shards),
            [length for one in shards for length in self.lengths[one.shard_id]],
            above=prices.long_above(self.model),
        )

    def cost(self, engine: Engine, tier: Tier, usage: Usage) -> Decimal:
        return prices.price(self.model, engine, tier).cost(usage)

    def quote(self, job: Planned) -> "Quote":
        """Price a job of this stage."""
        usage = self._usage(job.shards, self.answers)
        expected = self.cost(job.engine, job.tier, usage)
        most = self.cost(job.engine, job.tier, self._usage(job.shards, self.answers.longest))
        saved = self.cost(Engine.ON_DEMAND, Tier.DEFAULT, usage) - expected
        basis = prices.price(self.model, job.engine, job.tier).basis
        return Quote(job.engine, expected, most, saved, basis)

    def quote_all(self, way: str, engine: Engine, tier: Tier) -> "Quote":
        """Price all its records in one way."""
        expected = self.cost(engine, tier, self.expected)
        saved = self.cost(Engine.ON_DEMAND, Tier.DEFAULT, self.expected) - expected
        basis = prices.price(self.model, engine, tier).basis
        return Quote(way, expected, self.cost(engine, tier, self.most), saved, basis)

    @property
    def waiting(self) -> int:
        """Count the records that no job takes, for they are too few and the pipeline waits for more."""
        return sum(shard.records for shard, _ in self.plan.held)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What files will cost with one model, further attempts left out.

    So many records were `counted`; so many documents may cost more than their budget (`too_dear`).
    """

    model: str
    documents: int
    refused: tuple[Refusal, ...]
    counted: int
    stages: tuple[Stage, ...]
    too_dear: int = 0

    @property
    def reserved(self) -> Decimal:
        """Say what its jobs as planned will reserve of budgets, in USD; 0 where no price is known."""
        return sum(
            (
                pack.most(shard, job.engine, job.tier)
                for one in self.stages
                for job in one.plan.jobs
                for shard in job.shards
            ),
            Decimal(0),
        )

    @property
    def records(self) -> int:
        return sum(one.records for one in self.stages)

    @property
    def expected(self) -> Usage:
        return sum((one.expected for one in self.stages), Usage())

    @property
    def most(self) -> Usage:
        return sum((one.most for one in self.stages), Usage())

    @property
    def planned(self) -> Quote:
        """Price the jobs as they are planned; what waits for company costs nothing yet."""
        return _together(AS_PLANNED, [one.quote(job) for one in self.stages for job in one.plan.jobs])

    @property
    def overhead(self) -> Work:
        """Count what the pipeline itself will take for the jobs as they are planned."""
        planned = [job for one in self.stages for job in one.plan.jobs]
        batch = [job.records for job in planned if job.engine is Engine.BATCH]
        others = [job.records for job in planned if job.engine is not Engine.BATCH]
        return overhead.expected(
            self.documents,
            sum(len(one.shards) for one in self.stages),
            overhead.Jobs(len(batch), sum(batch)),
            overhead.Jobs(len(others), sum(others)),
        )

    @property
    def ways(self) -> tuple[Quote, ...]:
        """Price all the work by each way in which all its models can be asked."""
        return tuple(
            _together(way, [one.quote_all(way, engine, tier) for one in self.stages])
            for way, engine, tier in self._open()
        )

    def _open(self) -> Iterator[tuple[str, Engine, Tier]]:
        models = [catalog.model(one.model) for one in self.stages]
        if all(one.batch for one in models):
            yield "batch", Engine.BATCH, Tier.DEFAULT
        if all(one.flex for one in models):
            yield "flex", Engine.ON_DEMAND, Tier.FLEX
        if all(one.priority for one in models):
            yield "priority", Engine.ON_DEMAND, Tier.PRIORITY
        yield "on demand", Engine.ON_DEMAND, Tier.DEFAULT


def _together(way: str, quotes: Sequence[Quote]) -> Quote:
    """Add quotes up."""
    return Quote(
        way,
        sum((one.expected for one in quotes), Decimal(0)),
        sum((one.most for one in quotes), Decimal(0)),
        sum((one.saved for one in quotes), Decimal(0)),
        next((basis for basis in LEAST_SURE for one in quotes if one.basis == basis), "list"),
    )


def _combining(name: str, reducing: Pipeline, sizes: Counter[int], length: Answers) -> Stage:
    """Estimate the requests that make one answer of a document's: `sizes` counts documents by records."""
    empty = record(
        reducing, 0, {"text": "", "parts": [], "document": {"name": "", "key": "", "pipeline": name}}
    )
    room = catalog.model(reducing.model).context - reducing.answer_tokens - empty.input_tokens
    written = answers(reducing)
    basis = f"{length.basis}; so are those that combine them"
    written = Answers(min(length.expected, Decimal(written.most)), written.most, basis)
    requests = read = 0
    for records, documents in sizes.items():
        made, input_tokens = _stages(records, room, empty.input_tokens, length.expected, written.expected)
        requests += made * documents
        read += input_tokens * documents
    shards, lengths = [], {}
    for number, start in enumerate(range(0, requests, chunk.SHARD_RECORDS)):
        count = min(chunk.SHARD_RECORDS, requests - start)
        share = read * (start + count) // requests - read * start // requests
        each = -(-share // count)
        combining = _shard(
            name,
            number,
            reducing,
            records=count,
            size=share * TOKEN_BYTES,
            input_tokens=share,
            longest=each,
        )
        shards.append(combining)
        lengths[combining.shard_id] = [each] * count if each > SHORT_PROMPT else []
    return Stage.of("combine", reducing.model, tuple(shards), written, lengths)


def _stages(left: int, room: int, empty: int, first: Decimal, further: Decimal) -> tuple[int, int]:
    """Count the requests that make one answer of `left` ones, and the tokens that they read."""
    requests = read = 0
    length = first
    for _ in REDUCE:
        together = max(2, int(room / max(length, Decimal(1))))
        made = -(-left // together)
        requests += made
        read += round(left * length) + made * empty
        if made == 1:
            break
        left, length = made, further
    return requests, read


def _shard(
    name: str,
    number: int,
    pipeline: Pipeline,
    *,
    records: int,
    size: int,
    input_tokens: int,
    longest: int,
) -> Shard:
    return Shard(
        shard_id=f"{number:08d}",
        lane=chunk.lane(pipeline.model),
        key="",
        pipeline=name,
        version=pipeline.version,
        model=pipeline.model,
        too_few=pipeline.too_few,
        records=records,
        bytes=size,
        input_tokens=input_tokens,
        output_tokens=records * pipeline.answer_tokens,
        longest=longest,
        created_at=NOW,
        first_at=NOW,
        urgent_at=NOW,
        ranges=(),
    )
