"""Reconcile: what has stopped moving and who should look at it, decided from rows alone."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from batchline.errors import Code
from batchline.models import DocumentStatus, Engine, JobStatus, Stop, timestamp

# Younger jobs are still in the hands of whoever opened them.
GRACE_SECONDS: Final = 120
# A job that Bedrock has not taken by then waits for more than a full quota usually makes it wait.
WAITING_LIMIT: Final = timedelta(hours=6)
# Messages are delivered by then, and their functions have ended.
SETTLED_GRACE: Final = timedelta(hours=1)
# Most documents are done by then; of those that are not, somebody must hold the records.
SUSPECT_AFTER: Final = timedelta(hours=6)

AHEAD_OF_BEDROCK: Final = frozenset({JobStatus.OPEN, JobStatus.BUILDING, JobStatus.READY, JobStatus.WAITING})
STOPPABLE: Final = AHEAD_OF_BEDROCK | {JobStatus.RUNNING}
UNDER_WAY: Final = frozenset({DocumentStatus.QUEUED, DocumentStatus.COMBINING, DocumentStatus.HELD})


class Bell(StrEnum):
    """The stage that should look at a job."""

    SUBMIT = "submit"
    INVOKE = "invoke"
    COLLECT = "collect"


class Look(StrEnum):
    """What a document's row gives reason for."""

    SETTLED = "settled"
    SUSPECT = "suspect"


def bell(row: dict[str, Any], *, now: float, age_seconds: float) -> Bell | None:
    """Say who should look at a job now. None: nobody; it is closed, young, worked on or waiting."""
    status, engine = JobStatus(row["status"]), Engine(row["engine"])
    if status is JobStatus.CLOSED or int(row.get("lease_until", 0)) >= now:
        return None
    if stops_at_bedrock(row):
        return Bell.SUBMIT
    young = age_seconds < GRACE_SECONDS and status not in {JobStatus.RUNNING, JobStatus.WAITING}
    later = status is JobStatus.WAITING and int(row.get("retry_at", 0)) > now
    if young or later:
        return None
    if engine is Engine.BATCH and status in AHEAD_OF_BEDROCK:
        return Bell.SUBMIT
    answering = status in {JobStatus.OPEN, JobStatus.RUNNING} and not row.get("answered")
    return Bell.INVOKE if engine is Engine.ON_DEMAND and answering else Bell.COLLECT


def stops_at_bedrock(row: dict[str, Any]) -> bool:
    """Tell whether a batch job is to be stopped and submit has not seen to it yet."""
    return (
        row["engine"] == Engine.BATCH
        and "stop" in row
        and "stop_sent_at" not in row
        and row["status"] in STOPPABLE
    )


def overdue(row: dict[str, Any], *, now: datetime) -> Stop | None:
    """Say why a job is to be stopped now: its records have a deadline, and a batch makes no promise."""
    deadline = row.get("deadline_at")
    if deadline is None or deadline > timestamp(now) or "stop" in row:
        return None
    return Stop.DEADLINE if row["engine"] == Engine.BATCH and row["status"] in STOPPABLE else None


def waits_too_long(row: dict[str, Any], *, now: datetime) -> bool:
    """Tell whether Bedrock should have had a batch job by now."""
    return (
        row["engine"] == Engine.BATCH
        and row["status"] in AHEAD_OF_BEDROCK
        and row["created_at"] <= timestamp(now - WAITING_LIMIT)
    )


def look(row: dict[str, Any], *, now: datetime) -> Look | None:
    """Say what is odd about a document: all is settled and it has not ended, or it takes very long."""
    if row["status"] not in UNDER_WAY or row.get("error", {}).get("code") == Code.REVIEW_NEEDED:
        return None
    received = row["received_at"]
    if row["sealed"] and row["open"] == 0:
        return Look.SETTLED if received <= timestamp(now - SETTLED_GRACE) else None
    return Look.SUSPECT if row["open"] and received <= timestamp(now - SUSPECT_AFTER) else None


def fingerprint(row: dict[str, Any]) -> str:
    """Tell a document in which something has happened from one in which nothing has."""
    return f"{row['status']} {row['stage']} {row['open']} {len(row.get('applied', ()))}"
