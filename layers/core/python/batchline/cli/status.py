"""`batchline status`: what became of documents."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from batchline import clock
from batchline.aws.dynamo import Row
from batchline.aws.stack import Stack
from batchline.cli import budgets, grouping, listing, tables
from batchline.cli.session import Session, fail, session
from batchline.cli.tables import Column
from batchline.cli.views.documents import Document, Totals
from batchline.cli.views.entries import Entry
from batchline.cli.views.jobs import Job
from batchline.cli.views.parts import seconds_since
from batchline.errors import Code
from batchline.models import DocumentStatus, JobStatus, Range

REFRESH_SECONDS: Final = 1.0
FRAME_LINES: Final = 8  # what stands around the rows of a table that is watched
SAYS: Final = 3
STYLES: Final = {
    DocumentStatus.COMPLETED: "green",
    DocumentStatus.PARTIAL: "yellow",
    DocumentStatus.FAILED: "red",
    DocumentStatus.CANCELLED: "red",
    DocumentStatus.HELD: "magenta",
}
COLUMNS: Final = (
    Column("document"),
    Column("name", least=20),
    Column("pipeline", drop=4),
    Column("status"),
    Column("records", "right"),
    Column("tokens\nin", "right", drop=3),
    Column("tokens\nout", "right", drop=2),
    Column("cost\nUSD", "right"),
    Column("saved\nUSD", "right", drop=1),
    Column("age or\nerror", drop=5),
)

DocumentName = Annotated[
    str | None,
    typer.Argument(
        metavar="DOCUMENT",
        help="An id, the start of one, an S3 key or a file name: everything about this document.",
        show_default=False,
    ),
]


def status(
    context: typer.Context,
    document: DocumentName = None,
    *,
    pipeline: Annotated[
        str | None, typer.Option(help="Only documents of this pipeline.", show_default=False)
    ] = None,
    only: Annotated[
        list[DocumentStatus] | None,
        typer.Option(
            "--status",
            help="Only documents in this status; may be given several times.",
            case_sensitive=False,
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Documents of the last days (UTC).")] = 7,
    limit: Annotated[int, typer.Option(min=0, help="At most so many, the newest; 0 is all.")] = 50,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            "-w",
            help="Stay until nothing listed is in motion. Exit code 1 if something that was in motion "
            "has not become COMPLETED.",
        ),
    ] = False,
) -> None:
    """Show documents, newest first, or everything about one.

    A document is in motion while it is CHUNKING, QUEUED or COMBINING; it rests while it is HELD.
    """
    run = session(context)
    wanted = frozenset(only or ())
    if document is not None:
        _one(run, document, days=days, watch=watch)
        return

    def read() -> listing.Listing:
        return listing.documents(
            run.stack,
            clock.now(),
            days=days,
            limit=limit,
            pipeline=pipeline,
            keep=lambda one: not wanted or one.status in wanted,
        )

    found = read()
    moved: set[str] = set()
    if watch:
        found, moved = _watch(run, read, found)
    if run.as_json:
        run.write_json(
            {
                "documents": [one.json() for one in found.documents],
                "totals": Totals.of(found.documents).json(),
                "more": found.more,
            }
        )
    else:
        run.console.print(overview(run, found.documents, clock.now()))
        if found.more:
            run.note("There are more documents: see all with --limit 0.")
    if not_completed(one for one in found.documents if one.document_id in moved):
        fail()


def _watch(
    run: Session, read: Callable[[], listing.Listing], found: listing.Listing
) -> tuple[listing.Listing, set[str]]:
    """Show the list until nothing in it moves; return the last one and the ids of what has moved."""
    moved: set[str] = set()
    with Live(console=run.notes, transient=True, auto_refresh=False) as live:
        while True:
            moving = {one.document_id for one in found.documents if one.moving}
            moved |= moving
            if not moving:
                return found, moved
            rows = max(1, run.notes.height - FRAME_LINES)
            live.update(overview(run, found.documents, clock.now(), rows=rows), refresh=True)
            run.pause(REFRESH_SECONDS)
            found = read()


def not_completed(documents: Iterable[Document]) -> list[Document]:
    return [one for one in documents if one.status != DocumentStatus.COMPLETED]


def overview(
    run: Session, documents: Sequence[Document], now: datetime, *, rows: int | None = None
) -> RenderableType:
    """Lay out documents, their sums and what is wrong with them.

    With `rows` only so many documents are shown, and not what is wrong, so that it fits a screen.
    """
    if not documents:
        return Text("No documents. `batchline upload FILE --pipeline NAME` sends some.")
    totals = Totals.of(documents)
    decimals = tables.places(
        [one.charge.cost_usd for one in documents] + [one.charge.saved_usd for one in documents]
    )
    shown = documents[:rows]
    laid = tables.table(
        COLUMNS,
        [_cells(run, one, now, decimals) for one in shown],
        width=run.width,
        footer=(
            "total",
            f"{len(documents):,} document{'s' if len(documents) != 1 else ''}",
            "",
            "",
            f"{totals.succeeded + totals.failed:,}/{totals.records:,}",
            f"{totals.usage.input_tokens:,}",
            f"{totals.usage.output_tokens:,}",
            tables.money(totals.charge.cost_usd, decimals),
            tables.money(totals.charge.saved_usd, decimals),
            "",
        ),
    )
    summary = _summary(documents, totals, decimals)
    if rows is None:
        return Group(laid, summary, *_problems(documents))
    left = len(documents) - len(shown)
    return Group(laid, summary, Text(f"… and {left:,} more" if left else "", style="dim"))


def _cells(run: Session, one: Document, now: datetime, decimals: int) -> tuple[tables.Cell, ...]:
    note = one.failure.code if one.failure else tables.age(seconds_since(one.received_at, now))
    style = style_of(one.status)
    return (
        run.short_id(one.document_id),
        one.name,
        one.pipeline,
        Text(one.status, style=style),
        f"{one.done:,}/{one.records:,}",
        f"{one.usage.input_tokens:,}",
        f"{one.usage.output_tokens:,}",
        tables.money(one.charge.cost_usd, decimals),
        tables.money(one.charge.saved_usd, decimals),
        Text(note, style=style if one.failure else ""),
    )


def style_of(status: DocumentStatus) -> str:
    return STYLES.get(status, "cyan")


def _summary(documents: Sequence[Document], totals: Totals, decimals: int) -> Text:
    counts = Counter(one.status for one in documents)
    line = Text("\n")
    for status in DocumentStatus:
        if counts[status]:
            line.append(f"{counts[status]:,} {status}", style=style_of(status)).append(" · ")
    line.append(
        f"{totals.usage.input_tokens:,} tokens in, {totals.usage.output_tokens:,} out · "
        f"{tables.money(totals.charge.cost_usd, decimals)} USD, "
        f"{tables.money(totals.charge.saved_usd, decimals)} saved. {grouping.in_all(totals.charge)}"
    )
    if totals.reused.cached:
        line.append(f" · {totals.reused}")
    return line


def _problems(documents: Sequence[Document]) -> list[Text]:
    """Say once what each kind of problem means, with the newest document that has it."""
    codes = Counter(one.failure.code for one in documents if one.failure)
    said = {one.failure.code: one for one in reversed(documents) if one.failure}
    lines = []
    for code, count in codes.most_common(SAYS):
        one = said[code]
        message = one.failure.message if one.failure else ""
        head = f"{code} × {count}" if count > 1 else code
        line = Text(f"\n{head}", style=style_of(one.status))
        lines.append(line.append(f"  {tables.printable(one.name)}: {tables.printable(message)}", style=""))
    return lines


# one document


def _one(run: Session, name: str, *, days: int, watch: bool) -> None:
    found = listing.find(run.stack, clock.now(), name, days=days)
    moved = found.moving
    if watch and moved:
        with Live(console=run.notes, transient=True, auto_refresh=False) as live:
            while found.moving:
                live.update(_details(run, found, clock.now()), refresh=True)
                run.pause(REFRESH_SECONDS)
                found = listing.find(run.stack, clock.now(), found.document_id, days=days)
    if run.as_json:
        entries = _entries(run.stack, found)
        jobs = _jobs(run.stack, found)
        hold = _hold(run.stack, found, clock.now())
        run.write_json(
            found.json()
            | {
                "budget": hold.json() if hold else None,
                "jobs": [one.json() for one in jobs],
                "costs": [one.json() for one in entries],
            }
        )
    else:
        run.console.print(_details(run, found, clock.now()))
    if watch and moved and found.status != DocumentStatus.COMPLETED:
        fail()


def _hold(stack: Stack, one: Document, now: datetime) -> budgets.Hold | None:
    """Read the budgets of a document that one of them holds."""
    if one.failure is None or one.failure.code != Code.BUDGET_EXCEEDED:
        return None
    row = stack.documents.get(one.document_id)
    return budgets.Hold.of(stack, row, now) if row else None


def _entries(stack: Stack, document: Document) -> list[Entry]:
    rows = stack.costs.of_document(document.document_id)
    return [Entry.of(row, document.pipeline) for row in rows]


def _jobs(stack: Stack, document: Document) -> list[Job]:
    """Read the jobs that have worked for a document, and those that do now, oldest first."""
    ids = set(document.jobs)
    if document.moving:
        ids |= set(_open_jobs(stack, document))
    return sorted(map(Job.of, stack.jobs.get_many(sorted(ids))), key=lambda one: one.job_id)


def _open_jobs(stack: Stack, document: Document) -> list[str]:
    """Find the jobs in motion that hold records of a document: their plans say so."""
    under_way = (
        job_id
        for status in JobStatus
        if status is not JobStatus.CLOSED
        for job_id in stack.jobs.with_status(status)
    )
    rows = stack.jobs.get_many(dict.fromkeys(under_way))
    return [
        row["job_id"]
        for row in rows
        if document.pipeline in row["pipelines"] and _holds(stack, row, document.document_id)
    ]


def _holds(stack: Stack, row: Row, document_id: str) -> bool:
    shards = stack.work.get_plan(row["job_id"])
    ranges = (Range.parse(text) for shard in shards for text in shard.ranges)
    return any(one.document_id == document_id for one in ranges)


def _details(run: Session, one: Document, now: datetime) -> RenderableType:
    decimals = tables.places([one.charge.cost_usd, one.charge.saved_usd, one.estimate_usd, one.at_most_usd])
    usd = tables.money(one.charge.cost_usd, decimals)
    saved = tables.money(one.charge.saved_usd, decimals)
    facts: list[tuple[str, str, str]] = [
        ("document", one.document_id, "bold"),
        ("name", one.name, ""),
        ("key", one.key, ""),
        ("size", f"{one.size:,} bytes", ""),
        ("pipeline", f"{one.pipeline}, version {one.version}", ""),
        ("status", one.status, style_of(one.status)),
        ("records", f"{one.succeeded:,} succeeded, {one.failed:,} failed, of {one.records:,}", ""),
        ("tokens", f"{one.usage.input_tokens:,} in, {one.usage.output_tokens:,} out", ""),
        ("cost", f"{usd} USD, {saved} USD saved", ""),
        ("overhead", grouping.in_all(one.charge), ""),
        *([("cache", str(one.reused), "")] if one.reused.cached else []),
        *([("estimate", _estimate(one, decimals), "")] if one.records else []),
        ("received", f"{one.received_at} ({tables.age(seconds_since(one.received_at, now))} ago)", ""),
    ]
    if one.finished_at:
        took = seconds_since(one.received_at, datetime.fromisoformat(one.finished_at))
        facts.append(("finished", f"{one.finished_at} (after {took:.1f} s)", ""))
    if one.result_key:
        facts.append(("result", run.stack.work.uri(one.result_key), ""))
    if one.failure:
        facts.append(("error", f"{one.failure.code}: {one.failure.message}", style_of(one.status)))
    if hold := _hold(run.stack, one, now):
        facts += ((name, said, "") for name, said in hold.facts())
    parts: list[RenderableType] = [fields(facts)]
    entries = {entry.job_id: entry for entry in _entries(run.stack, one)}
    jobs = _jobs(run.stack, one)
    if jobs:
        parts += [Text(""), _jobs_table(run, jobs, entries)]
    return Group(*parts)


def _estimate(one: Document, decimals: int) -> str:
    """Say what the first attempts were expected to cost, and at most; and how that was, when it is known."""
    expected, most = (tables.money(usd, decimals) for usd in (one.estimate_usd, one.at_most_usd))
    said = f"{expected} USD, at most {most}"
    if one.estimate_error is None:
        return said
    return f"{said}; it cost {deviation(one.estimate_error)}"


def deviation(error: Decimal) -> str:
    """Say how far a cost is from its estimate."""
    if not error:
        return "as estimated"
    return f"{abs(error):.1%} {'more' if error > 0 else 'less'}"


def fields(facts: Sequence[tuple[str, str, str]]) -> RenderableType:
    """Lay out names and values, each on lines of its own; long values wrap beside their name."""
    laid = tables.fields()
    for name, value, style in facts:
        laid.add_row(Text(name, style="bold"), Text(tables.printable(value), style=style))
    return laid


def _jobs_table(run: Session, jobs: Sequence[Job], entries: dict[str, Entry]) -> RenderableType:
    decimals = tables.places(entry.charge.cost_usd for entry in entries.values())
    rows = []
    for job in jobs:
        entry = entries.get(job.job_id)
        rows.append(
            (
                job.job_id,
                job.kind,
                job.status,
                job.model,
                f"{entry.succeeded + entry.failed:,}" if entry else "",
                f"{entry.usage.input_tokens:,}" if entry else "",
                f"{entry.usage.output_tokens:,}" if entry else "",
                tables.money(entry.charge.cost_usd, decimals) if entry else "",
            )
        )
    columns = (
        Column("job"),
        Column("engine"),
        Column("status"),
        Column("model", least=16, drop=3),
        Column("its\nrecords", "right", drop=1),
        Column("tokens\nin", "right", drop=2),
        Column("tokens\nout", "right", drop=2),
        Column("cost\nUSD", "right"),
    )
    return tables.table(columns, rows, width=run.width)
