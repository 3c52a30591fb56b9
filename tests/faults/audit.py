"""Does everything add up? What must hold between the tables, the buckets and what Bedrock was paid."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from batchline.aws import objects
from batchline.ids import RecordId
from batchline.models import DocumentStatus, Engine, JobStatus, Range, Shard, Usage

from tests.integration.fake_bedrock import called
from tests.integration.world import World

type Row = dict[str, Any]


def check(world: World, *, in_flight: int = 0) -> None:
    """Fail unless every promise holds now, whether or not work is still going on.

    `in_flight` is how many on-demand calls may have been paid twice: those that a crash cut off.
    """
    jobs = {one["job_id"]: one for one in world.jobs()}
    open_records = _open_records(world, jobs.values())
    for row in world.documents():
        _check_document(world, row, open_records[row["document_id"]])
    for row in jobs.values():
        if row["status"] == JobStatus.CLOSED:
            _check_job(world, row)
    _check_slots(world, jobs)
    _check_budgets(world, jobs.values())
    _check_paid(world, in_flight)


def check_end(world: World, *, in_flight: int = 0) -> None:
    """Fail unless every promise holds and nothing is left to do."""
    check(world, in_flight=in_flight)
    assert world.restless() == []
    assert world.pending() == [], "shards are pending"
    assert not [one for one in world.control("slots#") if one.get("holders")], "a slot leaked"
    assert "open_job" not in world.control("lease#pack")[0], "an opening was not finished"
    for row in world.documents():
        if DocumentStatus(row["status"]).terminal and row["records"]:
            published = [e for _, e in world.events() if e["document_id"] == row["document_id"]]
            assert published, f"nobody was told of the end of {row}"
    billed = sum((_usage(one) for one in world.costs("job#")), Usage())
    if not in_flight:
        assert billed == world.bedrock.billed, "what was booked is not what was billed"
    assert world.dead_letters == []


def _check_document(world: World, row: Row, open_records: Counter[str]) -> None:
    document_id = row["document_id"]
    where = f"document {document_id}: {row}"
    assert row["records"] == row["succeeded"] + row["failed"] + row["open"], where
    assert row["open"] == len(open_records), f"{where}; open: {sorted(open_records)}"
    assert set(open_records.values()) <= {1}, f"a record is open twice: {open_records}"
    if DocumentStatus(row["status"]).terminal:
        assert row["sealed"], where
        assert row["open"] == 0, where
    if row["status"] == DocumentStatus.HELD:
        assert row["error"]["message"], where
    results = world.results(document_id)
    failed = [one for one in results if "error" in one]
    assert not set(open_records) & {one["record"] for one in results}, where
    # A result may be there before its job has counted it, never the other way round.
    assert len(results) >= row["succeeded"] + row["failed"], where
    if row["status"] in {DocumentStatus.COMPLETED, DocumentStatus.PARTIAL}:
        assert (len(results) - len(failed), len(failed)) == (row["succeeded"], row["failed"]), where
        assert row["failed"] == 0 or row["status"] == DocumentStatus.PARTIAL, where
    ledger = world.costs(f"document#{document_id}")
    applied = [one for one in ledger if one["entry"] in row.get("applied", ())]
    assert row["cost_usd"] == sum((Decimal(one["cost_usd"]) for one in applied), Decimal(0)), where
    assert _usage(row) == sum(map(_usage, applied), Usage()), where


def _open_records(world: World, jobs: Iterable[Row]) -> dict[str, Counter[str]]:
    """Name the records of each document that wait in a shard or in a job that has not counted them."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    claimed: set[str] = set()
    applied = {one["document_id"]: one.get("applied", ()) for one in world.documents()}
    for job in jobs:
        for shard in plan(world, job["job_id"]):
            claimed.add(shard.shard_id)
            if job["status"] == JobStatus.CLOSED:
                continue
            for document_id, record in _records(shard):
                if job["job_id"] not in applied[document_id]:
                    found[document_id][record] += 1
    for row in world.pending():
        if row["shard_id"] in claimed:
            continue  # opened already; deleting the pending row is what is left to do
        shard = Shard.model_validate({k: v for k, v in row.items() if k not in {"pk", "sk"}})
        for document_id, record in _records(shard):
            found[document_id][record] += 1
    return found


