"""Closing a job: duplicates and missing records are decided, retries registered, money booked.

plan.json + part summaries → retries → ledger → documents → the job's last transaction
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Final

import orjson

from batchline import chunk, collect, prices
from batchline.aws import dynamo, objects
from batchline.aws.control import Control
from batchline.aws.costs import UNATTRIBUTED, Costs
from batchline.aws.documents import Documents, settled
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.results import KEPT_DAYS, Results, result_row
from batchline.aws.shards import Contents, Shards
from batchline.collect import Merged, Summary, Tally, Verdict
from batchline.errors import Code, LostRace
from batchline.ids import RecordId
from batchline.models import Charge, Engine, JobStatus, Range, Shard, Tier, Usage, timestamp
from batchline.records import with_more_room
from batchline.tokens import estimate_tokens

WRITERS: Final = 8
RETRY_RANGES: Final = 400  # keeps a retry shard's row far below 400 KB


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job was made of: its shards, and whose each of its records is."""

    shards: tuple[Shard, ...]
    owners: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> "Plan":
        found = tuple(shards)
        owners = {
            name: (one.pipeline, one.version)
            for one in found
            for text in one.ranges
            for name in _record_ids(Range.parse(text))
        }
        return cls(found, owners)

    def owner(self, record_id: str) -> tuple[str, str] | None:
        """Name the pipeline and version of a record. None: the job was not asked for it."""
        return self.owners.get(record_id)


def _record_ids(part: Range) -> Iterator[str]:
    for index in range(part.first, part.first + part.count):
        yield str(RecordId(part.document_id, part.stage, index, part.attempt))


