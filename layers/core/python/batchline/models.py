"""What every part of Batchline shares: the base of its models and the smallest common values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from operator import add, sub
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: it never changes, refuses what it does not know and keeps its input out of errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DocumentStatus(StrEnum):
    """Where a document is. COMPLETED, PARTIAL, FAILED and CANCELLED are ends; HELD is a rest."""

    CHUNKING = "CHUNKING"
    QUEUED = "QUEUED"
    COMBINING = "COMBINING"
    HELD = "HELD"
    COMPLETED = "COMPLETED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        DocumentStatus.COMPLETED,
        DocumentStatus.PARTIAL,
        DocumentStatus.FAILED,
        DocumentStatus.CANCELLED,
    }
)


class JobStatus(StrEnum):
    """Where a job is: OPEN → BUILDING → READY → RUNNING → COLLECTING → CLOSING → CLOSED.

    WAITING: Bedrock's quota was full; REFUSED: Bedrock will never take it. An on-demand job goes from
    OPEN to RUNNING at once.
    """

    OPEN = "OPEN"
    BUILDING = "BUILDING"
    READY = "READY"
    WAITING = "WAITING"
    REFUSED = "REFUSED"
    RUNNING = "RUNNING"
    COLLECTING = "COLLECTING"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"


class Engine(StrEnum):
    """Who answers a job: Bedrock's batch inference, Converse one record at a time, or nobody.

    A job that nobody answers settles records that will not be sent: of documents that were cancelled.
    """

    BATCH = "batch"
    ON_DEMAND = "on_demand"
    NOBODY = "nobody"


class Stop(StrEnum):
    """Why a job is stopped before its end."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class Tier(StrEnum):
    """Bedrock's service tier of an on-demand job: flex costs what batch costs, priority more than default.

    https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html
    """

    DEFAULT = "default"
    FLEX = "flex"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a model has charged. Adds up.

    `input_tokens` are those at the price of input. What was read from a prompt cache or written to one is
    not among them but stands beside them, as Converse counts; `reasoning_tokens` are among `output_tokens`.
    https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html

    Some models cost more for long prompts (`parted`): the `long_` ones are those of such requests, a part of
    the tokens of the same name.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    long_input_tokens: int = 0
    long_output_tokens: int = 0
    long_cache_read_tokens: int = 0
    long_cache_write_tokens: int = 0

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read what `told` wrote; what a row does not name is 0."""
        return cls(*(int(row.get(name, 0)) for name in TOKENS))

    def told(self) -> dict[str, int]:
        """Write it as attributes: tokens in and out always, the others where there are any."""
        return {
            name: number
            for name, number in zip(TOKENS, self, strict=True)
            if number or name in COUNTED_TOKENS
        }

    @property
    def counted(self) -> "Usage":
        """Leave what a manifest counts: tokens in and out."""
        return Usage(self.input_tokens, self.output_tokens)

    def parted(self, above: int | None) -> "Usage":
        """Tell of one request whether its prompt, cached tokens too, is long: above so many tokens."""
        prompt = self.input_tokens + self.cache_read_tokens + self.cache_write_tokens
        if above is None or prompt <= above:
            return self
        return replace(self, **{f"{LONG}{name}": getattr(self, name) for name in PRICED_TOKENS})

    @property
    def long(self) -> "Usage":
        """Leave what requests with long prompts took."""
        return Usage(*(getattr(self, f"{LONG}{name}") for name in PRICED_TOKENS))

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers in the order of their names."""
        yield self.input_tokens
        yield self.output_tokens
        yield self.cache_read_tokens
        yield self.cache_write_tokens
        yield self.reasoning_tokens
        yield self.long_input_tokens
        yield self.long_output_tokens
        yield self.long_cache_read_tokens
        yield self.long_cache_write_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*map(add, self, other))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*map(sub, self, other))


# The names of tokens in rows, in the order of a Usage; those that Bedrock's manifests count as well, those
# that have a price, and those that an answer tells.
TOKENS: Final = tuple(one.name for one in fields(Usage))
COUNTED_TOKENS: Final = TOKENS[:2]
PRICED_TOKENS: Final = TOKENS[:4]
TOLD_TOKENS: Final = TOKENS[:5]
LONG: Final = "long_"
# No price of long prompts begins below so many tokens. No token is shorter than a byte, so a request of so
# few bytes has a short prompt, and nobody needs to count it.
SHORT_PROMPT: Final = 64_000


@dataclass(frozen=True, slots=True)
class Charge:
    """What a piece of work cost and what it saved against the on-demand price, in USD.

    `cost_usd` is the model's; `overhead_usd` is what the pipeline itself is estimated to have cost.
    """

    cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    overhead_usd: Decimal = Decimal(0)

    @property
    def total_usd(self) -> Decimal:
        return self.cost_usd + self.overhead_usd

    def __add__(self, other: "Charge") -> "Charge":
        return Charge(
            self.cost_usd + other.cost_usd,
            self.saved_usd + other.saved_usd,
            self.overhead_usd + other.overhead_usd,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, as its row shows it."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Range:
    """Records of one document in a shard: `count` of them from index `first`, all at one attempt."""

    document_id: str
    stage: str
    first: int
    count: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.document_id} {self.stage} {self.first} {self.count} {self.attempt}"

    @classmethod
    def parse(cls, text: str) -> "Range":
        document_id, stage, first, count, attempt = text.split(" ")
        return cls(document_id, stage, int(first), int(count), int(attempt))


class Shard(Frozen):
    """A JSONL object of records that waits to be packed.

    `pipeline` and `version` hold for all its records. `input_tokens` is counted, `output_tokens` is
    the most that the records may answer. `longest` are the tokens of the longest prompt, 0 where all are
    shorter than SHORT_PROMPT; None: nobody has looked. `first_at` is when the first attempt of its oldest
    record was registered; from `urgent_at` on its records wait no longer for company, and from `deadline_at`
    on not for a batch either. `timeout_hours` is how long Bedrock may take for a batch with them, and
    `failures` how many jobs with them have failed as a whole. It is not packed before `not_before`. Where
    its pipeline has a cache, `cache` says for how many seconds an answer is used again, and `distinct` how
    many requests will be sent, if that is known to be fewer than there are records.
    `overhead_usd` is what the pipeline itself has spent on it before it was registered, and what its
    documents' ends will take.

    `most_usd` is what each of the ranges has committed of its document's budget. The records of a `guarded`
    shard are of one document; they wait until all of it is read and its budget covers it.
    """

    shard_id: str
    lane: str
    key: str
    pipeline: str
    version: str
    model: str
    too_few: str
    records: int
    bytes: int
    input_tokens: int
    output_tokens: int
    longest: int | None = None
    created_at: str
    first_at: str
    urgent_at: str
    deadline_at: str | None = None
    timeout_hours: int | None = None
    failures: int = 0
    not_before: str | None = None
    cache: int | None = None
    distinct: int | None = None
    overhead_usd: Decimal = Decimal(0)
    ranges: tuple[str, ...]
    most_usd: tuple[Decimal, ...] = ()
    guarded: bool = False
    held: str | None = None

    @property
    def requests(self) -> int:
        """How many requests a job with its records will send, as far as is known."""
        return self.records if self.distinct is None else self.distinct


def timestamp(now: datetime) -> str:
    """Write a time as the tables hold it: ISO-8601 in UTC with milliseconds; sorts as text."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
