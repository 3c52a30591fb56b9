"""Audit: what must hold between the tables, recomputed from values alone.

The rules are those of docs/architecture.md. What is still on its way may be ahead in one table and
behind in another, but only in the direction that each rule names.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchline.cancel import documents_of
from batchline.models import Charge, DocumentStatus, Engine, JobStatus, Range, Shard, Usage

type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must hold and does not: of what, and in one sentence what is wrong."""

    subject: str
    message: str


@dataclass(slots=True)
class Open:
    """The records that wait in shards or are in jobs which have not counted them, by document.

    `usd` is what they have committed of their documents' budgets.

    `closing` are documents of jobs that are being collected: some of their records may be registered
    again, or have results, before the job is counted.
    """

    records: dict[str, Counter[str]] = field(default_factory=dict)
    closing: set[str] = field(default_factory=set)
    usd: dict[str, Decimal] = field(default_factory=dict)

    def add(self, shard: Shard, *, but: Iterable[str] = ()) -> None:
        """Add a shard's records, but those of documents that have counted them already."""
        left_out = set(but)
        for text in shard.ranges:
            part = Range.parse(text)
            if part.document_id not in left_out:
                found = self.records.setdefault(part.document_id, Counter())
                found.update(f"{part.stage}{part.first + n:07d}" for n in range(part.count))
        for text, usd in zip(shard.ranges, shard.most_usd, strict=False):
            name = Range.parse(text).document_id
            if name not in left_out:
                self.usd[name] = self.usd.get(name, Decimal(0)) + usd

    def of(self, document_id: str) -> Counter[str] | None:
        """Count a document's records on their way by name. None: nobody can tell now."""
        return None if document_id in self.closing else self.records.get(document_id, Counter())

    def reserved(self, document_id: str) -> Decimal | None:
        """Say what a document's records on their way may still cost, in USD. None: nobody can tell now."""
        return None if document_id in self.closing else self.usd.get(document_id, Decimal(0))


@dataclass(frozen=True, slots=True)
class Results:
    """What the results table holds of a document."""

    succeeded: int
    failed: int
    cached: int
    records: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Results":
        found: dict[str, bool] = {}
        cached = 0
        for row in rows:
            found[row["record"]] = "error" in row
            cached += row.get("cached", False)
        failed = sum(found.values())
        return cls(len(found) - failed, failed, cached, frozenset(found))


def document(
    row: Row,
    *,
    waiting: Counter[str] | None,
    reserved: Decimal | None,
    results: Results,
    ledger: Iterable[Row],
    whole: bool,
) -> Iterator[Violation]:
    """Check a document: its counts, its results, its budget and its ledger.

    `waiting` and `reserved` are what `Open` says; `whole` tells whether its result's file is there.
    """
    subject = f"document {row['document_id']}"
    status = DocumentStatus(row["status"])
    counted = row["succeeded"] + row["failed"] + row["open"]
    if row["records"] != counted:
        yield Violation(
            subject,
            f"{row['records']} records, but {row['succeeded']} succeeded + {row['failed']} failed + "
            f"{row['open']} open are {counted}",
        )
    if waiting is not None:
        yield from _on_their_way(subject, row["open"], waiting, results)
    if status.terminal and not row["sealed"]:
        yield Violation(subject, f"is {status}, but more records may come")
    if status.terminal and row["open"]:
        yield Violation(subject, f"is {status} with {row['open']} open records")
    if status is DocumentStatus.HELD and not row.get("error", {}).get("message"):
        yield Violation(subject, "is HELD without a reason")
    if status.terminal and row["records"] and not whole:
        yield Violation(subject, f"is {status}, but its result {row.get('result_key')} is not there")
    settled = (row["succeeded"], row["failed"])
    found = (results.succeeded, results.failed)
    # A result may be there before its job has counted it, never the other way round.
    if found != settled if status.terminal else sum(found) < sum(settled):
        yield Violation(
            subject,
            f"{settled[0]} records succeeded and {settled[1]} failed, but of its results "
            f"{found[0]} did and {found[1]} failed",
        )
    committed = Decimal(row.get("committed_usd", 0))
    if reserved is not None and committed != row["cost_usd"] + reserved:
        yield Violation(
            subject,
            f"{committed} USD are committed, but it cost {row['cost_usd']}, and its records on their way may "
            f"cost {reserved}",
        )
    cached = int(row.get("cached", 0))
    if results.cached != cached if status.terminal else results.cached < cached:
        yield Violation(subject, f"{cached} answers are cached, but {results.cached} of its results are")
    yield from _booked(subject, row, [one for one in ledger if one["entry"] in row.get("applied", ())])


