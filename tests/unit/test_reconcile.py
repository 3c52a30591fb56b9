from datetime import UTC, datetime
from typing import Any

import pytest
from batchline import reconcile
from batchline.models import Engine, JobStatus, Stop
from batchline.reconcile import GRACE_SECONDS, Bell, Look, bell

NOW = 1_767_603_600.0
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OLD = GRACE_SECONDS


def row(status: str, engine: str = "batch", **more: Any) -> dict[str, Any]:
    return {"status": status, "engine": engine} | more


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (row("OPEN"), Bell.SUBMIT),
        (row("BUILDING"), Bell.SUBMIT),
        (row("READY"), Bell.SUBMIT),
        (row("REFUSED"), Bell.COLLECT),
        (row("RUNNING"), Bell.COLLECT),
        (row("COLLECTING"), Bell.COLLECT),
        (row("CLOSING"), Bell.COLLECT),
        (row("CLOSED"), None),
        (row("OPEN", "on_demand"), Bell.INVOKE),
        (row("RUNNING", "on_demand"), Bell.INVOKE),
        (row("RUNNING", "on_demand", answered=True), Bell.COLLECT),
        (row("COLLECTING", "on_demand", answered=True), Bell.COLLECT),
        (row("CLOSING", "on_demand", answered=True), Bell.COLLECT),
        (row("CLOSED", "on_demand", answered=True), None),
        # A full quota is tried again when its time has come.
        (row("WAITING"), Bell.SUBMIT),
        (row("WAITING", retry_at=NOW), Bell.SUBMIT),
        (row("WAITING", retry_at=NOW + 1), None),
        # Somebody works on it, or has died at it.
        (row("COLLECTING", lease_until=NOW), None),
        (row("COLLECTING", lease_until=NOW - 1), Bell.COLLECT),
        # Nobody answers it; collect settles its records.
        (row("OPEN", "nobody"), Bell.COLLECT),
        (row("COLLECTING", "nobody"), Bell.COLLECT),
        (row("CLOSED", "nobody"), None),
        # It is to be stopped: a full quota need not be waited for, and Bedrock is told once.
        (row("WAITING", retry_at=NOW + 1, stop="cancelled"), Bell.SUBMIT),
        (row("RUNNING", stop="deadline"), Bell.SUBMIT),
        (row("RUNNING", stop="deadline", stop_sent_at="t"), Bell.COLLECT),
        (row("COLLECTING", stop="deadline"), Bell.COLLECT),
        (row("RUNNING", stop="deadline", lease_until=NOW), None),
        (row("RUNNING", "on_demand", stop="cancelled"), Bell.INVOKE),
        (row("OPEN", "nobody", stop="cancelled"), Bell.COLLECT),
    ],
)
def test_an_old_job_is_rung_for(job: dict[str, Any], expected: Bell | None) -> None:
    assert bell(job, now=NOW, age_seconds=OLD) is expected


@pytest.mark.parametrize("status", JobStatus)
def test_a_young_job_is_left_alone_unless_it_waits_for_others(status: JobStatus) -> None:
    found = bell(row(status), now=NOW, age_seconds=GRACE_SECONDS - 1)
    expected = {JobStatus.RUNNING: Bell.COLLECT, JobStatus.WAITING: Bell.SUBMIT}
    assert found is expected.get(status)


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("status", [one for one in JobStatus if one is not JobStatus.CLOSED])
def test_no_open_job_is_ever_forgotten(status: JobStatus, engine: str) -> None:
    assert bell(row(status, engine), now=NOW, age_seconds=10**6) is not None


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (row("RUNNING", deadline_at="2026-11-22T12:00:00.000Z"), Stop.DEADLINE),
        (row("WAITING", deadline_at="2026-11-22T11:59:59.999Z"), Stop.DEADLINE),
        (row("RUNNING", deadline_at="2026-11-22T12:00:00.001Z"), None),
        (row("RUNNING"), None),
        (row("RUNNING", deadline_at="2026-11-22T11:00:00.000Z", stop="cancelled"), None),
        # Nothing is faster than on demand, and what has ended needs no stop.
        (row("RUNNING", "on_demand", deadline_at="2026-11-22T11:00:00.000Z"), None),
        (row("OPEN", "nobody", deadline_at="2026-11-22T11:00:00.000Z"), None),
        (row("COLLECTING", deadline_at="2026-11-22T11:00:00.000Z"), None),
        (row("CLOSED", deadline_at="2026-11-22T11:00:00.000Z"), None),
    ],
)
def test_a_batch_past_its_deadline_is_stopped(job: dict[str, Any], expected: Stop | None) -> None:
    assert reconcile.overdue(job, now=NOON) is expected


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (row("WAITING", created_at="2026-11-22T06:00:00.000Z"), True),
        (row("READY", created_at="2026-11-22T05:00:00.000Z"), True),
        (row("WAITING", created_at="2026-11-22T06:00:00.001Z"), False),
        (row("RUNNING", created_at="2026-11-20T06:00:00.000Z"), False),
        (row("OPEN", "on_demand", created_at="2026-11-20T06:00:00.000Z"), False),
    ],
)
def test_a_job_waits_too_long_for_bedrock(job: dict[str, Any], expected: bool) -> None:
    assert reconcile.waits_too_long(job, now=NOON) is expected


def document(hours: float, status: str = "QUEUED", **more: Any) -> dict[str, Any]:
    received = datetime.fromtimestamp(NOON.timestamp() - hours * 3600, UTC)
    at = received.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"status": status, "received_at": at, "sealed": True, "open": 3} | more


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (document(6), Look.SUSPECT),
        (document(5.9), None),
        (document(6, "HELD", error={"code": "TOO_FEW"}), Look.SUSPECT),
        (document(6, "COMBINING"), Look.SUSPECT),
        (document(1, open=0), Look.SETTLED),
        (document(0.9, open=0), None),
        # A packer that died may have left it held.
        (document(6, "HELD", open=0, error={"code": "TOO_FEW"}), Look.SETTLED),
        # It waits for a person, for its pipeline, for chunk; or it has ended.
        (document(6, "HELD", open=0, error={"code": "REVIEW_NEEDED"}), None),
        (document(6, "HELD", open=0, sealed=False, error={"code": "PIPELINE_UNKNOWN"}), None),
        (document(6, "CHUNKING", sealed=False), None),
        (document(6, "PARTIAL", open=0), None),
    ],
)
def test_a_document_gives_reason_to_look(found: dict[str, Any], expected: Look | None) -> None:
    assert reconcile.look(found, now=NOON) is expected