def plan(world: World, job_id: str) -> list[Shard]:
    stored = json.loads(world.object(objects.plan_key(job_id)))
    return [Shard.model_validate(one) for one in stored["shards"]]


def _records(shard: Shard) -> Iterable[tuple[str, str]]:
    for text in shard.ranges:
        part = Range.parse(text)
        for index in range(part.first, part.first + part.count):
            yield part.document_id, RecordId(part.document_id, part.stage, index, part.attempt).record


def _check_job(world: World, row: Row) -> None:
    job_id = row["job_id"]
    where = f"job {job_id}"
    counts = row["counts"]
    assert counts["succeeded"] + counts["failed"] + counts["retried"] == row["records"], where
    (total,) = [one for one in world.costs(f"job#{job_id}") if one["entry"] == "total"]
    entries = [one for one in world.costs("document#") if one["entry"] == job_id]
    days = [one for one in world.costs("day#") if one["job_id"] == job_id]
    for booked in (entries, days):
        assert sum(map(_usage, booked), Usage()) == _usage(total), where
        assert _money(booked) == (Decimal(total["cost_usd"]), Decimal(total["saved_usd"])), where
    assert _usage(row) == _usage(total), where
    assert Decimal(row["cost_usd"]) == Decimal(total["cost_usd"]), where
    if total["verified"]:
        manifest = Usage(total["manifest_input_tokens"], total["manifest_output_tokens"])
        assert manifest == _usage(total), where


def _check_slots(world: World, jobs: dict[str, Row]) -> None:
    for row in world.control("slots#"):
        for job_id in row.get("holders", ()):
            assert job_id in jobs, "a slot is held for a job that is not there"
            assert jobs[job_id]["status"] != JobStatus.CLOSED, "a closed job holds a slot"


def _check_budgets(world: World, jobs: Iterable[Row]) -> None:
    """What is committed is what closed jobs have spent and open ones have reserved."""
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for job in jobs:
        for name, reserved in job["pipelines"].items():
            committed = Decimal(reserved)
            if job["status"] == JobStatus.CLOSED:
                booked = [
                    Decimal(one["cost_usd"])
                    for one in world.costs("day#")
                    if one["entry"] == f"{name}#{job['job_id']}"
                ]
                committed = sum(booked, Decimal(0))
            expected[f"budget#{name}#{job['reserve_day']}"] += committed
    for row in world.control("budget#"):
        assert Decimal(row["committed"]) == expected[row["pk"]], row


def _check_paid(world: World, in_flight: int) -> None:
    """No record is paid twice for the same attempt."""
    planned = _asked_on_demand(world)
    again = {name: count - planned.get(name, 1) for name, count in world.bedrock.paid.items()}
    batch = {name for name, count in again.items() if count > 0 and name not in planned}
    assert not batch, f"paid more than once in batch jobs: {sorted(batch)}"
    extra = {name: count for name, count in again.items() if count > 0}
    assert sum(extra.values()) <= in_flight, f"paid again on demand: {extra}"


def _asked_on_demand(world: World) -> Counter[str]:
    """Count what on-demand jobs were opened for, in the words in which Bedrock's fake counts it."""
    return Counter(
        called(json.loads(line)["modelInput"])
        for job in world.jobs()
        if job["engine"] == Engine.ON_DEMAND
        for shard in plan(world, job["job_id"])
        for line in world.object(shard.key).splitlines()
    )


def _usage(row: Row) -> Usage:
    return Usage(int(row["input_tokens"]), int(row["output_tokens"]))


def _money(rows: Iterable[Row]) -> tuple[Decimal, Decimal]:
    rows = list(rows)
    return (
        sum((Decimal(one["cost_usd"]) for one in rows), Decimal(0)),
        sum((Decimal(one["saved_usd"]) for one in rows), Decimal(0)),
    )