def _on_their_way(subject: str, open_: int, waiting: Counter[str], results: Results) -> Iterator[Violation]:
    if open_ != len(waiting):
        yield Violation(subject, f"{open_} records are open, but {len(waiting)} are on their way")
    if twice := sorted(name for name, count in waiting.items() if count > 1):
        yield Violation(subject, f"records are on their way twice: {', '.join(twice[:5])}")
    if both := sorted(results.records.intersection(waiting)):
        yield Violation(subject, f"records are on their way and have results: {', '.join(both[:5])}")


def job(row: Row, *, total: Row | None, shares: Iterable[Row], days: Iterable[Row]) -> Iterator[Violation]:
    """Check a closed job: its counts, and its ledger against the manifest."""
    subject = f"job {row['job_id']}"
    counts = row["counts"]
    settled = counts["succeeded"] + counts["failed"] + counts["retried"]
    if settled != row["records"]:
        yield Violation(subject, f"had {row['records']} records, but accounts for {settled}")
    if total is None:
        yield Violation(subject, "is closed, but has no total in the ledger")
        return
    yield from _booked(subject, total, list(shares), "documents")
    yield from _booked(subject, total, list(days), "days")
    yield from _booked(subject, row, [total], "total")
    if total["verified"]:
        counted = Usage(int(total["manifest_input_tokens"]), int(total["manifest_output_tokens"]))
        if counted != Usage.of(total).counted:
            yield Violation(
                subject,
                f"its manifest counts {counted.input_tokens} tokens in and {counted.output_tokens} out, but "
                f"{total['input_tokens']} and {total['output_tokens']} are booked",
            )


def slots(base_model: str, holders: Iterable[str], jobs: Mapping[str, Row | None]) -> Iterator[Violation]:
    """Check that slots are held by jobs that run or are about to."""
    for name in sorted(holders):
        row = jobs.get(name)
        if row is None or row["status"] == JobStatus.CLOSED or row["engine"] != Engine.BATCH:
            state = f"is {row['status']} on {row['engine']}" if row else "does not exist"
            yield Violation(f"slots of {base_model}", f"job {name} holds one, but {state}")


@dataclass(frozen=True, slots=True)
class Amount:
    """What a job has of a budget, in USD: spent if it is closed, else reserved; and what was `approved`."""

    usd: Decimal
    closed: bool
    approved: Decimal


def budget(
    name: str, *, committed: Decimal, spent: Decimal, approved: Decimal, amounts: Collection[Amount]
) -> Iterator[Violation]:
    """Check that a budget holds what open jobs have reserved and closed ones have spent."""
    expected = sum((one.usd for one in amounts), Decimal(0))
    if committed != expected:
        yield Violation(f"budget {name}", f"{committed} USD are committed, but its jobs come to {expected}")
    closed = sum((one.usd for one in amounts if one.closed), Decimal(0))
    if spent != closed:
        yield Violation(f"budget {name}", f"{spent} USD are spent, but its closed jobs come to {closed}")
    let_go = sum((one.approved for one in amounts), Decimal(0))
    if approved != let_go:
        yield Violation(f"budget {name}", f"{approved} USD are approved, but its jobs come to {let_go}")


def charge(row: Row) -> Charge:
    return Charge(Decimal(row["cost_usd"]), Decimal(row["saved_usd"]), Decimal(row.get("overhead_usd", 0)))


def _booked(subject: str, row: Row, entries: list[Row], where: str = "ledger") -> Iterator[Violation]:
    tokens, money = sum(map(Usage.of, entries), Usage()), sum(map(charge, entries), Charge())
    if tokens != Usage.of(row):
        yield Violation(
            subject,
            f"has {row['input_tokens']} tokens in and {row['output_tokens']} out, but in its {where} are "
            f"{tokens.input_tokens} and {tokens.output_tokens}",
        )
    if money != charge(row):
        yield Violation(
            subject,
            f"cost {row['cost_usd']}, saved {row['saved_usd']} and took {row.get('overhead_usd', 0)} USD of "
            f"overhead, but in its {where} are {money.cost_usd}, {money.saved_usd} and {money.overhead_usd}",
        )
    cached, spared = _reused([row])
    if _reused(entries) != (cached, spared):
        count, usd = _reused(entries)
        yield Violation(
            subject,
            f"has {cached} cached answers that saved {spared} USD, but in its {where} are {count} and {usd}",
        )


def _reused(rows: Iterable[Row]) -> tuple[int, Decimal]:
    """Add up the answers that came from the cache, and what they would have cost."""
    found = [(int(row["cached"]), Decimal(row["cache_saved_usd"])) for row in rows if "cached" in row]
    return sum(count for count, _ in found), sum((usd for _, usd in found), Decimal(0))


def touched(shards: Iterable[Shard]) -> set[str]:
    """Name the documents whose records shards hold."""
    return {name for one in shards for name in documents_of(one)}
