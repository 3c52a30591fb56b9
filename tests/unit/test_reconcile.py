from typing import Any

import pytest
from batchline.models import JobStatus
from batchline.reconcile import GRACE_SECONDS, Bell, bell

NOW = 1_767_603_600.0
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
    ],
)
def test_an_old_job_is_rung_for(job: dict[str, Any], expected: Bell | None) -> None:
    assert bell(job, now=NOW, age_seconds=OLD) is expected


@pytest.mark.parametrize("status", JobStatus)
def test_a_young_job_is_left_alone_unless_it_waits_for_others(status: JobStatus) -> None:
    found = bell(row(status), now=NOW, age_seconds=GRACE_SECONDS - 1)
    expected = {JobStatus.RUNNING: Bell.COLLECT, JobStatus.WAITING: Bell.SUBMIT}
    assert found is expected.get(status)


@pytest.mark.parametrize("engine", ["batch", "on_demand"])
@pytest.mark.parametrize("status", [one for one in JobStatus if one is not JobStatus.CLOSED])
def test_no_open_job_is_ever_forgotten(status: JobStatus, engine: str) -> None:
    assert bell(row(status, engine), now=NOW, age_seconds=10**6) is not None
