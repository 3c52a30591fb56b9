"""The ledger added up by month."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from batchline.money import ledger


def row(job: str = "j1", **changes: Any) -> dict[str, Any]:
    return {
        "scope": "day#2026-10-05",
        "entry": f"notes#{job}",
        "job_id": job,
        "pipeline": "notes",
        "model": "amazon.nova-lite-v1:0",
        "engine": "batch",
        "tier": "default",
        "input_tokens": 100,
        "output_tokens": 20,
        "cost_usd": Decimal("0.0000054"),
        "saved_usd": Decimal("0.0000054"),
        "overhead_usd": Decimal("0.000000007"),
        "price": {"input": Decimal("0.03"), "output": Decimal("0.12"), "basis": "list"},
        "booked_at": "2026-10-05T09:00:00.000Z",
        "succeeded": 1,
        "failed": 0,
        "retried": 2,
        **changes,
    }


def test_a_month_is_the_sum_of_its_days_by_what_is_alike() -> None:
    nobody = {key: value for key, value in row("j1").items() if key not in {"pipeline", "succeeded"}}
    rows = [row("j1"), row("j2", booked_at="2026-10-31T23:59:59.999Z"), row("j3", tags={"team": "a"}), nobody]
    first, tagged, unowned = ledger.roll_up("2026-10", rows)
    assert first == {
        "scope": "month#2026-10",
        "entry": first["entry"],
        "pipeline": "notes",
        "model": "amazon.nova-lite-v1:0",
        "engine": "batch",
        "tier": "default",
        "price": row()["price"],
        "jobs": 2,
        "input_tokens": 200,
        "output_tokens": 40,
        "succeeded": 2,
        "failed": 0,
        "retried": 4,
        "cost_usd": Decimal("0.0000108"),
        "saved_usd": Decimal("0.0000108"),
        "overhead_usd": Decimal("0.000000014"),
        "booked_at": "2026-10-31T23:59:59.999Z",
    }
    assert first["entry"].startswith("notes#amazon.nova-lite-v1:0#")
    assert (tagged["tags"], tagged["jobs"]) == ({"team": "a"}, 1)
    assert unowned["entry"].startswith("-#")
    assert len({one["entry"] for one in (first, tagged, unowned)}) == 3
    assert [first, tagged, unowned] == list(ledger.roll_up("2026-10", rows))


@pytest.mark.parametrize(
    ("now", "month"),
    [
        ("2026-11-22T09:00:00+00:00", "2026-10"),
        ("2026-11-04T00:00:00+00:00", "2026-10"),
        ("2026-11-03T23:59:59+00:00", "2026-09"),  # something may still be booked in October
        ("2027-01-04T00:00:00+00:00", "2026-12"),
    ],
)
def test_a_month_is_settled_three_days_after_its_end(now: str, month: str) -> None:
    assert ledger.last_settled_month(datetime.fromisoformat(now)) == month


def test_a_month_has_its_days() -> None:
    days = ledger.days_of("2028-02")
    assert (days[0], days[-1], len(days)) == ("2028-02-01", "2028-02-29", 29)