@dataclass(frozen=True, slots=True)
class Closer:
    """Closes jobs of which every part has been read."""

    jobs: Jobs
    documents: Documents
    results: Results
    costs: Costs
    control: Control
    work: Work
    pipelines: Pipelines
    shards: Shards
    documents_queue: Queue
    wake_queue: Queue
    clock: Callable[[], datetime]
    kept_days: int = KEPT_DAYS

    def plan(self, row: Row) -> Plan:
        return Plan.of(self.work.get_plan(row["job_id"]))

    def summaries(self, job_id: str, part: int) -> Iterator[Summary]:
        lines = self.work.lines(objects.part_key(job_id, part))
        return (Summary.load(line) for line in lines if line)

    def close(self, row: Row, lease: JobLease) -> Row:
        """Close a job in CLOSING. Every step of it may be repeated."""
        plan = self.plan(row)
        said = (one for n in range(len(row["parts"])) for one in self.summaries(row["job_id"], n))
        merged = collect.merge(said, plan.owners)
        outcomes = self._settle_missing(row, merged, plan)
        self._retry(row, outcomes, plan, lease)
        lease.keep()
        by_document, by_pipeline = _tallies(outcomes, plan)
        booked = sum((one.usage for one in by_document.values()), Usage())
        counted = self._manifest(row)
        unowned = counted - booked if counted else merged.unowned
        self._book(row, by_document, by_pipeline, counted, booked, unowned)
        self._account(row, by_document, lease)
        return self._finish(row, lease, merged, outcomes, by_pipeline, booked + unowned)

    def _settle_missing(self, row: Row, merged: Merged, plan: Plan) -> list[Summary]:
        """Decide the records without a line, and return what became of every record."""
        outcomes = list(merged.by_record.values())
        rows: list[Row] = []
        for name in merged.missing:
            record = RecordId.parse(name)
            owner = plan.owner(name)
            if record is None or owner is None:
                continue
            verdict = collect.missing(
                ended=row["ended"],
                message=row["ended_message"],
                record_id=record,
                attempts=self.pipelines.get(*owner).attempts,
            )
            code = verdict.failure.code if verdict.failure else ""
            outcomes.append(Summary(name, verdict.outcome, code, Usage()))
            if verdict.outcome == collect.FAILED:
                error = _error(verdict)
                rows.append(result_row(row, record, usage=Usage(), days=self.kept_days, error=error))
        self.results.put(rows)
        return outcomes

    def _retry(self, row: Row, outcomes: list[Summary], plan: Plan, lease: JobLease) -> None:
        """Register the next attempts as new shards, from where an earlier run has stopped."""
        codes = {one.record_id: one.code for one in outcomes if one.outcome == collect.RETRY}
        if not codes:
            return
        cursor = int(row["retry_cursor"])
        urgent = False
        for number, (owner, ranges, lines) in enumerate(self._retry_groups(plan, codes, lease)):
            if number < cursor:
                continue
            name, version = owner
            pipeline = self.pipelines.get(name, version)
            shard = self.shards.write(
                f"{row['job_id']}-{number:05d}",
                Contents(
                    ranges=ranges,
                    lines=lines,
                    input_tokens=sum(estimate_tokens(line.decode(), pipeline.model) for line in lines),
                    output_tokens=sum(
                        orjson.loads(line)["modelInput"]["inferenceConfig"]["maxTokens"] for line in lines
                    ),
                ),
                name=name,
                pipeline=pipeline,
                version=version,
                now=self.clock(),
            )
            try:
                self.shards.register(shard, [self.jobs.register_retry(row["job_id"], cursor=number)])
            except dynamo.Cancelled as cancelled:
                raise LostRace(row["job_id"]) from cancelled
            urgent = True
        if urgent:
            self.wake_queue.ring({"hop": 0})

    def _retry_groups(
        self, plan: Plan, codes: Mapping[str, str], lease: JobLease
    ) -> Iterator[tuple[tuple[str, str], list[Range], list[bytes]]]:
        """Read the job's shards again and yield its next attempts in shards, always the same ones."""
        for owner, shards in groupby(plan.shards, key=lambda one: (one.pipeline, one.version)):
            ranges: list[Range] = []
            lines: list[bytes] = []
            size = 0
            for record, line in self._retried(shards, codes, lease):
                full = (
                    len(lines) >= chunk.SHARD_RECORDS
                    or len(ranges) >= RETRY_RANGES
                    or size + len(line) > chunk.SHARD_BYTES
                )
                if lines and full:
                    yield owner, ranges, lines
                    ranges, lines, size = [], [], 0
                _extend(ranges, record)
                lines.append(line)
                size += len(line)
            if lines:
                yield owner, ranges, lines

    def _retried(
        self, shards: Iterable[Shard], codes: Mapping[str, str], lease: JobLease
    ) -> Iterator[tuple[RecordId, bytes]]:
        for shard in shards:
            for line in lease.keeping(self.work.lines(shard.key)):
                asked = orjson.loads(line)
                code = codes.get(asked["recordId"])
                record = RecordId.parse(asked["recordId"])
                if code is None or record is None:
                    continue
                again = replace(record, attempt=record.attempt + 1)
                body = asked["modelInput"]
                if code == Code.ANSWER_TRUNCATED:
                    body = with_more_room(body, shard.model)
                yield again, orjson.dumps({"recordId": str(again), "modelInput": body}) + b"\n"

    def _manifest(self, row: Row) -> Usage | None:
        """Read what Bedrock says it has counted. None: it says nothing."""
        for one in self.work.find(objects.output_prefix(row["job_id"])):
            if one.key.endswith("/manifest.json.out"):
                counts = self.work.get_json(one.key)
                return Usage(counts["inputTokenCount"], counts["outputTokenCount"])
        return None

    def _book(
        self,
        row: Row,
        by_document: Mapping[str, Tally],
        by_pipeline: Mapping[str, Tally],
        counted: Usage | None,
        booked: Usage,
        unowned: Usage,
    ) -> None:
        """Write the ledger: a row per document, one for what nobody owns, one per pipeline and day."""
        job_id, day = row["job_id"], row["closed_at"][:10]
        documents = {f"document#{name}": tally for name, tally in by_document.items()}
        entries = [
            _entry(row, scope, job_id, tally.usage) | _counts(tally) for scope, tally in documents.items()
        ]
        if unowned != Usage():
            entries.append(_entry(row, f"document#{UNATTRIBUTED}", job_id, unowned))
        entries += [
            _entry(row, f"day#{day}", f"{name}#{job_id}", tally.usage) | _counts(tally) | {"pipeline": name}
            for name, tally in by_pipeline.items()
        ]
        if unowned != Usage():
            entries.append(_entry(row, f"day#{day}", f"{UNATTRIBUTED}#{job_id}", unowned))
        total = _entry(row, f"job#{job_id}", "total", booked + unowned)
        entries.append(
            total
            | {
                "booked_input_tokens": booked.input_tokens,
                "booked_output_tokens": booked.output_tokens,
                "manifest_input_tokens": counted.input_tokens if counted else None,
                "manifest_output_tokens": counted.output_tokens if counted else None,
                "verified": counted is not None,
            }
        )
        self.costs.book(entries)

    def _account(self, row: Row, by_document: Mapping[str, Tally], lease: JobLease) -> None:
        """Update every document once, and ring aggregate for those that are settled now."""

        def account(item: tuple[str, Tally]) -> str | None:
            document_id, tally = item
            written = self.documents.account(
                document_id,
                row["job_id"],
                succeeded=tally.succeeded,
                failed=tally.failed,
                usage=tally.usage,
                charge=_charge(row, tally.usage),
            )
            return document_id if settled(written.row) else None

        with ThreadPoolExecutor(WRITERS) as pool:
            done = lease.keeping(pool.map(account, by_document.items()))
            self.documents_queue.ring_all({"document_id": one} for one in done if one)

    def _finish(
        self,
        row: Row,
        lease: JobLease,
        merged: Merged,
        outcomes: list[Summary],
        by_pipeline: Mapping[str, Tally],
        usage: Usage,
    ) -> Row:
        """Move the job to CLOSED, free its slot and settle its budgets, all at once."""
        charge = _charge(row, usage)
        tally = Counter(one.outcome for one in outcomes)
        codes = Counter(one.code for one in outcomes if one.code)
        attributes: Row = {
            "counts": {
                "succeeded": tally[collect.SUCCEEDED],
                "failed": tally[collect.FAILED],
                "retried": tally[collect.RETRY],
                "missing": len(merged.missing),
                "duplicates": merged.duplicates,
                "foreign": merged.foreign,
            },
            "codes": dict(codes),
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": charge.cost_usd,
            "saved_usd": charge.saved_usd,
            "message": _message(row, tally, codes),
        }
        closed = self.jobs.moved(
            row,
            JobStatus.CLOSED,
            owner=lease.owner,
            at=timestamp(self.clock()),
            attributes=attributes,
        )
        writes = [closed]
        if row["engine"] == Engine.BATCH:
            writes.append(self.control.slot_freed(row["base_model"], row["job_id"]))
        for name, reserved in row["pipelines"].items():
            spent = _charge(row, by_pipeline[name].usage).cost_usd if name in by_pipeline else Decimal(0)
            writes.append(
                self.control.settle(name, row["reserve_day"], reserved=Decimal(reserved), spent=spent)
            )
        try:
            dynamo.transact(self.control.client, writes)
        except dynamo.Cancelled as cancelled:
            raise LostRace(row["job_id"]) from cancelled
        return row | attributes | {"status": JobStatus.CLOSED}


