"""`batchline costs`: the ledger, and the proof that it adds up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Self

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from batchline import clock
from batchline.aws.stack import Stack
from batchline.cli import jobs, listing, tables
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.tables import Column
from batchline.cli.views import Entry, amounts
from batchline.models import Charge, Range, Usage

NOBODY: Final = "(unattributed)"
COLUMNS: Final = (
    Column("pipeline"),
    Column("model", least=14),
    Column("engine", drop=4),
    Column("jobs", "right", drop=2),
    Column("tokens\nin", "right"),
    Column("tokens\nout", "right"),
    Column("USD per M\nin, out", "right", drop=3),
    Column("cost\nUSD", "right"),
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


@dataclass(frozen=True, slots=True)
class Proof:
    """The two sides of the ledger: what was given to somebody or nobody, and what jobs charged."""

    given: Charge
    given_usage: Usage
    unattributed: Charge
    unattributed_usage: Usage
    charged: Charge
    charged_usage: Usage
    jobs: int
    verified: int

    @property
    def adds_up(self) -> bool:
        return (
            self.given + self.unattributed == self.charged
            and self.given_usage + self.unattributed_usage == self.charged_usage
        )

    def json(self) -> dict[str, Any]:
        return {
            "given_usd": self.given.cost_usd,
            "unattributed_usd": self.unattributed.cost_usd,
            "jobs_usd": self.charged.cost_usd,
            "jobs": self.jobs,
            "verified_jobs": self.verified,
            "adds_up": self.adds_up,
        }


def costs(
    context: typer.Context,
    *,
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only this day (UTC).", show_default=False),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="The last days (UTC).")] = 7,
    pipeline: Annotated[str | None, typer.Option(help="Only this pipeline.", show_default=False)] = None,
    document: Annotated[
        str | None,
        typer.Option(help="The entries of a document: id, start of one, key or name.", show_default=False),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(help="The entries of a job: what each document owns of it.", show_default=False),
    ] = None,
) -> None:
    """Show what was charged, by pipeline, model and price, and check that the ledger adds up.

    Exit code 1 if it does not. Work is booked on the day on which its job closes.
    """
    if document and job:
        raise typer.BadParameter("give --document or --job, not both")
    run = session(context)
    now = clock.now()
    if document:
        _of_document(run, now, document)
    elif job:
        _of_job(run, now, job, days=days)
    else:
        dates = [day.date()] if day else [date.fromisoformat(one) for one in listing.days_back(now, days)]
        _of_days(run, dates, pipeline)


def _of_days(run: Session, dates: Sequence[date], pipeline: str | None) -> None:
    entries = [Entry.of(row) for one in dates for row in run.stack.costs.of_day(one.isoformat())]
    shown = [one for one in entries if pipeline is None or one.pipeline == pipeline]
    # A job may serve several pipelines, so only all of them together are what it charged.
    proof = prove(run.stack, entries) if pipeline is None else None
    span = dates[0].isoformat() if len(dates) == 1 else f"{dates[-1]} to {dates[0]}"
    if run.as_json:
        run.write_json(
            {
                "from": dates[-1].isoformat(),
                "to": dates[0].isoformat(),
                "lines": [one.json() for one in lines(shown)],
                "entries": [one.json() for one in shown],
                "totals": amounts(*total(shown)),
                "proof": proof.json() if proof else None,
            }
        )
    elif not shown:
        run.note(f"Nothing was booked from {span} (UTC).")
    else:
        run.console.print(summary(shown, width=run.width))
        if proof:
            run.console.print(_said(proof, "pipelines", f"{span} (UTC)"))
    if proof and not proof.adds_up:
        fail()


def lines(entries: Iterable[Entry]) -> list[Line]:
    """Add up entries by pipeline, model, engine and price, dearest first."""
    groups: dict[Rate, list[Entry]] = {}
    for one in entries:
        groups.setdefault(Rate.of(one), []).append(one)
    found = [Line(rate, len({one.job_id for one in group}), *total(group)) for rate, group in groups.items()]
    return sorted(found, key=lambda one: (-one.charge.cost_usd, one.rate.pipeline or "", one.rate.model))


def total(entries: Iterable[Entry]) -> tuple[Usage, Charge]:
    """Add up what entries say."""
    listed = list(entries)
    return (
        sum((one.usage for one in listed), Usage()),
        sum((one.charge for one in listed), Charge()),
    )


def prove(stack: Stack, entries: Sequence[Entry]) -> Proof:
    """Compare what was given to somebody or nobody with the totals of the same jobs."""
    rows = list(stack.costs.totals({one.job_id for one in entries}))
    usage, charge = total(map(Entry.of, rows))
    given_usage, given = total(one for one in entries if not one.unattributed)
    nobody_usage, nobody = total(one for one in entries if one.unattributed)
    return Proof(
        given=given,
        given_usage=given_usage,
        unattributed=nobody,
        unattributed_usage=nobody_usage,
        charged=charge,
        charged_usage=usage,
        jobs=len(rows),
        verified=sum(1 for row in rows if row.get("verified")),
    )


def summary(entries: Sequence[Entry], *, width: int) -> RenderableType:
    """Lay out entries, added up by pipeline, model and price, with their sum."""
    usage, charge = total(entries)
    found = lines(entries)
    decimals = tables.places([one.charge.cost_usd for one in found] + [one.charge.saved_usd for one in found])
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
            tables.money(one.charge.saved_usd, decimals),
        )
        for one in found
    ]
    laid = tables.table(
        COLUMNS,
        rows,
        width=width,
        footer=(
            "total",
            "",
            "",
            f"{len({one.job_id for one in entries}):,}",
            f"{usage.input_tokens:,}",
            f"{usage.output_tokens:,}",
            "",
            tables.money(charge.cost_usd, decimals),
            tables.money(charge.saved_usd, decimals),
        ),
    )
    unpriced = sorted({one.model for one in entries if one.basis == "unknown"})
    if not unpriced:
        return laid
    note = Text(f"\nNo price is known for {', '.join(unpriced)}: booked at 0.", style="yellow")
    return Group(laid, note)


def _price(read: Decimal, written: Decimal, basis: str) -> str:
    """Write prices per million tokens; `~` marks half of the on-demand price, where no other is known."""
    if basis == "unknown":
        return "unknown"
    return f"{'~' if basis == 'half' else ''}{_digits(read)}, {_digits(written)}"


def _digits(price: Decimal) -> str:
    return tables.money(price, tables.places([price]))


def _said(proof: Proof, owners: str, of: str) -> Text:
    given, nobody, charged = proof.given.cost_usd, proof.unattributed.cost_usd, proof.charged.cost_usd
    decimals = tables.places([given, nobody, charged])
    line = Text(f"\n{of}: ", style="bold")
    line.append(
        f"{owners} {tables.money(given, decimals)} + unattributed {tables.money(nobody, decimals)} "
        f"{'=' if proof.adds_up else '≠'} jobs {tables.money(charged, decimals)} USD. ",
        style="not bold" if proof.adds_up else "red",
    )
    line.append(
        f"{proof.verified:,} of {proof.jobs:,} job{'s' if proof.jobs != 1 else ''} checked against the "
        "manifest.",
        style="not bold",
    )
    return line


# entries


def _of_document(run: Session, now: datetime, name: str) -> None:
    found = listing.find(run.stack, now, name, days=30)
    entries = [Entry.of(row, found.pipeline) for row in run.stack.costs.of_document(found.document_id)]
    usage, charge = total(entries)
    agrees = usage == found.usage and charge == found.charge
    if run.as_json:
        run.write_json(
            {
                "document_id": found.document_id,
                "entries": [one.json() for one in entries],
                "totals": amounts(usage, charge),
                "document": amounts(found.usage, found.charge),
                "adds_up": agrees,
            }
        )
    elif not entries:
        run.note(f"Nothing is booked for {found.name!r} yet; it is {found.status}.")
    else:
        run.console.print(_entries(entries, "job", [one.job_id for one in entries], width=run.width))
        decimals = tables.places([charge.cost_usd, found.charge.cost_usd])
        line = Text(f"\n{found.name}: ", style="bold").append(
            f"entries {tables.money(charge.cost_usd, decimals)} {'=' if agrees else '≠'} "
            f"document {tables.money(found.charge.cost_usd, decimals)} USD.",
            style="not bold" if agrees else "red",
        )
        run.console.print(line)
    if not agrees:
        fail()


def _of_job(run: Session, now: datetime, name: str, *, days: int) -> None:
    one = jobs.find(run.stack, now, name, days=days)
    owners = {
        Range.parse(text).document_id: shard.pipeline
        for shard in run.stack.work.get_plan(one.job_id)
        for text in shard.ranges
    }
    entries = [
        Entry.of(row, owners.get(row["scope"].partition("#")[2]))
        for row in run.stack.costs.shares(one.job_id, owners)
    ]
    if not entries:
        raise Problem(f"Nothing is booked for job {one.job_id} yet; it is {one.status}.")
    entries.sort(key=lambda entry: (-entry.charge.cost_usd, entry.scope))
    proof = prove(run.stack, entries)
    if run.as_json:
        run.write_json(
            {
                "job_id": one.job_id,
                "entries": [entry.json() for entry in entries],
                "totals": amounts(*total(entries)),
                "proof": proof.json(),
            }
        )
    else:
        names = [entry.document_id or NOBODY for entry in entries]
        run.console.print(_entries(entries, "document", names, width=run.width))
        run.console.print(_said(proof, "documents", f"job {one.job_id}"))
    if not proof.adds_up:
        fail()


def _entries(entries: Sequence[Entry], of: str, names: Sequence[str], *, width: int) -> RenderableType:
    usage, charge = total(entries)
    decimals = tables.places(
        [one.charge.cost_usd for one in entries] + [one.charge.saved_usd for one in entries]
    )
    columns = (
        Column(of),
        Column("pipeline", drop=2),
        Column("model", least=14, drop=4),
        Column("engine", drop=3),
        Column("tokens\nin", "right"),
        Column("tokens\nout", "right"),
        Column("USD per M\nin, out", "right", drop=5),
        Column("cost\nUSD", "right"),
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
        tables.money(charge.saved_usd, decimals),
    )
    return tables.table(columns, rows, width=width, footer=footer)
