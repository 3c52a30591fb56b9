"""Reconcile: what to ring for a job whose doorbell was lost, decided from its row."""

from enum import StrEnum
from typing import Any, Final

from batchline.models import Engine, JobStatus

# Younger jobs are still in the hands of whoever opened them.
GRACE_SECONDS: Final = 120


class Bell(StrEnum):
    """The stage that should look at a job."""

    SUBMIT = "submit"
    INVOKE = "invoke"
    COLLECT = "collect"


def bell(row: dict[str, Any], *, now: float, age_seconds: float) -> Bell | None:
    """Say who should look at a job now. None: nobody; it is closed, young, worked on or waiting."""
    status = JobStatus(row["status"])
    if status is JobStatus.CLOSED or int(row.get("lease_until", 0)) >= now:
        return None
    if age_seconds < GRACE_SECONDS and status not in {JobStatus.RUNNING, JobStatus.WAITING}:
        return None
    if status is JobStatus.WAITING:
        return Bell.SUBMIT if int(row.get("retry_at", 0)) <= now else None
    if row["engine"] == Engine.ON_DEMAND:
        answering = status in {JobStatus.OPEN, JobStatus.RUNNING} and not row.get("answered")
        return Bell.INVOKE if answering else Bell.COLLECT
    if status in {JobStatus.OPEN, JobStatus.BUILDING, JobStatus.READY}:
        return Bell.SUBMIT
    return Bell.COLLECT
