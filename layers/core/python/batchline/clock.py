"""The clock, for the outermost edge only: everything below takes the time as a value."""

from datetime import UTC, datetime


def now() -> datetime:
    """Tell the time in UTC."""
    return datetime.now(UTC)
