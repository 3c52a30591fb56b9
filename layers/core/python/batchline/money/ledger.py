"""The ledger added up: by day, month, pipeline, model, tag and so on. Every sum is one over absolute rows."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from batchline.models import COUNTED_TOKENS, TOKENS

type Row = Mapping[str, Any]

UNATTRIBUTED: Final = "-"
# What adds up; the first ones a row has always, the others where they are not 0.
ALWAYS: Final = (*COUNTED_TOKENS, "succeeded", "failed", "retried")
MONEY: Final = ("cost_usd", "saved_usd", "overhead_usd")
SUMMED: Final = (
    *(*ALWAYS, *MONEY),
    *TOKENS[len(COUNTED_TOKENS) :],
    *("further", "retried_input_tokens", "retried_output_tokens", "retried_usd"),
    *("cached", "cache_saved_usd"),
)
# What one row of a month has alike.
ALIKE: Final = ("pipeline", "model", "region", "engine", "tier", "price", "list_price", "tags")
# Jobs book on the day on which their closing begins; all that began in a month have ended by then.
SETTLED_AFTER: Final = timedelta(days=3)


def roll_up(month: str, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Add up a month's day rows by pipeline, model, engine, price and tags; the same rows give the same keys.

    `jobs` counts those that a row holds: a job of two pipelines counts in the rows of both.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        alike = {name: row[name] for name in ALIKE if name in row}
        key = _key(alike)
        added = found.setdefault(
            key,
            alike
            | {"scope": f"month#{month}", "entry": key, "jobs": 0, "booked_at": ""}
            | dict.fromkeys(ALWAYS, 0)
            | dict.fromkeys(MONEY, Decimal(0)),
        )
        added["jobs"] += 1
        added["booked_at"] = max(added["booked_at"], row["booked_at"])
        for name in SUMMED:
            if name in row:
                added[name] = added.get(name, 0) + row[name]
    yield from found.values()


@dataclass(frozen=True, slots=True)
class Month:
    """A month that was added up, beside its days as they are now.

    `differs` names what has other sums, and holds how much the days have more; `late` is how many of their
    entries were booked after `at`, when the month was added up.
    """

    month: str
    at: str
    entries: int
    differs: Mapping[str, Decimal]
    late: int


def month(name: str, at: str, rolled_up: Iterable[Row], days: Iterable[Row]) -> Month:
    """Hold the rows of a month against those of its days."""
    months, booked = list(rolled_up), list(days)
    sums = {what: sum(row.get(what, 0) for row in booked) for what in SUMMED}
    more = {what: Decimal(total - sum(row.get(what, 0) for row in months)) for what, total in sums.items()}
    return Month(
        month=name,
        at=at,
        entries=len(booked),
        differs={what: number for what, number in more.items() if number},
        late=sum(row["booked_at"] > at for row in booked),
    )


def _key(alike: Row) -> str:
    """Name a row of a month: what people look for first, and a hash of the rest."""
    text = json.dumps(alike, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{alike.get('pipeline', UNATTRIBUTED)}#{alike['model']}#{digest}"


def last_settled_month(now: datetime) -> str:
    """Name the last month (`2026-11`) in which nothing will be booked any more."""
    first = (now.astimezone(UTC) - SETTLED_AFTER).replace(day=1)
    return (first - timedelta(days=1)).strftime("%Y-%m")


def days_of(month: str) -> list[str]:
    """Name the days of a month, the first one first."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    days = (first + timedelta(days=n) for n in range(31))
    return [one.date().isoformat() for one in days if one.month == first.month]
