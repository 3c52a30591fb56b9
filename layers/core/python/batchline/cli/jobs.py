"""`batchline jobs`: what was asked of Bedrock, by which engine, and what came back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from batchline import clock
from batchline.aws.stack import Stack
from batchline.cli import tables
from batchline.cli.session import Problem, session
from batchline.cli.status import fields
from batchline.cli.tables import Column
from batchline.cli.views.jobs import Job
from batchline.cli.views.parts import seconds_since
from batchline.ids import JOB_LENGTH
from batchline.models import Charge, JobStatus, Usage, timestamp

COLUMNS: Final = (
    Column("job"),
    Column("model", least=14),
    Column("engine"),
    Column("status"),
    Column("records", "right"),
    Column("failed,\nretried", "right", drop=1),
    Column("tokens\nin", "right", drop=4),
    Column("tokens\nout", "right", drop=4),
    Column("cost\nUSD", "right"),
    Column("saved\nUSD", "right", drop=2),
    Column("age", "right", drop=3),
)


def jobs(
    context: typer.Context,
    job: Annotated[
        str | None,
        typer.Argument(metavar="JOB", help="A job id or the start of one: its history.", show_default=False),
    ] = None,
    *,
    only: Annotated[
        list[JobStatus] | None,
        typer.Option(
            "--status",
            help="Only jobs in this status; may be given several times.",
            case_sensitive=False,
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Jobs opened in the last days.")] = 7,
    limit: Annotated[int, typer.Option(min=0, help="At most so many, the newest; 0 is all.")] = 50,
) -> None:
    """Show jobs, newest first, or the history of one."""
    run = session(context)
    now = clock.now()
    if job is not None:
        one = find(run.stack, now, job, days=days)
        if run.as_json:
            run.write_json(one.json_in_full())
        else:
            run.console.print(_details(one, now))
        return
    found = recent(run.stack, now - timedelta(days=days), limit=limit, statuses=only)
    if run.as_json:
        run.write_json({"jobs": [one.json() for one in found], "more": bool(limit) and len(found) == limit})
        return
    run.console.print(overview(found, now, width=run.width))
    if limit and len(found) == limit:
        run.note("There may be more jobs: see all with --limit 0.")


def recent(
    stack: Stack, since: datetime, *, limit: int = 0, statuses: Sequence[JobStatus] | None = None
) -> list[Job]:
    """Read the jobs opened since then, newest first, at most `limit` (0: all)."""
    at = timestamp(since)
    streams = [stack.jobs.created(status, at, newest_first=True) for status in statuses or JobStatus]
    ids = (job_id for _, job_id in merge(*streams, reverse=True))
    # A job that moved on between two queries may be in both.
    wanted = list(dict.fromkeys(islice(ids, limit or None)))
    return sorted(map(Job.of, stack.jobs.get_many(wanted)), key=lambda one: one.job_id, reverse=True)


def find(stack: Stack, now: datetime, name: str, *, days: int) -> Job:
    """Find a job by its id, or by its start among the last `days`. Raises Problem."""
    if len(name) == JOB_LENGTH and (row := stack.jobs.get(name)):
        return Job.of(row)
    found = [one for one in recent(stack, now - timedelta(days=days)) if one.job_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(one.job_id for one in found)
        raise Problem(f"{name!r} may be {len(found)} jobs: {listed}. Give more of the id.")
    raise Problem(
        f"There is no job {name!r} of the last {days} days: `batchline jobs` lists them, --days looks "
        "further back."
    )


def overview(found: Sequence[Job], now: datetime, *, width: int) -> RenderableType:
    """Lay out jobs and their sums."""
    if not found:
        return Text("No jobs.")
    decimals = tables.places([one.charge.cost_usd for one in found] + [one.charge.saved_usd for one in found])
    usage = sum((one.usage for one in found), Usage())
    charge = sum((one.charge for one in found), Charge())
    return tables.table(
        COLUMNS,
        [_cells(one, now, decimals) for one in found],
        width=width,
        footer=(
            "total",
            f"{len(found):,} job{'s' if len(found) != 1 else ''}",
            "",
            "",
            f"{sum(one.records for one in found):,}",
            "",
            f"{usage.input_tokens:,}",
            f"{usage.output_tokens:,}",
            tables.money(charge.cost_usd, decimals),
            tables.money(charge.saved_usd, decimals),
            "",
        ),
        under=[_reasons(one) for one in found],
    )


def _cells(one: Job, now: datetime, decimals: int) -> tuple[tables.Cell, ...]:
    return (
        one.job_id,
        one.model,
        one.kind,
        Text(one.status, style=style_of(one)),
        f"{one.records:,}",
        f"{one.counts.get('failed', 0):,}, {one.counts.get('retried', 0):,}" if one.counts else "",
        f"{one.usage.input_tokens:,}",
        f"{one.usage.output_tokens:,}",
        tables.money(one.charge.cost_usd, decimals),
        tables.money(one.charge.saved_usd, decimals),
        tables.age(seconds_since(one.created_at, now)),
    )


def _reasons(one: Job) -> Text:
    """Say why a job was opened and, if there is something to say, how it went."""
    said = Text(tables.printable(one.why), style="dim")
    if one.message:
        said.append(f"\n{tables.printable(one.message)}", style="not dim red")
    return said


def style_of(one: Job) -> str:
    """Colour a job: green is closed and well, red has something to say, cyan is in motion."""
    if one.message or one.status is JobStatus.REFUSED:
        return "red"
    return "green" if one.status is JobStatus.CLOSED else "cyan"


def _details(one: Job, now: datetime) -> RenderableType:
    decimals = tables.places([one.charge.cost_usd, one.charge.saved_usd])
    estimate = one.estimate
    facts: list[tuple[str, str, str]] = [
        ("job", one.job_id, "bold"),
        ("status", one.status, style_of(one)),
        ("engine", one.kind, ""),
        ("model", one.model, ""),
        ("records", f"{one.records:,}", ""),
        ("pipelines", ", ".join(sorted(one.pipelines)), ""),
        ("why", one.why, ""),
        ("opened", f"{one.created_at} ({tables.age(seconds_since(one.created_at, now))} ago)", ""),
        (
            "reserved",
            (
                f"{estimate['cost_usd']} USD for at most {estimate['input_tokens']:,} tokens in, "
                f"{estimate['output_tokens']:,} out"
            ),
            "",
        ),
    ]
    if one.arn:
        facts.append(("ARN", one.arn, ""))
    if one.counts:
        counts = ", ".join(f"{count:,} {name}" for name, count in one.counts.items())
        facts.append(("outcome", counts, ""))
    if one.codes:
        facts.append(("codes", ", ".join(f"{code} {n:,}" for code, n in sorted(one.codes.items())), "red"))
    if one.status is JobStatus.CLOSED:
        facts += [
            ("tokens", f"{one.usage.input_tokens:,} in, {one.usage.output_tokens:,} out", ""),
            (
                "cost",
                (
                    f"{tables.money(one.charge.cost_usd, decimals)} USD, "
                    f"{tables.money(one.charge.saved_usd, decimals)} USD saved"
                ),
                "",
            ),
        ]
    if one.reused.cached:
        facts.append(("cache", str(one.reused), ""))
    if one.message:
        facts.append(("message", one.message, "red"))
    history = Text("\nhistory", style="bold")
    for line in one.history:
        history.append(f"\n  {tables.printable(line)}", style="not bold")
    return Group(fields(facts), history)
