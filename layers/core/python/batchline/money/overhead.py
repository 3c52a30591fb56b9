"""What the pipeline itself costs: Lambda, S3, SQS, DynamoDB, EventBridge and logs beside the model.

It is an estimate from what was counted: requests and units by the clients (aws/meter.py), seconds by the
clock. Prices are dated data (service_prices.json); free tiers and discounts are left out. What has not been
done yet when it must be reckoned is foreseen here, in constants that tests hold against what is counted.
"""

from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from math import ceil
from typing import Final

from pydantic import Field

from batchline import catalog
from batchline.models import Frozen

type Amount = int | Decimal

FILE: Final = "service_prices.json"
# The Region whose price stands for one that the data does not name.
REGION: Final = "us-east-1"
ARM64: Final = "arm64"
X86_64: Final = "x86_64"
NANODOLLAR: Final = Decimal("1E-9")  # the smallest amount that is booked
MB_PER_GB: Final = 1_024
BYTES_PER_GB: Final = 10**9
WRITE_UNIT_BYTES: Final = 1_024
READ_UNIT_BYTES: Final = 4_096
# What one message holds at most that is charged as one.
REQUEST_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Work:
    """What AWS charges for, counted. Adds up, and can be multiplied.

    `s3_writes` are PUT, COPY, POST and LIST, `s3_reads` GET and HEAD; `read_units` come in halves.
    """

    gb_seconds: Amount = 0
    invocations: Amount = 0
    s3_writes: Amount = 0
    s3_reads: Amount = 0
    sqs_requests: Amount = 0
    write_units: Amount = 0
    read_units: Amount = 0
    events: Amount = 0
    log_bytes: Amount = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, one) + getattr(other, one) for one in COUNTED))

    def __sub__(self, other: "Work") -> "Work":
        return self + other * -1

    def __mul__(self, times: Amount) -> "Work":
        return Work(*(getattr(self, one) * times for one in COUNTED))


COUNTED: Final = tuple(one.name for one in fields(Work))


class Entry(Frozen):
    """The price of one item in one Region, in USD, from a day on. `read`: when `source` said so."""

    item: str
    region: str
    since: date = Field(alias="from")
    read: date
    usd: Decimal = Field(gt=0, allow_inf_nan=False)
    source: str = Field(min_length=1)


class PriceList(Frozen):
    """The data file."""

    unit: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """What work costs in one Region, on one kind of processor and on one day."""

    region: str
    architecture: str
    day: str

    def usd(self, work: Work) -> Decimal:
        """Price work, in USD, not rounded."""
        return sum((_price(self, one) * getattr(work, one) for one in COUNTED), Decimal(0))


@cache
def _price(rates: Rates, name: str) -> Decimal:
    """Look up what one of a field of Work costs."""
    if name == "log_bytes":
        return _listed(rates, "log_gb") / BYTES_PER_GB
    return _listed(rates, f"gb_seconds_{rates.architecture}" if name == "gb_seconds" else name)


def _listed(rates: Rates, item: str) -> Decimal:
    """Find the price in force on a day; the oldest one also holds before."""
    listed = [one for one in price_list().entries if one.item == item]
    named = [one for one in listed if one.region == rates.region]
    known = sorted(
        named or [one for one in listed if one.region == REGION],
        key=lambda one: one.since,
    )
    in_force = [one for one in known if one.since.isoformat() <= rates.day]
    return (in_force or known[:1])[-1].usd


@cache
def price_list() -> PriceList:
    """Read the data file."""
    return PriceList.model_validate(catalog.load(FILE))


def booked(usd: Decimal) -> Decimal:
    """Round an amount to what is booked."""
    return usd.quantize(NANODOLLAR, ROUND_HALF_UP)


def share(usd: Decimal, start: int, stop: int, of: int) -> Decimal:
    """Say what records `start` to `stop` (exclusive) of `of` bear of an amount.

    Neighbouring shares add up to the whole exactly, whichever way it is cut, and those of as many records
    differ by a nanodollar at most.
    """
    return _until(usd, stop, of) - _until(usd, start, of)


def _until(usd: Decimal, position: int, of: int) -> Decimal:
    return (usd * position / of).quantize(NANODOLLAR, ROUND_DOWN) if position < of else usd


def seconds(duration: float, memory_mb: int) -> Work:
    """Count a function's run time; Lambda charges by the millisecond begun."""
    return Work(gb_seconds=Decimal(ceil(round(duration * 1_000, 3))) * memory_mb / MB_PER_GB / 1_000)


