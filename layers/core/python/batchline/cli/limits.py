"""`batchline limits` and `batchline limits refresh`: what Bedrock allows, and who says so."""

from typing import Any, Final

import typer

from batchline import catalog, clock
from batchline.aws import account
from batchline.catalog import Account, Limits
from batchline.cli import budgets, tables
from batchline.cli.session import session
from batchline.cli.tables import Column

DEFAULT: Final = "data file"
COLUMNS: Final = (
    Column("model", least=16),
    Column("jobs\nat once", "right"),
    Column("records\nper job", "right", drop=2),
    Column("GB\nper file", "right", drop=3),
    Column("GB\nper job", "right", drop=3),
    Column("requests\nper minute", "right", drop=1),
    Column("tokens\nper minute", "right"),
    Column("source"),
)
GIGABYTE: Final = 1_000_000_000

app = typer.Typer(invoke_without_command=True, help="Show Bedrock's limits, or read your account's own.")


@app.callback()
def listed(context: typer.Context) -> None:
    """List what Bedrock allows by model. The account's own quotas come before the data file's."""
    if context.invoked_subcommand:
        return
    run = session(context)
    known = account.load(run.stack.work)
    catalog.adopt(known)
    scoped = [name for name in known.models if name.startswith((catalog.CROSS_REGION, catalog.GLOBAL))]
    names = [*catalog.known_models(), *scoped]
    if run.as_json:
        limits = [_json(name, known) for name in names]
        run.write_json({"read_at": known.read_at or None, "profiles": dict(known.profiles), "limits": limits})
        return
    rows = [_row(name, known) for name in names]
    run.console.print(tables.table(COLUMNS, rows, width=run.width))
    if known is catalog.NO_ACCOUNT:
        run.note("\nThese are AWS's defaults. `batchline limits refresh` reads what your account has.")
    else:
        run.note(f"\nRead on {known.read_at[:10]}: {known.source}.")


@app.command()
def refresh(context: typer.Context) -> None:
    """Read the account's quotas and its own inference profiles from AWS, and keep what differs.

    The functions go by it from their next start on.
    """
    run = session(context)
    found = account.Source.connect().read(clock.now())
    account.save(run.stack.work, found)
    if run.as_json:
        run.write_json(found.model_dump(mode="json"))
        return
    run.console.print(
        f"Kept {len(found.models)} models whose quotas differ from the defaults, and {len(found.profiles)} "
        "application inference profiles. The functions go by them from their next start on."
    )


app.command(name="budgets")(budgets.listed)


def _limits(name: str) -> Limits:
    """Look up limits by a name that may have the scope of a profile."""
    base = name.removeprefix(catalog.CROSS_REGION)
    return catalog.limits(name if base == name else f"us.{base}")


def _source(name: str, known: Account) -> str:
    return "account" if name in known.models else DEFAULT


def _row(name: str, known: Account) -> tuple[str, ...]:
    limits = _limits(name)
    return (
        name,
        str(limits.concurrent_jobs),
        f"{limits.max_records:,}",
        f"{limits.max_file_bytes / GIGABYTE:g}",
        f"{limits.max_job_bytes / GIGABYTE:g}",
        _rate(limits.requests_per_minute),
        _rate(limits.tokens_per_minute),
        _source(name, known),
    )


def _rate(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _json(name: str, known: Account) -> dict[str, Any]:
    return {"model": name, "source": _source(name, known), **_limits(name).model_dump()}
