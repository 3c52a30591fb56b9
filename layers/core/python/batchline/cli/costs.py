"""`batchline costs`: the ledger, and the proof that it adds up."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Self

import typer
from rich.console import RenderableType
from rich.text import Text

from batchline import clock
from batchline.aws.stack import Stack
from batchline.cli import export, grouping, jobs, listing, rates, reckoning, tables
from batchline.cli.grouping import NOBODY, Estimated, total
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.views.documents import Document
from batchline.cli.views.entries import Entry
from batchline.cli.views.parts import amounts
from batchline.models import TOKENS, Range, Usage
from batchline.money import ledger

UNSURE: Final = {
    "unknown": "\nNo price is known for {models}: booked at 0.",
    "half": "\n~ No batch price is published for {models}: booked at half the price on demand.",
    "premium": "\n~ No priority price is published for {models}: booked at 1.75 times that on demand.",
}


# The finest rows of an export, in their order.
FINEST: Final = (
    *("booked_at", "job_id", "pipeline", "document_id", "model", "region", "engine", "tier", "tags"),
    *("succeeded", "failed", "retried", "further", "cached", *TOKENS),
    *("input_price", "output_price", "basis", "list_input_price", "list_output_price"),
    *("cost_usd", "saved_usd", "overhead_usd", "retried_usd", "cache_saved_usd"),
)
SUMS: Final = ("jobs", *TOKENS, "cost_usd", "saved_usd", "overhead_usd", "cached", "cache_saved_usd")


@dataclass(frozen=True, slots=True)
class Asked:
    """How the ledger is to be shown: added up by `by`, or by what is charged alike; and in which form."""

    by: tuple[str, ...] = ()
    as_csv: bool = False
    parquet: Path | None = None

    @property
    def by_document(self) -> bool:
        """Tell whether each row is a document, so that its estimate can stand beside its cost."""
        return self.by == ("document",)

    def write(
        self, run: Session, entries: Sequence[Entry], estimates: Mapping[str, Estimated] | None = None
    ) -> bool:
        """Export entries. Tells whether that is all that was asked for."""
        if self.by:
            names: Sequence[str] = (*self.by, *SUMS, *(grouping.ESTIMATED if self.by_document else ()))
            rows = [one.row(self.by) for one in grouping.groups(entries, self.by, estimates)]
        else:
            names, rows = FINEST, [_finest(one) for one in entries]
        if self.parquet:
            export.write_parquet(rows, names, self.parquet)
            run.note(f"Wrote {len(rows):,} rows to {self.parquet}.")
        if self.as_csv:
            export.write_csv(rows, names, sys.stdout)
        return self.as_csv or self.parquet is not None


def costs(
    context: typer.Context,
    *,
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only this day (UTC).", show_default=False),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="The last days (UTC).")] = 7,
    months: Annotated[
        int | None, typer.Option(min=1, help="The last months (UTC), this one included.", show_default=False)
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Add up by day, month, pipeline, model, engine, document, job, tag or tag:NAME; may be "
            "given several times.",
            show_default=False,
        ),
    ] = None,
    pipeline: Annotated[str | None, typer.Option(help="Only this pipeline.", show_default=False)] = None,
    document: Annotated[
        str | None,
        typer.Option(help="The entries of a document: id, start of one, key or name.", show_default=False),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(help="The entries of a job: what each document owns of it.", show_default=False),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV to standard output.")] = False,
    parquet: Annotated[
        Path | None, typer.Option(help="Write a Parquet file.", dir_okay=False, show_default=False)
    ] = None,
    reconcile: Annotated[
        bool,
        typer.Option(
            "--reconcile",
            help="Hold every job against its manifest, months that were added up against their days, and "
            "the days against Cost Explorer (which charges 0.01 USD for the answer).",
        ),
    ] = False,
) -> None:
    """Show what was charged, by pipeline, model and price, and check that the ledger adds up.

    Exit code 1 if it does not. Work is booked on the day on which its job closes.
    """
    if document and job:
        raise typer.BadParameter("give --document or --job, not both")
    if reconcile and (document or job or pipeline or by or as_csv or parquet):
        raise typer.BadParameter("--reconcile takes whole days: give --day, --days or --months")
    if as_csv and session(context).as_json:
        raise typer.BadParameter("give --csv or --json, not both")
    run = session(context)
    now = clock.now()
    asked = Asked(tuple(by or ()), as_csv, parquet)
    for one in asked.by:
        grouping.label(one)  # before anything is read
    if document:
        _of_document(run, now, document, asked)
    elif job:
        _of_job(run, now, job, asked, days=days)
    else:
        span = Span.of(now, day.date() if day else None, days, months)
        if reconcile:
            _reconcile(run, span)
        else:
            _of_days(run, span, pipeline, asked)


@dataclass(frozen=True, slots=True)
class Span:
    """Days, the newest first; and the months that they are, where whole months were asked for."""

    dates: tuple[date, ...]
    months: tuple[str, ...] = ()

    @classmethod
    def of(cls, now: datetime, day: date | None, days: int, months: int | None) -> Self:
        if months is None:
            listed = [day] if day else map(date.fromisoformat, listing.days_back(now, days))
            return cls(tuple(listed))
        first = now.year * 12 + now.month - months
        named = [f"{one // 12:04}-{one % 12 + 1:02}" for one in range(first, first + months)]
        until = now.date().isoformat()
        found = [one for month in named for one in ledger.days_of(month) if one <= until]
        return cls(tuple(map(date.fromisoformat, reversed(found))), tuple(named))

    def __str__(self) -> str:
        first, last = self.dates[-1].isoformat(), self.dates[0].isoformat()
        return first if first == last else f"{first} to {last}"

    def entries(self, stack: Stack, by: Sequence[str]) -> list[Entry]:
        """Read what was booked; months that are over as they were added up, unless by something finer."""
        if self.months and not grouping.FINE & set(by):
            return [Entry.of(row) for month in self.months for row in stack.costs.of_month(month)]
        return [Entry.of(row) for one in self.dates for row in stack.costs.of_day(one.isoformat())]


def _of_days(run: Session, span: Span, pipeline: str | None, asked: Asked) -> None:
    entries = span.entries(run.stack, asked.by)
    if "document" in asked.by:
        entries = list(_by_document(run.stack, entries))
    shown = [one for one in entries if pipeline is None or one.pipeline == pipeline]
    # A job may serve several pipelines, so only all of them together are what it charged; and of months
    # that were added up nobody knows the jobs.
    whole = pipeline is None and all(one.job_id for one in entries)
    proof = reckoning.prove(run.stack, entries) if whole else None
    estimates = _estimates(run.stack, shown) if asked.by_document else None
    if not asked.write(run, shown, estimates):
        _show(run, span, shown, asked.by, proof, estimates)
    if proof and not proof.adds_up:
        fail()


def _show(
    run: Session,
    span: Span,
    shown: Sequence[Entry],
    by: Sequence[str],
    proof: reckoning.Proof | None,
    estimates: Mapping[str, Estimated] | None,
) -> None:
    if run.as_json:
        found = (
            [one.row(by) for one in grouping.groups(shown, by, estimates)]
            if by
            else [one.json() for one in rates.lines(shown)]
        )
        run.write_json(
            {
                "from": span.dates[-1].isoformat(),
                "to": span.dates[0].isoformat(),
                "lines": found,
                "entries": [one.json() for one in shown],
                "totals": amounts(*total(shown)) | grouping.reused(shown).json(),
                "proof": proof.json() if proof else None,
            }
        )
    elif not shown:
        run.note(f"Nothing was booked from {span} (UTC).")
    else:
        laid = (
            grouping.table(shown, by, width=run.width, estimates=estimates)
            if by
            else rates.summary(shown, width=run.width)
        )
        run.console.print(laid)
        run.console.print(Text(f"\n{grouping.in_all(total(shown)[1])}"))
        if reused := str(grouping.reused(shown)):
            run.console.print(f"\n{reused}.")
        _warn(run, shown)
        if proof:
            run.console.print(
                reckoning.said(proof, "documents" if "document" in by else "pipelines", f"{span} (UTC)")
            )


def _estimates(stack: Stack, entries: Iterable[Entry]) -> dict[str, Estimated]:
    """Read what documents were expected to cost; how wrong that was, of those whose whole cost is shown."""
    shown: dict[str, Decimal] = {}
    for one in entries:
        if one.document_id:
            shown[one.document_id] = shown.get(one.document_id, Decimal(0)) + one.charge.cost_usd
    documents = map(Document.of, stack.documents.get_many(shown))
    return {
        one.document_id: Estimated(
            one.estimate_usd, one.estimate_error if shown[one.document_id] == one.charge.cost_usd else None
        )
        for one in documents
    }


def _by_document(stack: Stack, entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield what the jobs of some entries charged for each document."""
    for job_id in dict.fromkeys(one.job_id for one in entries):
        yield from _shares(stack, job_id)


