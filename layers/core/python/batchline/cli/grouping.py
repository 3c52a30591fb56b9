"""Ledger entries added up by what somebody asks for: every entry is in one group, so groups add up."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from rich.console import RenderableType

from batchline.cli import tables
from batchline.cli.session import Problem
from batchline.cli.tables import Column
from batchline.cli.views.entries import Entry
from batchline.cli.views.parts import Reused, amounts
from batchline.models import Charge, Usage
from batchline.pipelines import did_you_mean, ended

NOBODY: Final = "(unattributed)"
NONE: Final = "(none)"
TAG: Final = "tag"
KEYS: Final[dict[str, Callable[[Entry], str]]] = {
    "day": lambda one: one.booked_at[:10],
    "month": lambda one: one.booked_at[:7],
    "pipeline": lambda one: NOBODY if one.unattributed else one.pipeline or NOBODY,
    "model": lambda one: one.model,
    "engine": lambda one: one.kind,
    "document": lambda one: one.document_id or NOBODY,
    "job": lambda one: one.job_id,
    TAG: lambda one: ", ".join(f"{key}={value}" for key, value in sorted(one.tags.items())) or NONE,
}
ESTIMATED: Final = ("estimate_usd", "estimate_error")
# What a month that was added up does not know any more.
FINE: Final = frozenset({"day", "document", "job"})


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a document was expected to cost, in USD, and which part more it did; None: nobody can tell."""

    usd: Decimal | None = None
    error: Decimal | None = None

    def row(self) -> dict[str, Any]:
        """Write it as plain values."""
        return dict(zip(ESTIMATED, (self.usd, self.error), strict=True))


@dataclass(frozen=True, slots=True)
class Group:
    """What entries with the same labels cost together."""

    labels: tuple[str, ...]
    jobs: int
    usage: Usage
    charge: Charge
    reused: Reused
    estimated: Estimated | None = None

    def row(self, by: Sequence[str]) -> dict[str, Any]:
        """Write it as plain values, by the names of its labels."""
        return dict(zip(by, self.labels, strict=True)) | {
            "jobs": self.jobs,
            **amounts(self.usage, self.charge),
            **self.reused.json(),
            **(self.estimated.row() if self.estimated else {}),
        }


def label(name: str) -> Callable[[Entry], str]:
    """Find what gives entries their label; `tag:team` is the value of the tag `team`. Raises Problem."""
    kind, colon, tag = name.partition(":")
    if kind == TAG and colon and tag:
        return lambda one: one.tags.get(tag, NONE)
    if name not in KEYS:
        known = [*KEYS, "tag:NAME"]
        raise Problem(ended(f"--by {name} is not known{did_you_mean(name, known)}"))
    return KEYS[name]


def total(entries: Iterable[Entry]) -> tuple[Usage, Charge]:
    """Add up what entries say."""
    listed = list(entries)
    return (
        sum((one.usage for one in listed), Usage()),
        sum((one.charge for one in listed), Charge()),
    )


def places(charges: Iterable[Charge]) -> tuple[int, int]:
    """Count the decimal places that show all amounts exactly: of what models cost, and of the overhead."""
    listed = list(charges)
    return (
        tables.places(amount for one in listed for amount in (one.cost_usd, one.saved_usd)),
        tables.places(one.overhead_usd for one in listed),
    )


def in_all(charge: Charge) -> str:
    """Say what was paid in all: to the model, and by estimate to the services around it."""
    decimals = tables.places([charge.cost_usd, charge.overhead_usd])
    cost, overhead, both = (
        tables.money(one, decimals) for one in (charge.cost_usd, charge.overhead_usd, charge.total_usd)
    )
    return f"Model {cost} + overhead {overhead} (estimate) = {both} USD."


def reused(entries: Iterable[Entry]) -> Reused:
    """Add up what came from the cache."""
    return sum((one.reused for one in entries), Reused())


def jobs_of(entries: Sequence[Entry]) -> int:
    """Count jobs, each once; those of a month that was added up once for each of their pipelines."""
    return len({one.job_id for one in entries if one.job_id}) + sum(
        one.jobs for one in entries if not one.job_id
    )


def groups(
    entries: Iterable[Entry], by: Sequence[str], estimates: Mapping[str, Estimated] | None = None
) -> list[Group]:
    """Add up entries by labels, in the order of the labels; `estimates` are by document. Raises Problem."""
    named = [label(one) for one in by]
    found: dict[tuple[str, ...], list[Entry]] = {}
    for one in entries:
        found.setdefault(tuple(of(one) for of in named), []).append(one)
    return [
        Group(
            labels,
            jobs_of(some),
            *total(some),
            reused(some),
            None if estimates is None else estimates.get(labels[0], Estimated()),
        )
        for labels, some in sorted(found.items())
    ]


def table(
    entries: Sequence[Entry],
    by: Sequence[str],
    *,
    width: int,
    estimates: Mapping[str, Estimated] | None = None,
) -> RenderableType:
    """Lay out groups with their sum, and documents beside their `estimates`."""
    found = groups(entries, by, estimates)
    usage, charge = total(entries)
    whole = Group(("total", *[""] * (len(by) - 1)), jobs_of(entries), usage, charge, reused(entries))
    decimals = tables.places(
        amount
        for one in (*found, whole)
        for amount in (
            one.charge.cost_usd,
            one.charge.saved_usd,
            one.estimated.usd if one.estimated else None,
        )
        if amount is not None
    )
    nano = tables.places(one.charge.overhead_usd for one in (*found, whole))
    columns = (
        *(Column(name, least=14 if name == "model" else 0) for name in by),
        Column("jobs", "right", drop=1),
        Column("tokens\nin", "right"),
        Column("tokens\nout", "right"),
        *([] if estimates is None else [Column("estimate\nUSD", "right", drop=4)]),
        Column("cost\nUSD", "right"),
        *([] if estimates is None else [Column("against\nestimate", "right", drop=3)]),
        Column("overhead\nUSD", "right", drop=3),
        Column("saved\nUSD", "right", drop=2),
    )
    rows = [_row(one, decimals, nano, estimated=estimates is not None) for one in (*found, whole)]
    return tables.table(columns, rows[:-1], width=width, footer=rows[-1])


def _row(one: Group, decimals: int, nano: int, *, estimated: bool) -> tuple[str, ...]:
    known = one.estimated or Estimated()
    return (
        *one.labels,
        f"{one.jobs:,}",
        f"{one.usage.input_tokens:,}",
        f"{one.usage.output_tokens:,}",
        *([tables.money(known.usd, decimals) if known.usd is not None else ""] if estimated else []),
        tables.money(one.charge.cost_usd, decimals),
        *([f"{known.error:+.1%}" if known.error is not None else ""] if estimated else []),
        tables.money(one.charge.overhead_usd, nano),
        tables.money(one.charge.saved_usd, decimals),
    )
