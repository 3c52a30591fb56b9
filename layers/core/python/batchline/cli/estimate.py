"""`batchline estimate`: what files will cost, said before anything is spent."""

import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
import stamina
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from batchline import catalog, clock, pipelines, tokens
from batchline.aws import clients
from batchline.aws.runtime import CallError, Runtime
from batchline.cli import budgets, sources, tables
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.sources import Chosen
from batchline.cli.tables import Column
from batchline.errors import Refused
from batchline.models import Engine
from batchline.money import expected, overhead, prices
from batchline.money.estimate import Estimate, Meter, Quote, Refusal, Stage, Survey
from batchline.money.expected import Answers
from batchline.money.overhead import ARM64, Rates
from batchline.records import Record

WAYS: Final = (
    Column("USD"),
    Column("expected", "right"),
    Column("at most", "right"),
    Column("saved against\non demand", "right"),
)
COMPARED: Final = (
    Column("model", least=16),
    Column("records", "right", drop=4),
    Column("tokens\nin", "right", drop=3),
    Column("tokens\nout", "right", drop=3),
    Column("as planned\nUSD", "right"),
    Column("at most\nUSD", "right", drop=2),
    Column("batch\nUSD", "right"),
    Column("flex\nUSD", "right"),
    Column("on demand\nUSD", "right"),
    Column("priority\nUSD", "right", drop=1),
)
SENTENCES: Final = {
    "half": "~ is half of the on-demand price, where no other is known.",
    "premium": "~ is 1.75 times the on-demand price, where none of priority is known.",
    "unknown": "No price is known, so nothing can be said about the cost.",
}
SHOWN_DECIMALS: Final = 6


class Exact(StrEnum):
    """Which records Bedrock is asked to count."""

    SAMPLE = "sample"
    ALL = "all"


def command(
    context: typer.Context,
    places: sources.Places,
    *,
    pipeline: sources.PipelineName,
    compare: Annotated[
        str | None,
        typer.Option(metavar="MODEL,MODEL,…", help="The same work with other models.", show_default=False),
    ] = None,
    exact: Annotated[
        Exact | None,
        typer.Option(
            help="Have Bedrock count the tokens of a sample of the records, or of all.", show_default=False
        ),
    ] = None,
) -> None:
    """Say what files will cost: records, tokens, jobs and USD by way to ask. Nothing is sent or written.

    Further attempts are left out. Exit code 1 if some of the files would be refused.
    """
    run = session(context)
    chosen = sources.choose(run, pipeline)
    earlier = sources.earlier(run, chosen)
    if not compare:
        found = _estimate(chosen, places, exact, expected.answers(chosen.pipeline, earlier))
        _show(run, chosen, found)
        if found.refused:
            fail()
        return
    made: dict[str, Estimate | str] = {}
    for model in dict.fromkeys([chosen.pipeline.model, *filter(None, compare.split(","))]):
        try:
            other = with_model(chosen, model)
        except Refused as refusal:
            made[model] = refusal.message
            continue
        made[model] = _estimate(other, places, exact, expected.answers(other.pipeline, earlier))
    _show_all(run, chosen, made)


def with_model(chosen: Chosen, model: str) -> Chosen:
    """Make a pipeline ask another model. Raises Refused where that cannot do what the pipeline wants."""
    said = json.loads(chosen.pipeline.dump()) | {"model": model}
    try:
        pipeline = pipelines.parse(json.dumps(said, ensure_ascii=False).encode())
    except Refused as refusal:
        # There is no file to correct, and what it would say stands on one line.
        told = refusal.message.removeprefix("line 1: ")
        raise Refused(refusal.code, told.removesuffix(" Correct the file and upload it again.")) from refusal
    return Chosen(chosen.name, pipeline)


def _estimate(chosen: Chosen, places: Sequence[str], exact: Exact | None, length: Answers) -> Estimate:
    model = chosen.pipeline.model
    meter = Meter(bedrock_counter(model), every=exact is Exact.ALL) if exact else Meter.of(model)
    survey = Survey(chosen.name, chosen.pipeline, meter)
    for file in sources.files(places, chosen.name):
        survey.add(file)
    return survey.estimate(length)


