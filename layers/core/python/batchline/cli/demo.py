"""`batchline demo`: the samples, from the upload to the invoice."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from batchline import chunk, clock
from batchline.cli import audit, checkout, jobs, pipelines, rates, results, status, tables, tracking, upload
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.tracking import File, Tracked
from batchline.cli.views.documents import Document, Totals
from batchline.cli.views.entries import Entry
from batchline.models import DocumentStatus

SHOWN_LINES: Final = 10
FEW_RECORDS: Final = 7
AUDIT_PAUSE_SECONDS: Final = 2.0
SKEW: Final = timedelta(seconds=30)  # between this machine's clock and the cloud's


def demo(
    context: typer.Context,
    *,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Another folder with pipelines/ and inbox/ in it.",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Wait at most so many seconds.")] = 180,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="On AWS: spend the money without asking.")] = False,
) -> None:
    """Upload the samples, watch them being worked on, and show answers and the invoice.

    Exit code 1 if a document does not become COMPLETED in time. Done again, nothing is asked or paid
    again: the same files are the same documents.
    """
    run = session(context)
    folder = samples or checkout.samples()
    files = list(_inbox(folder))
    _ask(run, len(files), yes=yes)
    began = time.monotonic()
    for file in sorted((folder / "pipelines").glob("*.yaml")):
        _publish(run, file, seconds=timeout)
    run.note(f"Uploading {len(files)} documents to {run.stack.inbox_bucket} …")
    sent = tracking.send(run.stack, files)
    since = clock.now() - SKEW

    def beside() -> RenderableType:
        return jobs.overview(jobs.recent(run.stack, since), clock.now(), width=run.notes.width)

    left = max(1.0, timeout - (time.monotonic() - began))
    found = tracking.follow(run, sent, seconds=left, beside=beside)
    _tell(run, found, time.monotonic() - began)
    documents = [one.document for one in found if one.document]
    if run.as_json:
        run.write_json(_json(found, documents))
    else:
        _show(run, documents)
    if not all(one.settled for one in found):
        run.note(
            f"\nNot all documents ended within {timeout:g} s: {tracking.unfinished(found)}. They go on by "
            "themselves: watch them with `batchline status --watch`, or allow more with --timeout."
        )
        fail()
    if status.not_completed(documents) or not _adds_up(run):
        fail()


def _adds_up(run: Session) -> bool:
    """Audit what is stored, which is free on a local cloud, and say what was found."""
    if run.stack.on_aws:
        return True
    found = run.stack.auditor().run(lambda: run.pause(AUDIT_PAUSE_SECONDS))
    if not run.as_json:
        run.console.print()
        audit.show(run, found)
    return not found


def _inbox(folder: Path) -> list[File]:
    """Say which file of the samples goes to which key: the folder is laid out as the inbox is."""
    inbox = folder / chunk.INBOX
    if not inbox.is_dir():
        raise Problem(f"{folder} has no folder {chunk.INBOX}: it is not laid out as samples are.")
    return [
        file for part in sorted(inbox.iterdir()) if part.is_dir() for file in upload.plan([part], part.name)
    ]


def _ask(run: Session, documents: int, *, yes: bool) -> None:
    """Have somebody agree to what costs money."""
    if yes or not run.stack.on_aws:
        return
    typer.confirm(
        f"This uploads {documents} documents to the stack {run.stack.name} on AWS, where models cost money: "
        "about 0.10 USD for the samples. Go on?",
        abort=True,
        err=True,
    )


def _publish(run: Session, file: Path, *, seconds: float) -> None:
    pipeline = pipelines.read(file, tell=run.note)
    before = run.stack.control.versions.current(file.stem)
    problem = pipelines.publish(run, file.stem, file, pipeline, seconds=seconds)
    if problem:
        run.note(problem)
        fail()
    version = run.stack.control.versions.current(file.stem)
    replaced = f" in the place of {before}" if before and before != version else ""
    run.note(f"Pipeline {file.stem}: version {version} is in force{replaced}.")


def _tell(run: Session, found: Sequence[Tracked], seconds: float) -> None:
    known = sum(1 for one in found if one.known)
    if known == len(found):
        run.note(
            f"All {known} documents are known already: the same bytes for the same pipeline are the same "
            "documents, so nothing was asked or paid again.\n"
        )
    else:
        run.note(f"{tracking.counts(found).plain} after {seconds:.1f} s; {known} were known already.\n")


def _json(found: Sequence[Tracked], documents: Sequence[Document]) -> dict[str, Any]:
    return {
        "documents": [one.json() for one in documents],
        "known": sum(1 for one in found if one.known),
        "totals": Totals.of(documents).json(),
    }


def _show(run: Session, documents: Sequence[Document]) -> None:
    newest = sorted(documents, key=lambda one: one.received_at, reverse=True)
    run.console.print(status.overview(run, newest, clock.now()))
    structured = {
        one.pipeline
        for one in documents
        if one.result_key and run.stack.pipelines.get(one.pipeline, one.version).output
    }
    for title, one in showcase(documents, structured):
        run.console.print(Text(f"\n{title}: ", style="bold").append(tables.printable(one.name)))
        answer = first_of(results.result_of(run, one)["result"])
        run.console.print(_excerpt(run, answer, one))
    entries = [
        Entry.of(row, one.pipeline)
        for one in documents
        for row in run.stack.costs.of_document(one.document_id)
    ]
    if entries:
        run.console.print(Text("\nWhat these documents cost:", style="bold"))
        run.console.print(rates.summary(entries, width=run.width))


def showcase(documents: Sequence[Document], structured: set[str]) -> list[tuple[str, Document]]:
    """Choose documents that show different things, with a title for each: few records with much to say."""
    ended = sorted(
        (
            one
            for one in documents
            if one.status is DocumentStatus.COMPLETED and 0 < one.records <= FEW_RECORDS
        ),
        key=lambda one: (-one.usage.output_tokens / one.records, one.key),
    )
    kinds = (
        ("A text", lambda one: one.pipeline not in structured and one.name.isascii()),
        ("A text in Japanese", lambda one: one.pipeline not in structured and not one.name.isascii()),
        ("Facts as JSON", lambda one: one.pipeline in structured),
    )
    chosen = ((title, next(filter(fits, ended), None)) for title, fits in kinds)
    return [(title, one) for title, one in chosen if one]


def first_of(result: Any) -> Any:
    """Take the first answer of a list of them."""
    return result[0] if isinstance(result, list) and result else result


def _excerpt(run: Session, answer: Any, document: Document) -> Text:
    """Show the first lines of an answer, and how to see all of it."""
    text = Text(tables.printable(results.readable(answer)))
    shown = results.indented(run, text, lines=SHOWN_LINES)
    more = f"\n  … all of it: batchline results {document.document_id} --combined"
    return shown.append(more, style="dim")