def _shares(stack: Stack, job_id: str) -> list[Entry]:
    owners = {
        Range.parse(text).document_id: shard.pipeline
        for shard in stack.work.get_plan(job_id)
        for text in shard.ranges
    }
    return [
        Entry.of(row, owners.get(row["scope"].partition("#")[2]))
        for row in stack.costs.shares(job_id, owners)
    ]


def _reconcile(run: Session, span: Span) -> None:
    entries = [Entry.of(row) for one in span.dates for row in run.stack.costs.of_day(one.isoformat())]
    proof = reckoning.prove(run.stack, entries)
    found = reckoning.reckon(entries, run.stack.costs.totals({one.job_id for one in entries}))
    months = {one: run.stack.costs.month(one) for one in span.months}
    theirs = reckoning.charged(span.dates)
    ours = {one.labels[0]: one.charge.cost_usd for one in grouping.groups(entries, ["day"])}
    if run.as_json:
        aws = {"cost_usd": theirs.by_day, "why_not": theirs.why_not or None}
        run.write_json(
            {
                "jobs": [one.json() for one in found],
                "proof": proof.json(),
                "months": {name: reckoning.month_json(one) for name, one in months.items()},
                "days": ours,
                "aws": aws,
            }
        )
    elif not entries:
        run.note(f"Nothing was booked from {span} (UTC).")
    else:
        run.console.print(reckoning.table(found, width=run.width))
        run.console.print(reckoning.said(proof, "pipelines", f"{span} (UTC)"))
        if months:
            run.console.print(reckoning.months(months))
        run.console.print(reckoning.beside(ours, theirs, width=run.width))
    wrong = any(one and one.differs for one in months.values())
    if wrong or not proof.adds_up or any(one.difference != Usage() for one in found):
        fail()


