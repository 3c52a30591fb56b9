"""Budgets: the most that records may cost, which budget does not cover them, and how that is said."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Final

from batchline import catalog, tokens
from batchline.models import Engine, Tier, Usage
from batchline.money import prices
from batchline.pipelines import Pipeline

# What nobody knows the price of fits into no budget.
BEYOND: Final = Decimal("Infinity")
# Among the names of pipelines: all of them together. No pipeline can be called so.
STACK: Final = "*"
SHOWN: Final = Decimal("0.000001")


class Scope(StrEnum):
    """Whose money: a pipeline's of a day, the stack's of a month, or what one document may cost."""

    DAY = "day"
    MONTH = "month"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Lack:
    """Which budget does not cover records: what they need, what is left of it, and the whole, in USD."""

    scope: Scope
    needs: Decimal
    left: Decimal
    limit: Decimal | None = None


def bound(
    usage: Usage, model: str, engine: Engine, tier: Tier = Tier.DEFAULT, *, longest: int | None = None
) -> Decimal:
    """Say the most that records may cost on an engine, in USD; 0 where no price is known.

    `usage` is what the weights have told of their input, and what they may answer at most: `max_tokens`,
    of which a model's reasoning is part. When the `longest` prompt may be one that costs more, all are
    taken to be. Unless it is named it is taken to be the whole input.
    """
    price = prices.price(model, engine, tier)
    whole = Usage(tokens.at_most(usage.input_tokens, model), usage.output_tokens)
    if price.long:
        length = usage.input_tokens if longest is None else longest
        if tokens.at_most(length, model) > price.long.above:
            whole = replace(
                whole, long_input_tokens=whole.input_tokens, long_output_tokens=whole.output_tokens
            )
    return price.cost(whole)


def is_priced(model: str, engine: Engine = Engine.ON_DEMAND, tier: Tier = Tier.DEFAULT) -> bool:
    """Tell whether a price is known."""
    return prices.price(model, engine, tier).basis != prices.UNKNOWN.basis


def dearest(usage: Usage, pipeline: Pipeline, model: str, *, longest: int | None = None) -> Decimal:
    """Say the most that records may cost by the dearest way in which they may be asked, in USD.

    Only a pipeline that neither has a deadline nor lets few records go on demand is sure of a batch.
    `longest` is as of a bound.
    """
    return max(bound(usage, model, engine, tier, longest=longest) for engine, tier in _ways(pipeline, model))


def per_document(pipeline: Pipeline | None) -> Decimal | None:
    """Say what one document of a pipeline may cost, in USD. None: there is no limit."""
    return pipeline.budget.per_document_usd if pipeline and pipeline.budget else None


def covers(pipeline: Pipeline, most: Decimal) -> bool:
    """Tell whether a document's budget covers the most that its records may cost."""
    limit = per_document(pipeline)
    return limit is None or (most <= limit and is_priced(pipeline.model))


def _ways(pipeline: Pipeline, model: str) -> Iterator[tuple[Engine, Tier]]:
    batch = catalog.model(model).batch
    if batch:
        yield Engine.BATCH, Tier.DEFAULT
    if pipeline.deadline is not None or pipeline.too_few == "on_demand" or not batch:
        yield Engine.ON_DEMAND, Tier.DEFAULT
    if pipeline.too_few in {Tier.FLEX, Tier.PRIORITY}:
        yield Engine.ON_DEMAND, Tier(pipeline.too_few)


def said(lack: Lack, *, model: str, document_id: str, day: str) -> str:
    """Say in a few sentences why a document is held, when it goes on and what to do. `day` is today."""
    let = f"`batchline approve {document_id}`"
    if not lack.needs.is_finite():
        return (
            f"No price is known for {model}, so nobody can tell whether {_whose(lack.scope)} covers its "
            f"records. Give it a price with `batchline prices refresh --to stack`{_or(lack, let)}."
        )
    needs = f"Its records, and those that are asked with them, may cost {up(lack.needs)} USD"
    limit = f" of {down(lack.limit)}" if lack.limit is not None else ""
    match lack.scope:
        case Scope.MONTH:
            return (
                f"{needs}; {down(lack.left)}{limit} USD are left of the stack's budget for {day[:7]}. The "
                f"document goes on by itself when there is room, in a new month on {next_month(day)} (UTC); "
                "sooner when the parameter BudgetPerMonth of the stack is raised."
            )
        case Scope.DAY:
            return (
                f"{needs}; {down(lack.left)}{limit} USD are left of the pipeline's budget for {day} (UTC). "
                "The document goes on by itself when a day has room; to go on sooner run "
                f"{let}, or raise budget.per_day_usd and upload the pipeline again."
            )
        case Scope.DOCUMENT:
            return (
                f"Its records may cost {up(lack.needs)} USD, and budget.per_document_usd leaves it "
                f"{down(lack.left)}{limit}. To let it go on run {let}, or raise the budget and upload the "
                "pipeline again."
            )


def _whose(scope: Scope) -> str:
    return "the stack's budget" if scope is Scope.MONTH else f"the pipeline's budget of a {scope}"


def _or(lack: Lack, let: str) -> str:
    """Name the other way out; the stack's budget has none."""
    return "" if lack.scope is Scope.MONTH else f", or let the document go with {let}"


def next_month(day: str) -> str:
    """Name the first day of the month after that of a day."""
    first = date.fromisoformat(day).replace(day=1) + timedelta(days=31)
    return first.replace(day=1).isoformat()


def up(usd: Decimal) -> str:
    """Write an amount that is needed: rounded up, to a millionth."""
    return _plain(usd.quantize(SHOWN, ROUND_CEILING))


def down(usd: Decimal) -> str:
    """Write an amount that there is: rounded down, to a millionth."""
    return _plain(usd.quantize(SHOWN, ROUND_FLOOR))


def _plain(usd: Decimal) -> str:
    return format(usd.normalize(), "f") if usd else "0"