def bedrock_counter(model: str) -> Callable[[Record], int]:
    """Make what has Bedrock count a record. It raises Problem where Bedrock does not."""
    runtime, kind = Runtime(clients.bedrock_runtime()), catalog.model(model).invocation_type

    @stamina.retry(on=lambda error: isinstance(error, CallError) and error.worth_repeating, attempts=6)
    def ask(body: dict[str, Any]) -> int:
        return runtime.count(model, kind, body)

    def count(one: Record) -> int:
        body = orjson.loads(one.model_input)
        # CountTokens knows no schema for an answer, which is read and charged all the same.
        schema = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {})
        try:
            return ask(body) + tokens.count_tokens(schema.get("schema", ""), model)
        except CallError as error:
            raise Problem(
                f"Bedrock does not count tokens for {model}: {error.message.rstrip('.')}. Leave --exact out."
            ) from error

    return count


# one model


def _show(run: Session, chosen: Chosen, found: Estimate) -> None:
    if run.as_json:
        run.write_json({"pipeline": chosen.name, **_json(found)})
        return
    quotes = (found.planned, *found.ways)
    parts: list[RenderableType] = [_facts(chosen, found), Text("")]
    rows = [(one.way, *(_usd(one, usd) for usd in (one.expected, one.most, one.saved))) for one in quotes]
    parts.append(tables.table(WAYS, rows, width=run.width))
    parts += [Text(f"\n{note}", style="yellow") for note in notes(chosen, found, _left(run, chosen))]
    if found.refused:
        parts.append(refusals(found.refused))
    run.console.print(Group(*parts))


def _facts(chosen: Chosen, found: Estimate) -> RenderableType:
    laid = tables.fields()
    stage = found.stages[0]
    facts = [
        ("pipeline", chosen.name),
        ("model", found.model),
        (
            "documents",
            f"{found.documents:,}" + (f", {len(found.refused):,} refused" if found.refused else ""),
        ),
        ("records", " + ".join(f"{one.records:,}{_to_combine(one)}" for one in found.stages)),
        ("tokens in", f"{found.expected.input_tokens:,}, {found.counted:,} records counted"),
        ("tokens out", f"{found.expected.output_tokens:,}, at most {found.most.output_tokens:,}"),
        ("", f"{stage.answers.expected:,.0f} of {stage.answers.most:,} for each: {stage.answers.basis}"),
    ]
    for name, value in facts:
        laid.add_row(Text(name, style="bold"), tables.printable(value))
    if found.documents:
        whole = _overhead(found)
        each = tables.money(whole / found.documents, SHOWN_DECIMALS)
        said = f"about {tables.money(whole, SHOWN_DECIMALS)} USD for AWS beside the model, {each} a document"
        laid.add_row(Text("overhead", style="bold"), said)
    for one in found.stages:
        for line in jobs(one):
            laid.add_row(Text("jobs" if len(found.stages) == 1 else f"jobs, {one.name}", style="bold"), line)
    return laid


def _overhead(found: Estimate) -> Decimal:
    """Price what the pipeline itself will take, on the processor that the template chooses."""
    rates = Rates(clients.meter().region, ARM64, clock.now().date().isoformat())
    return overhead.booked(rates.usd(found.overhead))


def _to_combine(stage: Stage) -> str:
    return " to combine them" if stage.name == "combine" else ""


def jobs(stage: Stage) -> list[str]:
    """Say which jobs the records become, and what happens to those that are too few for a batch."""
    batches = [one for one in stage.plan.jobs if one.engine is Engine.BATCH]
    others = [one for one in stage.plan.jobs if one.engine is not Engine.BATCH]
    said = []
    if batches:
        sizes = ", ".join(f"{one.records:,}" for one in batches[:5]) + (", …" if batches[5:] else "")
        said.append(f"{len(batches):,} in batch, of {sizes} records")
    if others:
        count = sum(one.records for one in others)
        said.append(f"{count:,} records asked one by one: {others[0].why}")
    if stage.waiting:
        least = catalog.limits(stage.model).min_records
        said.append(f"{stage.waiting:,} records HELD (TOO_FEW) until there are {least:,}: too_few is wait")
    return said or ["none"]


