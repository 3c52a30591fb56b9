"""Booking: what a closed job writes into the ledger."""

from collections.abc import Iterator, Mapping

from batchline import prices
from batchline.aws.dynamo import Row
from batchline.ledger import UNATTRIBUTED
from batchline.models import Charge, Engine, Tier, Usage
from batchline.outcomes import Tally
from batchline.prices import Price


def charge(row: Row, usage: Usage) -> Charge:
    """Price tokens as a job's row says who has answered, by what was in force when it was opened."""
    return prices.charge(usage, row["model"], Engine(row["engine"]), Tier(row["tier"]), at=row["created_at"])


def document(row: Row, document_id: str, tally: Tally, tags: Mapping[str, str]) -> Row:
    """Write what a job charged for one document; `tags` are those of its pipeline."""
    return _entry(row, f"document#{document_id}", row["job_id"], tally.usage) | _counts(tally) | _tags(tags)


def job(
    row: Row,
    by_pipeline: Mapping[str, Tally],
    *,
    booked: Usage,
    unowned: Usage,
    manifest: Usage | None,
    tags: Mapping[str, Mapping[str, str]],
) -> Iterator[Row]:
    """Write a job's total, its share of the day by pipeline, and what belongs to no document.

    `tags` are those of each pipeline.
    """
    job_id, day = row["job_id"], f"day#{row['closed_at'][:10]}"
    for name, tally in by_pipeline.items():
        yield (
            _entry(row, day, f"{name}#{job_id}", tally.usage)
            | _counts(tally)
            | {"pipeline": name}
            | _tags(tags[name])
        )
    if unowned != Usage():
        yield _entry(row, f"document#{UNATTRIBUTED}", job_id, unowned)
        yield _entry(row, day, f"{UNATTRIBUTED}#{job_id}", unowned)
    yield _entry(row, f"job#{job_id}", "total", booked + unowned) | {
        **{f"booked_{name}": number for name, number in booked.told().items()},
        "manifest_input_tokens": manifest.input_tokens if manifest else None,
        "manifest_output_tokens": manifest.output_tokens if manifest else None,
        "verified": manifest is not None,
    }


def _entry(row: Row, scope: str, entry: str, usage: Usage) -> Row:
    spent = charge(row, usage)
    price = prices.price(row["model"], Engine(row["engine"]), Tier(row["tier"]), at=row["created_at"])
    return {
        "scope": scope,
        "entry": entry,
        "job_id": row["job_id"],
        "model": row["model"],
        "engine": row["engine"],
        "tier": row["tier"],
        **usage.told(),
        "cost_usd": spent.cost_usd,
        "saved_usd": spent.saved_usd,
        "price": _price(price, usage),
        "booked_at": row["closed_at"],
    }


def _price(price: Price, usage: Usage) -> Row:
    """Say what a million tokens cost; of cached ones where there are any."""
    said: Row = {"input": price.input, "output": price.output, "basis": price.basis}
    if usage.cache_read_tokens:
        said["cache_read"] = price.cache_read
    if usage.cache_write_tokens:
        said["cache_write"] = price.cache_write
    return said


def _counts(tally: Tally) -> Row:
    return {"succeeded": tally.succeeded, "failed": tally.failed, "retried": tally.retried}


def _tags(tags: Mapping[str, str]) -> Row:
    return {"tags": dict(tags)} if tags else {}
