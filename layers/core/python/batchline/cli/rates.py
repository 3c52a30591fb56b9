"""The ledger by rate: what is charged alike, added up; and entries one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

from rich.console import RenderableType

from batchline.cli import tables
from batchline.cli.grouping import NOBODY, jobs_of, places, total
from batchline.cli.tables import Column
from batchline.cli.views.entries import Entry
from batchline.cli.views.parts import amounts
from batchline.models import Charge, Usage
from batchline.money import prices

COLUMNS: Final = (
    Column("pipeline"),
    Column("model", least=14),
    Column("engine", drop=4),
    Column("jobs", "right", drop=2),
    Column("tokens\nin", "right"),
    Column("tokens\nout", "right"),
    Column("USD per M\nin, out", "right", drop=3),
    Column("cost\nUSD", "right"),
    Column("overhead\nUSD", "right", drop=2),
    Column("saved\nUSD", "right", drop=1),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """What is charged alike: one pipeline, model, engine and price in USD per million tokens."""

    pipeline: str | None
    model: str
    engine: str
    input_price: Decimal
    output_price: Decimal
    basis: str

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            pipeline=None if entry.unattributed else entry.pipeline,
            model=entry.model,
            engine=entry.kind,
            input_price=entry.input_price,
            output_price=entry.output_price,
            basis=entry.basis,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """What jobs cost together at one rate."""

    rate: Rate
    jobs: int
    usage: Usage
    charge: Charge

    def json(self) -> dict[str, Any]:
        rate = self.rate
        return {
            "pipeline": rate.pipeline,
            "model": rate.model,
            "engine": rate.engine,
            "price": {"input": rate.input_price, "output": rate.output_price, "basis": rate.basis},
            "jobs": self.jobs,
            **amounts(self.usage, self.charge),
        }


def lines(entries: Iterable[Entry]) -> list[Line]:
    """Add up entries by pipeline, model, engine and price, dearest first."""
    groups: dict[Rate, list[Entry]] = {}
    for one in entries:
        groups.setdefault(Rate.of(one), []).append(one)
    found = [Line(rate, jobs_of(group), *total(group)) for rate, group in groups.items()]
    return sorted(found, key=lambda one: (-one.charge.cost_usd, one.rate.pipeline or "", one.rate.model))


def summary(entries: Sequence[Entry], *, width: int) -> RenderableType:
    """Lay out entries, added up by pipeline, model and price, with their sum."""
    usage, charge = total(entries)
    found = lines(entries)
    decimals, nano = places(one.charge for one in found)
    rows = [
        (
            one.rate.pipeline or NOBODY,
            one.rate.model,
            one.rate.engine,
            f"{one.jobs:,}",
            f"{one.usage.input_tokens:,}",
            f"{one.usage.output_tokens:,}",
            _price(one.rate.input_price, one.rate.output_price, one.rate.basis),
            tables.money(one.charge.cost_usd, decimals),
            tables.money(one.charge.overhead_usd, nano),
            tables.money(one.charge.saved_usd, decimals),
        )
        for one in found
    ]
    return tables.table(
        COLUMNS,
        rows,
        width=width,
        footer=(
            "total",
            "",
            "",
            f"{jobs_of(entries):,}",
            f"{usage.input_tokens:,}",
            f"{usage.output_tokens:,}",
            "",
            tables.money(charge.cost_usd, decimals),
            tables.money(charge.overhead_usd, nano),
            tables.money(charge.saved_usd, decimals),
        ),
    )


def _price(read: Decimal, written: Decimal, basis: str) -> str:
    """Write prices per million tokens; `~` marks half of the on-demand price, where no other is known."""
    if basis == "unknown":
        return "unknown"
    return f"{'~' if basis in prices.GUESSED else ''}{_digits(read)}, {_digits(written)}"


def _digits(price: Decimal) -> str:
    return tables.money(price, tables.places([price]))


def table(entries: Sequence[Entry], of: str, names: Sequence[str], *, width: int) -> RenderableType:
    """Lay out entries one by one with their sum; `of` says what each of their names is."""
    usage, charge = total(entries)
    decimals, nano = places(one.charge for one in entries)
    columns = (
        Column(of),
        Column("pipeline", drop=2),
        Column("model", least=14, drop=4),
        Column("engine", drop=3),
        Column("tokens\nin", "right"),
        Column("tokens\nout", "right"),
        Column("USD per M\nin, out", "right", drop=5),
        Column("cost\nUSD", "right"),
        Column("overhead\nUSD", "right", drop=2),
        Column("saved\nUSD", "right", drop=1),
    )
    rows = [
        (
            name,
            one.pipeline or NOBODY,
            one.model,
            one.kind,
            f"{one.usage.input_tokens:,}",
            f"{one.usage.output_tokens:,}",
            _price(one.input_price, one.output_price, one.basis),
            tables.money(one.charge.cost_usd, decimals),
            tables.money(one.charge.overhead_usd, nano),
            tables.money(one.charge.saved_usd, decimals),
        )
        for name, one in zip(names, entries, strict=True)
    ]
    footer = (
        "total",
        "",
        "",
        "",
        f"{usage.input_tokens:,}",
        f"{usage.output_tokens:,}",
        "",
        tables.money(charge.cost_usd, decimals),
        tables.money(charge.overhead_usd, nano),
        tables.money(charge.saved_usd, decimals),
    )
    return tables.table(columns, rows, width=width, footer=footer)