def _left(run: Session, chosen: Chosen) -> budgets.Left:
    """Read what is left of the budgets; of a pipeline file there is no stack to ask."""
    if chosen.version is None:
        return budgets.Left()
    return budgets.Left.of(run.stack, chosen.name, clock.now())


def notes(chosen: Chosen, found: Estimate, left: budgets.Left) -> list[str]:
    """Say what somebody should know before they believe the numbers."""
    bases = {one.basis for one in (*found.ways, found.planned)}
    said = [sentence for basis, sentence in SENTENCES.items() if basis in bases]
    return said + budgets.warnings(chosen.pipeline, found, left)


def refusals(found: Iterable[Refusal]) -> RenderableType:
    """List what would be refused, and why."""
    text = Text("\nWould be refused:", style="bold red")
    for one in found:
        kept = f" (after {one.records:,} records)" if one.records else ""
        said = tables.printable(f"{one.name}: {one.message}{kept}")
        text.append(f"\n{one.code}", style="red").append(f"  {said}", style="not bold default")
    return text


def _usd(one: Quote, amount: Decimal) -> str:
    """Write an amount of a quote to the millionth of a dollar; `~` marks what rests on a guessed price."""
    if one.basis == "unknown":
        return "unknown"
    return ("~" if one.basis in prices.GUESSED and amount else "") + tables.money(amount, SHOWN_DECIMALS)


# several models


def _show_all(run: Session, chosen: Chosen, made: dict[str, Estimate | str]) -> None:
    estimates = [one for one in made.values() if isinstance(one, Estimate)]
    errors = {model: one for model, one in made.items() if isinstance(one, str)}
    if run.as_json:
        listed = [_json(one) for one in estimates]
        run.write_json({"pipeline": chosen.name, "models": listed, "not_possible": errors})
    else:
        run.console.print(tables.table(COMPARED, [_row(one) for one in estimates], width=run.width))
        left = _left(run, chosen)
        for one in estimates:
            run.note(f"{one.model}: {'; '.join(line for stage in one.stages for line in jobs(stage))}.")
            for note in notes(chosen, one, left):
                run.note(f"{one.model}: {note}")
        if estimates and estimates[0].refused:
            run.console.print(refusals(estimates[0].refused))
    for model, message in errors.items():
        run.note(f"{model} cannot do this: {message}")
    if errors or any(one.refused for one in estimates):
        fail()


def _row(one: Estimate) -> tuple[str, ...]:
    ways = {quote.way: _usd(quote, quote.expected) for quote in one.ways}
    return (
        one.model,
        f"{one.records:,}",
        f"{one.expected.input_tokens:,}",
        f"{one.expected.output_tokens:,}",
        _usd(one.planned, one.planned.expected),
        _usd(one.planned, one.planned.most),
        *(ways.get(way, "–") for way in ("batch", "flex", "on demand", "priority")),
    )


# JSON


def _json(one: Estimate) -> dict[str, Any]:
    return {
        "model": one.model,
        "documents": one.documents,
        "records": one.records,
        "counted_records": one.counted,
        "input_tokens": one.expected.input_tokens,
        "output_tokens": one.expected.output_tokens,
        "most_output_tokens": one.most.output_tokens,
        "stages": [_stage(stage) for stage in one.stages],
        "planned": _quote(one.planned),
        "overhead_usd": _overhead(one),
        "ways": [_quote(quote) for quote in one.ways],
        "refused": [
            {"name": bad.name, "code": bad.code, "message": bad.message, "records": bad.records}
            for bad in one.refused
        ],
    }


def _stage(one: Stage) -> dict[str, Any]:
    return {
        "stage": one.name,
        "model": one.model,
        "records": one.records,
        "input_tokens": one.expected.input_tokens,
        "output_tokens": one.expected.output_tokens,
        "answer_tokens": {
            "expected": one.answers.expected,
            "most": one.answers.most,
            "basis": one.answers.basis,
        },
        "jobs": [
            {"engine": job.engine, "tier": job.tier, "records": job.records, "why": job.why}
            for job in one.plan.jobs
        ],
        "waiting_records": one.waiting,
    }


def _quote(one: Quote) -> dict[str, Any]:
    return {
        "way": one.way,
        "usd": one.expected,
        "most_usd": one.most,
        "saved_usd": one.saved,
        "basis": one.basis,
    }
