"""`batchline costs --reconcile`: the ledger beside what Bedrock counted, and beside what AWS charged."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from batchline.aws.account import NotAllowed
from batchline.aws.cost_explorer import CostExplorer, NoAnswer
from batchline.aws.dynamo import Row
from batchline.aws.stack import Stack
from batchline.cli import tables
from batchline.cli.grouping import total
from batchline.cli.tables import Column
from batchline.cli.views.entries import Entry
from batchline.models import Charge, Usage
from batchline.money.ledger import Month

COLUMNS: Final = (
    Column("job"),
    Column("model", least=14, drop=2),
    Column("engine", drop=1),
    Column("ledger\nin, out", "right"),
    Column("of it\nunattributed", "right", drop=3),
    Column("manifest\nin, out", "right"),
    Column("difference", "right"),
)
NO_MANIFEST: Final = "none"


@dataclass(frozen=True, slots=True)
class Reckoned:
    """One job: what the day's entries say it used, and its manifest. None: Bedrock wrote none."""

    job_id: str
    model: str
    engine: str
    ledger: Usage
    unattributed: Usage
    manifest: Usage | None

    @property
    def difference(self) -> Usage:
        return self.ledger.counted - self.manifest if self.manifest else Usage()

    def json(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "model": self.model,
            "engine": self.engine,
            "ledger": _json(self.ledger),
            "unattributed": _json(self.unattributed),
            "manifest": _json(self.manifest) if self.manifest else None,
            "difference": _json(self.difference),
        }


def _json(usage: Usage) -> dict[str, int]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


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


def said(proof: Proof, owners: str, of: str) -> Text:
    """Say in a sentence whether both sides are equal."""
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


def reckon(entries: Iterable[Entry], totals: Iterable[Row]) -> list[Reckoned]:
    """Hold each job's entries of its day against its manifest, to the token."""
    by_job: dict[str, list[Entry]] = defaultdict(list)
    for one in entries:
        by_job[one.job_id].append(one)
    manifests = {row["job_id"]: row for row in totals}
    return [_reckoned(job_id, some, manifests.get(job_id, {})) for job_id, some in sorted(by_job.items())]


def _reckoned(job_id: str, entries: Sequence[Entry], row: Row) -> Reckoned:
    nobody = [one.usage for one in entries if one.unattributed]
    manifest = None
    if row.get("verified"):
        manifest = Usage(int(row["manifest_input_tokens"]), int(row["manifest_output_tokens"]))
    return Reckoned(
        job_id=job_id,
        model=entries[0].model,
        engine=entries[0].kind,
        ledger=sum((one.usage for one in entries), Usage()),
        unattributed=sum(nobody, Usage()),
        manifest=manifest,
    )


def table(found: Sequence[Reckoned], *, width: int) -> RenderableType:
    """Lay out the jobs, and say below whether they agree."""
    rows = [
        (
            one.job_id,
            one.model,
            one.engine,
            _pair(one.ledger),
            _pair(one.unattributed) if one.unattributed != Usage() else "–",
            _pair(one.manifest) if one.manifest else NO_MANIFEST,
            _pair(one.difference) if one.difference != Usage() else "0" if one.manifest else "–",
        )
        for one in found
    ]
    verified = [one for one in found if one.manifest]
    wrong = [one for one in verified if one.difference != Usage()]
    said = (
        f"{len(wrong)} of {len(verified)} jobs differ from their manifest."
        if wrong
        else f"{len(verified)} of {len(found)} jobs equal their manifest to the token."
    )
    rest = len(found) - len(verified)
    more = f" {rest} have none and are booked by their answers." if rest else ""
    line = Text(f"\n{said}{more}", style="red" if wrong else "")
    return Group(tables.table(COLUMNS, rows, width=width), line)


def _pair(usage: Usage) -> str:
    return f"{usage.input_tokens:,}, {usage.output_tokens:,}"


def months(found: Mapping[str, Month | None]) -> RenderableType:
    """Say of each month whether its rows are the sum of its days; None: it is not added up yet."""
    text = Text()
    for name, one in found.items():
        if one is None:
            text.append(f"\n{name}: not added up yet; its days are.")
        elif not one.differs:
            text.append(f"\n{name}: the month equals its days ({_entries(one.entries)}).")
        else:
            more = ", ".join(f"{what} {amount:+f}" for what, amount in one.differs.items())
            late = f" Booked after that: {_entries(one.late)}." if one.late else ""
            text.append(
                f"\n{name}: added up at {one.at}, but its days ({_entries(one.entries)}) have other sums: "
                f"{more}.{late}",
                style="red",
            )
    return text


def _entries(count: int) -> str:
    return f"{count:,} entr{'ies' if count != 1 else 'y'}"


def month_json(one: Month | None) -> dict[str, Any] | None:
    """Write what was found of a month as plain values."""
    if one is None:
        return None
    return {
        "rolled_up_at": one.at,
        "entries": one.entries,
        "differs": dict(one.differs),
        "late_entries": one.late,
    }


@dataclass(frozen=True, slots=True)
class Charged:
    """What AWS says of the same days, in USD by day; or why it says nothing."""

    by_day: Mapping[str, Decimal]
    why_not: str = ""


def charged(days: Sequence[date]) -> Charged:
    """Ask Cost Explorer."""
    try:
        found = CostExplorer.connect().by_day(min(days), max(days) + timedelta(days=1))
    except (NotAllowed, NoAnswer) as error:
        return Charged({}, str(error))
    return Charged(found)


def beside(ours: Mapping[str, Decimal], theirs: Charged, *, width: int) -> RenderableType:
    """Lay out the ledger's days beside AWS's."""
    if theirs.why_not:
        return Text(f"\nNot compared with what AWS has charged. {theirs.why_not}")
    nothing = Decimal(0)
    days = sorted({*ours, *(day for day, amount in theirs.by_day.items() if amount)})
    pairs = [(ours.get(day, nothing), theirs.by_day.get(day, nothing)) for day in days]
    decimals = tables.places(one for pair in pairs for one in pair)
    rows = [
        (day, *(tables.money(one, decimals) for one in (*pair, pair[1] - pair[0])))
        for day, pair in zip(days, pairs, strict=True)
    ]
    columns = (
        Column("day"),
        *(Column(name, "right") for name in ("ledger\nUSD", "AWS\nUSD", "difference\nUSD")),
    )
    note = Text(
        "\nAWS counts the whole account, by the day of use and up to a day late; the ledger counts this "
        "stack, by the day on which a job closed."
    )
    return Group(Text(""), tables.table(columns, rows, width=width), note)