# What is foreseen. Lambda writes START, END and REPORT of every run beside our one line.
RUN: Final = Work(invocations=1, log_bytes=1_000)
MESSAGE: Final = Work(sqs_requests=2)  # received and deleted; sending is counted where it is done
# A job's lease is given back and the next stage rung for.
LAST_CALLS: Final = Work(write_units=1, sqs_requests=1)
# A small document's row and its index entry, in the transaction that registers its shard.
ARRIVAL: Final = Work(write_units=3)
RANGE_BYTES: Final = 32  # of a document in a shard's pending row
PENDING_BYTES: Final = 700  # of the rest of that row
# Aggregate, ten messages a run: its row and results read, its result written, its end told. 0.1 s at 1 GB.
ENDING: Final = (
    RUN * Decimal("0.1")
    + Work(sqs_requests=Decimal("0.3"), log_bytes=300)
    + Work(gb_seconds=Decimal("0.1"), s3_writes=1, s3_reads=1, write_units=1, read_units=2, events=1)
)
# A result is read once more when its document ends: four rows of 1 KB are a read unit.
ENDING_RECORD: Final = Work(read_units=Decimal("0.25"))
# Close, for each document: its ledger entry, its account and a tenth of ten doorbells; 2 ms at 1.7 GB.
ACCOUNT: Final = Work(write_units=2, sqs_requests=Decimal("0.1"), gb_seconds=Decimal("0.0035"))
# Close, once: the begin with its index entry, the total, and the last transaction with the slot.
CLOSE: Final = Work(write_units=3 + 1 + 8, sqs_requests=1)
CLOSE_PIPELINE: Final = Work(write_units=1 + 2)  # its day's entry and its budget
# "Open job": the plan, the fence, the job with its index entry, the slot; then it is announced.
OPEN: Final = Work(s3_writes=1, write_units=2 + 3 + 2 + 1, sqs_requests=1)
OPEN_PIPELINE: Final = Work(write_units=2)


# What an estimate goes by, as tests count it. Chunk, ten uploads a run: an upload is found and read, what
# is known of it looked up; 30 ms at 1.7 GB.
READING: Final = RUN * Decimal("0.1") + MESSAGE + Work(s3_reads=3, read_units=4, gb_seconds=Decimal("0.05"))
RESULT: Final = Work(write_units=1)
# Pack, submit or invoke, and collect: rows that move on, the input or the output written and read again.
JOB: Final = (RUN + MESSAGE + LAST_CALLS) * 3 + Work(
    s3_writes=4, s3_reads=11, write_units=23, read_units=12, gb_seconds=3
)
# An on-demand job writes its output itself, and its answers down every twenty; it waits for each of them,
# sixteen at a time: 2 s at 1 GB.
INVOKED_JOB: Final = Work(s3_writes=4)
INVOKED_RECORD: Final = Work(s3_writes=Decimal("0.05"), gb_seconds=Decimal("0.125"))


def registering(ranges: int) -> Work:
    """Foresee what it takes to write a shard of so many ranges, to register it and to claim it."""
    units = ceil((PENDING_BYTES + ranges * RANGE_BYTES) / WRITE_UNIT_BYTES)
    return Work(s3_writes=1, write_units=3 * units, sqs_requests=1)


def ending(documents: int, records: int) -> Work:
    """Foresee what it takes to end documents with so many records together."""
    return ENDING * documents + ENDING_RECORD * records


def opening(pipelines: int) -> Work:
    """Foresee what it takes to open a job beside the planning."""
    return OPEN + OPEN_PIPELINE * pipelines


def closing(documents: int, pipelines: int) -> Work:
    """Foresee what it takes to close a job from the moment on at which its cost is shared out."""
    return CLOSE + CLOSE_PIPELINE * pipelines + ACCOUNT * documents


@dataclass(frozen=True, slots=True)
class Jobs:
    """How many jobs there will be of one kind, and the records in them."""

    count: int
    records: int


def expected(documents: int, shards: int, batch: Jobs, invoked: Jobs) -> Work:
    """Foresee all that documents take which nobody has uploaded yet, further attempts left out."""
    each = READING + ARRIVAL + ACCOUNT + ENDING
    ranges = -(-documents // max(1, shards))
    return (
        each * documents
        + registering(ranges) * shards
        + (RESULT + ENDING_RECORD) * (batch.records + invoked.records)
        + (JOB + opening(1) + closing(0, 1)) * (batch.count + invoked.count)
        + INVOKED_JOB * invoked.count
        + INVOKED_RECORD * invoked.records
    )