def _finest(one: Entry) -> dict[str, Any]:
    plain = one.json() | {
        "input_price": one.input_price,
        "output_price": one.output_price,
        "basis": one.basis,
        **dict(zip(("list_input_price", "list_output_price"), one.list_prices or (None, None), strict=True)),
    }
    return plain | {"tags": ", ".join(f"{key}={value}" for key, value in sorted(one.tags.items()))}


def _warn(run: Session, entries: Iterable[Entry]) -> None:
    """Say on standard error which prices nobody knows or are guesses, and what was spent for nothing."""
    listed = list(entries)
    for basis, said in UNSURE.items():
        if models := sorted({one.model for one in listed if one.basis == basis}):
            run.note(said.format(models=", ".join(models)))
    if spent := sum((one.retried_usd for one in listed), Decimal(0)):
        records = sum(one.retried for one in listed)
        run.note(
            f"\n{tables.money(spent, tables.places([spent]))} USD of it went to answers that were no good: "
            f"{records:,} record{'s were' if records != 1 else ' was'} asked again."
        )


# entries


def _of_document(run: Session, now: datetime, name: str, asked: Asked) -> None:
    found = listing.find(run.stack, now, name, days=30)
    entries = [Entry.of(row, found.pipeline) for row in run.stack.costs.of_document(found.document_id)]
    usage, charge = total(entries)
    agrees = usage == found.usage and charge == found.charge
    if asked.write(run, entries):
        pass
    elif run.as_json:
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
        run.console.print(_laid(entries, asked.by, "job", [one.job_id for one in entries], width=run.width))
        _warn(run, entries)
        decimals = tables.places([charge.cost_usd, found.charge.cost_usd])
        line = Text(f"\n{found.name}: ", style="bold").append(
            f"entries {tables.money(charge.cost_usd, decimals)} {'=' if agrees else '≠'} "
            f"document {tables.money(found.charge.cost_usd, decimals)} USD.",
            style="not bold" if agrees else "red",
        )
        run.console.print(line)
    if not agrees:
        fail()


def _of_job(run: Session, now: datetime, name: str, asked: Asked, *, days: int) -> None:
    one = jobs.find(run.stack, now, name, days=days)
    entries = _shares(run.stack, one.job_id)
    if not entries:
        raise Problem(f"Nothing is booked for job {one.job_id} yet; it is {one.status}.")
    entries.sort(key=lambda entry: (-entry.charge.cost_usd, entry.scope))
    proof = reckoning.prove(run.stack, entries)
    if asked.write(run, entries):
        pass
    elif run.as_json:
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
        run.console.print(_laid(entries, asked.by, "document", names, width=run.width))
        _warn(run, entries)
        run.console.print(reckoning.said(proof, "documents", f"job {one.job_id}"))
    if not proof.adds_up:
        fail()


def _laid(
    entries: Sequence[Entry], by: Sequence[str], of: str, names: Sequence[str], *, width: int
) -> RenderableType:
    if by:
        return grouping.table(entries, by, width=width)
    return rates.table(entries, of, names, width=width)
