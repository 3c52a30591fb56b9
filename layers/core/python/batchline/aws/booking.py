"""Booking: what a closed job writes into the ledger."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from batchline.aws.dynamo import Row
from batchline.models import Charge, Engine, Tier, Usage
from batchline.money import overhead, prices
from batchline.money.ledger import UNATTRIBUTED
from batchline.money.prices import Price
from batchline.outcomes import Expected, Outcomes, Tally


def charge(row: Row, usage: Usage) -> Charge:
    """Price tokens as a job's row says who has answered, by what was in force when it was opened."""
    return prices.charge(usage, row["model"], Engine(row["engine"]), Tier(row["tier"]), at=row["created_at"])


def reused(row: Row, tally: Tally) -> Row:
    """Say how many answers came from the cache, and what they would have cost in USD; nothing if none did.

    Their price is that of the engine for which the job was opened.
    """
    if not tally.cached:
        return {}
    engine = Engine(row["instead_of"] if "instead_of" in row else row["engine"])
    spared = prices.charge(tally.spared, row["model"], engine, Tier(row["tier"]), at=row["created_at"])
    return {"cached": tally.cached, "cache_saved_usd": spared.cost_usd}


class Share(NamedTuple):
    """What a job did for a document, whose last record is before position `stop`."""

    document_id: str
    stop: int
    tally: Tally
    pipeline: str
    overhead_usd: Decimal


def shares(row: Row, outcomes: Outcomes, start: int) -> Iterator[Share]:
    """Yield what the job did for each document, from a position on."""
    stretches = outcomes.expected.stretches(start) if start < len(outcomes.expected) else ()
    for document_id, group in groupby(stretches, key=attrgetter("document_id")):
        tally = Tally()
        for one in group:
            tally += outcomes.tally(one.start, one.stop, attempt=one.attempt)
        overhead_usd = _share(row, outcomes.expected, start, one.stop)
        yield Share(document_id, one.stop, tally, one.shard.pipeline, overhead_usd)
        start = one.stop


def _share(row: Row, expected: Expected, start: int, stop: int) -> Decimal:
    """Say what records at neighbouring positions bear of a job's overhead."""
    return overhead.share(Decimal(row.get("overhead_usd", 0)), start, stop, len(expected))


def borne(row: Row, expected: Expected) -> dict[str, Decimal]:
    """Say what each pipeline bears of a job's overhead: the sum of its documents' shares."""
    found: dict[str, Decimal] = {}
    for one in expected.stretches():
        name = one.shard.pipeline
        found[name] = found.get(name, Decimal(0)) + _share(row, expected, one.start, one.stop)
    return found


def document(
    row: Row,
    document_id: str,
    tally: Tally,
    *,
    region: str,
    pipeline: str,
    overhead_usd: Decimal,
    tags: Mapping[str, str],
) -> Row:
    """Write what a job charged for one document; `tags` are those of its pipeline."""
    entry = _entry(row, f"document#{document_id}", row["job_id"], tally.usage, region)
    return entry | _counts(row, tally) | {"pipeline": pipeline, "overhead_usd": overhead_usd} | _tags(tags)


def job(
    row: Row,
    by_pipeline: Mapping[str, Tally],
    borne: Mapping[str, Decimal],
    *,
    region: str,
    booked: Tally,
    unowned: Usage,
    manifest: Usage | None,
    tags: Mapping[str, Mapping[str, str]],
) -> Iterator[Row]:
    """Write a job's total, its share of the day by pipeline, and what belongs to no document.

    `borne` is each pipeline's share of the job's overhead, `tags` are those of each pipeline.
    """
    job_id, day = row["job_id"], f"day#{row['closed_at'][:10]}"
    for name, tally in by_pipeline.items():
        yield (
            _entry(row, day, f"{name}#{job_id}", tally.usage, region)
            | _counts(row, tally)
            | {"pipeline": name, "overhead_usd": borne[name]}
            | _tags(tags[name])
        )
    if unowned != Usage():
        yield _entry(row, f"document#{UNATTRIBUTED}", job_id, unowned, region)
        yield _entry(row, day, f"{UNATTRIBUTED}#{job_id}", unowned, region)
    yield (
        _entry(row, f"job#{job_id}", "total", booked.usage + unowned, region)
        | _counts(row, booked)
        | {f"booked_{name}": number for name, number in booked.usage.told().items()}
        | {
            "overhead_usd": sum(borne.values(), Decimal(0)),
            "manifest_input_tokens": manifest.input_tokens if manifest else None,
            "manifest_output_tokens": manifest.output_tokens if manifest else None,
            "verified": manifest is not None,
        }
    )


def _entry(row: Row, scope: str, entry: str, usage: Usage, region: str) -> Row:
    spent = charge(row, usage)
    at = row["created_at"]
    price = prices.price(row["model"], Engine(row["engine"]), Tier(row["tier"]), at=at)
    listed = prices.price(row["model"], Engine.ON_DEMAND, at=at)
    return {
        "scope": scope,
        "entry": entry,
        "job_id": row["job_id"],
        "model": row["model"],
        "region": region,
        "engine": row["engine"],
        "tier": row["tier"],
        **usage.told(),
        "cost_usd": spent.cost_usd,
        "saved_usd": spent.saved_usd,
        "price": _price(price, usage),
        "list_price": _price(listed, usage),
        "booked_at": row["closed_at"],
    }


def _price(price: Price, usage: Usage) -> Row:
    """Say what a million tokens cost; of cached ones and those of long prompts where there are any."""
    said: Row = {"input": price.input, "output": price.output, "basis": price.basis}
    if usage.cache_read_tokens:
        said["cache_read"] = price.cache_read
    if usage.cache_write_tokens:
        said["cache_write"] = price.cache_write
    if price.long and usage.long != Usage():
        said["long"] = _price(price.long, usage.long) | {"above": price.long.above}
    return said


def _counts(row: Row, tally: Tally) -> Row:
    """Say what became of records, and what of it was spent without settling one."""
    counts: Row = {"succeeded": tally.succeeded, "failed": tally.failed, "retried": tally.retried}
    if tally.further:
        counts["further"] = tally.further
    if tally.unsettled != Usage():
        counts |= {
            "retried_input_tokens": tally.unsettled.input_tokens,
            "retried_output_tokens": tally.unsettled.output_tokens,
            "retried_usd": charge(row, tally.unsettled).cost_usd,
        }
    return counts | reused(row, tally)


def _tags(tags: Mapping[str, str]) -> Row:
    return {"tags": dict(tags)} if tags else {}
