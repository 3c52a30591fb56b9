"""`batchline recommend`: which model is good enough for a pipeline, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.text import Text

from batchline import catalog, intake, recommend, records
from batchline.aws import clients
from batchline.aws.runtime import Runtime
from batchline.aws.trial import Trial
from batchline.cli import sources, tables
from batchline.cli.estimate import refusals, with_model
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.sources import Chosen
from batchline.cli.tables import Column
from batchline.errors import Refused
from batchline.intake import Document
from batchline.models import Engine
from batchline.money import estimate, prices
from batchline.money.estimate import Refusal
from batchline.money.expected import answers
from batchline.recommend import Asked, Sample, Standing
from batchline.records import Record

DECIMALS: Final = 6
SENSIBLE_QUALITY: Final = 0.9
COLUMNS: Final = (
    Column("model", least=16),
    Column("answered", "right", drop=3),
    Column("valid", "right"),
    Column("agrees with\nreference", "right"),
    Column("known\nanswers", "right"),
    Column("median\ns", "right", drop=1),
    Column("slowest\ns", "right", drop=2),
    Column("USD per\ndocument", "right"),
)

type Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """What one model is to be asked, and what that may cost in USD."""

    model: str
    bodies: tuple[Body, ...]
    expected: Decimal
    most: Decimal


@dataclass(slots=True)
class Read:
    """The sample that was drawn, what would be refused, and models that cannot run the pipeline."""

    sample: Sample
    refused: list[Refusal] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)


def command(
    context: typer.Context,
    places: sources.Places,
    *,
    pipeline: sources.PipelineName,
    models: Annotated[str, typer.Option(metavar="MODEL,MODEL,…", help="The models to try.")],
    size: Annotated[int, typer.Option("--sample", min=1, max=1000, help="So many records.")] = 20,
    reference: Annotated[
        str | None,
        typer.Option(help="The strongest model; without it the last of the list.", show_default=False),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="Answers that are known to be right: JSON lines of document, record (from 0), answer.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    quality: Annotated[
        float, typer.Option(min=0, max=1, help="What the model is to reach.")
    ] = SENSIBLE_QUALITY,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Spend without asking.")] = False,
) -> None:
    """Ask several models a sample of real records, on demand, and name the cheapest that is good enough.

    Costs what it says before it begins. No row is written. Exit code 1 if no model reaches the quality.
    """
    run = session(context)
    chosen = sources.choose(run, pipeline)
    if catalog.model(chosen.pipeline.model).embeds:
        raise Problem("The pipeline asks for vectors, and those of different models cannot be compared.")
    named = list(dict.fromkeys(filter(None, [*models.split(","), reference])))
    if not named:
        raise Problem("Name the models to try: --models MODEL,MODEL.")
    strongest = reference or named[-1]
    found = read(chosen, places, size, answers)
    asked = found.sample.taken
    if not asked:
        if found.refused:
            run.notes.print(refusals(found.refused))
        raise Problem("The files make no records, so there is nothing to ask.")
    works = prepare(run, chosen, named, asked, found)
    if strongest in found.impossible:
        raise Problem(f"{strongest} cannot be the reference: {found.impossible[strongest]}")
    confirm(run, works, len(asked), yes=yes)
    standings = measure(chosen, works, strongest, found.sample)
    best = recommend.choose(standings, quality)
    show(run, found, standings, strongest, best, quality)
    if best is None:
        fail()


def read(chosen: Chosen, places: Sequence[str], size: int, answers: Path | None) -> Read:
    """Draw the sample from all records that the files make."""
    known: recommend.Known = {}
    if answers:
        with answers.open("rb") as lines:
            known = recommend.read_answers(lines, str(answers))
    found = Read(Sample(size, known))
    for file in sources.files(places, chosen.name):
        try:
            for document in intake.documents(file, chosen.name, chosen.pipeline):
                _draw(found, document)
        except Refused as refusal:
            found.refused.append(Refusal(file.name, refusal.code, refusal.message))
    return found


def _draw(found: Read, document: Document) -> None:
    try:
        found.sample.add(document.name, document.parts)
    except Refused as refusal:
        found.refused.append(Refusal(document.name, refusal.code, refusal.message))


def prepare(
    run: Session, chosen: Chosen, named: Sequence[str], asked: Sequence[Asked], found: Read
) -> list[Work]:
    """Write the sample in the words of each model, and price it."""
    works = []
    earlier = sources.earlier(run, chosen)
    length = answers(chosen.pipeline, earlier)
    for model in named:
        try:
            with_model(chosen, model)
        except Refused as refusal:
            found.impossible[model] = refusal.message
            continue
        bodies = tuple(
            records.for_model(orjson.loads(one.record.model_input), chosen.pipeline, model) for one in asked
        )
        read = [estimate.counted(Record(n, orjson.dumps(body), 0), model) for n, body in enumerate(bodies)]
        price, above = prices.price(model, Engine.ON_DEMAND), prices.long_above(model)
        expected, most = (
            price.cost(one.usage(len(bodies), sum(read), read, above=above))
            for one in (length, length.longest)
        )
        works.append(Work(model, bodies, expected, most))
    return works


def confirm(run: Session, works: Sequence[Work], count: int, *, yes: bool) -> None:
    """Say what the trial costs and ask whether to go on. Raises Problem where the answer is no."""
    expected = tables.money(sum((one.expected for one in works), Decimal(0)), DECIMALS)
    most = tables.money(sum((one.most for one in works), Decimal(0)), DECIMALS)
    run.note(f"{count:,} records for each of {len(works):,} models: about {expected} USD, at most {most}.")
    unpriced = [one.model for one in works if prices.price(one.model, Engine.ON_DEMAND).basis == "unknown"]
    if unpriced:
        run.note(f"No price is known for {', '.join(unpriced)}: what they cost comes on top.")
    if not yes and not typer.confirm("Go on?", err=True):
        raise Problem("Nothing was asked.")


def measure(chosen: Chosen, works: Sequence[Work], strongest: str, sample: Sample) -> list[Standing]:
    """Ask all models and sum up how they did."""
    trial = Trial(Runtime(clients.bedrock_runtime()), chosen.pipeline)
    replies = {one.model: trial.ask(one.model, one.bodies) for one in works}
    each = Decimal(sample.records) / sample.documents
    return [
        recommend.stand(model, sample.taken, said, replies[strongest], records_per_document=each)
        for model, said in replies.items()
    ]


def show(
    run: Session,
    found: Read,
    standings: Sequence[Standing],
    strongest: str,
    best: Standing | None,
    quality: float,
) -> None:
    """Print the table and the model to take."""
    if run.as_json:
        run.write_json(
            {
                "sample": len(found.sample.taken),
                "records": found.sample.records,
                "documents": found.sample.documents,
                "reference": strongest,
                "quality": quality,
                "models": [_json(one) for one in standings],
                "not_possible": found.impossible,
                "recommended": best.model if best else None,
            }
        )
    else:
        rows = [_row(one, strongest) for one in standings]
        run.console.print(tables.table(COLUMNS, rows, width=run.width))
        run.console.print(Text(f"\n{verdict(standings, best, quality)}", style="bold"))
    for one in standings:
        if one.failures:
            counts = ", ".join(f"{count} {code}" for code, count in sorted(one.failures.items()))
            run.note(f"{one.model}: {counts}. The first: {tables.printable(one.message)}")
    for model, message in found.impossible.items():
        run.note(f"{model} cannot run this pipeline: {message}")
    if found.refused:
        run.notes.print(refusals(found.refused))


def verdict(standings: Sequence[Standing], best: Standing | None, quality: float) -> str:
    """Say which model to take."""
    if best is None:
        return f"No model reaches a quality of {quality:g} at a known price."
    by = "known answers" if best.correctness is not None else "agreement with the reference"
    spent = tables.money(sum((one.paid for one in standings), Decimal(0)), DECIMALS)
    return f"{best.model} is the cheapest that reaches {quality:g} by {by}. The trial cost {spent} USD."


def _row(one: Standing, strongest: str) -> tuple[str, ...]:
    return (
        one.model,
        f"{one.answered:,}/{one.asked:,}",
        f"{one.valid:.0%}",
        "reference" if one.model == strongest else _share(one.agreement),
        _share(one.correctness),
        "–" if one.median_seconds is None else f"{one.median_seconds:.1f}",
        "–" if one.slowest_seconds is None else f"{one.slowest_seconds:.1f}",
        _usd(one),
    )


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"


def _usd(one: Standing) -> str:
    if one.basis == "unknown":
        return "unknown"
    amount = one.cost_per_document
    return (
        "–"
        if amount is None
        else ("~" if one.basis in prices.GUESSED else "") + tables.money(amount, DECIMALS)
    )


def _json(one: Standing) -> dict[str, Any]:
    return {
        "model": one.model,
        "asked": one.asked,
        "answered": one.answered,
        "valid": one.valid,
        "agreement": one.agreement,
        "correctness": one.correctness,
        "median_seconds": one.median_seconds,
        "slowest_seconds": one.slowest_seconds,
        "usd_per_document": one.cost_per_document,
        "price_basis": one.basis,
        "paid_usd": one.paid,
        "failures": dict(one.failures),
        "message": one.message,
    }
