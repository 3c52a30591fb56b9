"""`batchline results`: the answers of a document's records, and what they make together."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Final

import typer
import yaml
from rich.text import Text

from batchline import clock
from batchline.aws import answers
from batchline.aws.chunk import NO_VERSION
from batchline.cli import listing, tables
from batchline.cli.session import Problem, Session, session
from batchline.cli.views.documents import Document
from batchline.cli.views.results import Result, numbers
from batchline.models import Usage

SHOWN: Final = 20
INDENT: Final = 2
YAML_WIDTH: Final = 100_000  # the terminal wraps, not YAML


def results(
    context: typer.Context,
    document: Annotated[str, typer.Argument(help="An id, the start of one, an S3 key or a file name.")],
    *,
    combined: Annotated[
        bool, typer.Option("--combined", help="What the answers make together: the document's result.")
    ] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only records without an answer.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"At most so many records; 0 is all. Without it {SHOWN}, and all with --json.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Look for names among the last days.")] = 30,
) -> None:
    """Show the answer to each record of a document: tokens, cost, why the model stopped, the error."""
    run = session(context)
    found = listing.find(run.stack, clock.now(), document, days=days)
    if combined:
        _combined(run, found)
        return
    most = limit if limit is not None else (0 if run.as_json else SHOWN)
    read = (one for one in of(run, found) if one.failure or not failed)
    shown = list(islice(read, most or None))
    if run.as_json:
        run.write_json({"document_id": found.document_id, "results": [one.json() for one in shown]})
        return
    if not shown:
        run.note(_nothing(found, failed=failed))
    for one in shown:
        show(run, one)
    if most and len(shown) == most and next(read, None):
        run.note("There are more records: see all with --limit 0.")


def of(run: Session, document: Document) -> Iterator[Result]:
    """Yield the results of a document in the order of its records."""
    if document.version == NO_VERSION:
        return
    pipeline = run.stack.pipelines.get(document.pipeline, document.version)
    for row in run.stack.results.of(document.document_id):
        yield Result.of(row, answers.settled(run.stack.work, row, pipeline))


def _nothing(document: Document, *, failed: bool) -> str:
    if document.failure and not document.records:
        return f"No records: {document.failure.code}: {document.failure.message}"
    if failed:
        return f"No record has failed; {document.succeeded:,} of {document.records:,} have an answer."
    return f"No record is settled yet; the document is {document.status}."


def show(run: Session, one: Result) -> None:
    """Print a result: a line about it, then the answer or the error, indented."""
    head = Text(one.record, style="bold")
    used = "cached" if one.cached else _tokens(one.usage)
    head.append(
        f"  {used}, {tables.money(one.cost_usd, tables.places([one.cost_usd]))} USD  {one.stop or '-'}",
        style="dim",
    )
    if one.attempt > 1:
        head.append(f"  attempt {one.attempt}", style="dim")
    run.console.print(head)
    if one.failure:
        body = Text(tables.printable(f"{one.failure.code}: {one.failure.message}"), style="red")
    else:
        body = Text(tables.printable(readable(one.answer)))
    run.console.print(indented(run, body).append("\n"))


def indented(run: Session, text: Text, *, lines: int | None = None) -> Text:
    """Wrap a text a little away from the edge; `lines` bounds how many of it are shown."""
    wrapped = text.wrap(run.console, max(1, run.width - INDENT))[:lines]
    for line in wrapped:
        line.rstrip()
    return Text("\n").join(Text(" " * INDENT).append_text(line) for line in wrapped)


def _tokens(usage: Usage) -> str:
    return f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"


def readable(answer: Any) -> str:
    """Write an answer for people: text as it is, everything else as YAML."""
    if isinstance(answer, str):
        return answer.strip()
    text: str = yaml.safe_dump(numbers(answer), allow_unicode=True, sort_keys=False, width=YAML_WIDTH)
    return text.removesuffix("\n...\n").rstrip()


def result_of(run: Session, document: Document) -> Any:
    """Read the result of a document that has ended. Raises Problem where there is none."""
    if document.result_key is None:
        reason = f" ({document.failure.code}: {document.failure.message})" if document.failure else ""
        raise Problem(
            f"{document.name!r} has no result: it is {document.status}{reason}. Its records so far: "
            f"`batchline results {document.document_id}`."
        )
    return run.stack.work.get_json(document.result_key)


def _combined(run: Session, document: Document) -> None:
    stored = result_of(run, document)
    if run.as_json:
        run.write_json(stored)
        return
    if stored["result"] is None:
        run.note(f"No record has an answer: {document.failure.message if document.failure else ''}")
    else:
        text = Text(tables.printable(readable(stored["result"])))
        run.console.print(text, soft_wrap=not run.console.is_terminal)
    for record in stored["failed"]:
        run.note(f"{record['record']} is missing: {record['code']}: {record['message']}")