def _tallies(outcomes: Iterable[Summary], plan: Plan) -> tuple[dict[str, Tally], dict[str, Tally]]:
    by_document: dict[str, Tally] = {}
    by_pipeline: dict[str, Tally] = {}
    for one in outcomes:
        record, owner = RecordId.parse(one.record_id), plan.owner(one.record_id)
        if record is None or owner is None:
            continue
        by_document.setdefault(record.document_id, Tally()).add(one.outcome, one.usage)
        by_pipeline.setdefault(owner[0], Tally()).add(one.outcome, one.usage)
    return by_document, by_pipeline


def _extend(ranges: list[Range], record: RecordId) -> None:
    """Add a record to the last range where it follows it, else begin a new one."""
    if ranges:
        last = ranges[-1]
        follows = RecordId(last.document_id, last.stage, last.first + last.count, last.attempt)
        if follows == record:
            ranges[-1] = Range(last.document_id, last.stage, last.first, last.count + 1, last.attempt)
            return
    ranges.append(Range(record.document_id, record.stage, record.index, 1, record.attempt))


def _charge(row: Row, usage: Usage) -> Charge:
    return prices.charge(usage, row["model"], Engine(row["engine"]), Tier(row["tier"]))


def _entry(row: Row, scope: str, entry: str, usage: Usage) -> Row:
    charge = _charge(row, usage)
    price = prices.price(row["model"], Engine(row["engine"]), Tier(row["tier"]))
    return {
        "scope": scope,
        "entry": entry,
        "job_id": row["job_id"],
        "model": row["model"],
        "engine": row["engine"],
        "tier": row["tier"],
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": charge.cost_usd,
        "saved_usd": charge.saved_usd,
        "price": {"input": price.input, "output": price.output, "basis": price.basis},
        "booked_at": row["closed_at"],
    }


def _counts(tally: Tally) -> Row:
    return {"succeeded": tally.succeeded, "failed": tally.failed, "retried": tally.retried}


def _error(verdict: Verdict) -> Row | None:
    failure = verdict.failure
    return {"code": failure.code, "message": failure.message} if failure else None


def _message(row: Row, tally: Counter[str], codes: Counter[str]) -> str:
    """Say in one sentence what is wrong with the job; empty when nothing is."""
    if row["ended_message"]:
        return str(row["ended_message"])
    if codes and not tally[collect.SUCCEEDED]:
        worst, count = codes.most_common(1)[0]
        return f"No record succeeded: {count} of {tally.total()} ended as {worst}."
    return ""
