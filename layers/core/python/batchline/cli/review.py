"""`batchline review`: documents that wait for a person's look, and what was decided."""

from pathlib import Path
from typing import Annotated

import typer

from batchline import clock
from batchline.aws.stack import Stack
from batchline.cli import listing, tables
from batchline.cli.session import Problem, session
from batchline.cli.tables import Column
from batchline.cli.views.documents import Document
from batchline.errors import Code
from batchline.review import Decision

COLUMNS = (Column("document"), Column("pipeline"), Column("name", least=16), Column("why", least=20))


def review(
    context: typer.Context,
    document: Annotated[
        str | None,
        typer.Argument(help="An id, the start of one, a key or a file name; without it those that wait."),
    ] = None,
    *,
    accept: Annotated[bool, typer.Option("--accept", help="The answer is right as it is.")] = False,
    correct: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="The right answer, as JSON.", exists=True, dir_okay=False),
    ] = None,
    reject: Annotated[bool, typer.Option("--reject", help="The document ends as FAILED.")] = False,
    note: Annotated[str, typer.Option(help="Why; it is kept in the row.")] = "",
    days: Annotated[int, typer.Option(min=1, help="Look among documents of the last days.")] = 30,
) -> None:
    """Settle a document that is held for review, or list those that are.

    A correction becomes the document's result; the model's answer is kept beside it.
    """
    run = session(context)
    decisions = [
        one for one, asked in zip(Decision, (accept, correct is not None, reject), strict=True) if asked
    ]
    if document is None:
        if decisions:
            raise Problem("Name the document that you have decided about.")
        waiting = _waiting(run.stack)
        if run.as_json:
            run.write_json({"documents": [one.json() for one in waiting]})
            return
        if not waiting:
            run.note("No document waits for a review.")
            return
        rows = [
            (
                run.short_id(one.document_id),
                one.pipeline,
                one.name,
                one.failure.message if one.failure else "",
            )
            for one in waiting
        ]
        run.console.print(tables.table(COLUMNS, rows, width=run.width))
        return
    if len(decisions) != 1:
        raise Problem("Decide with one of --accept, --correct FILE.json and --reject.")
    found = listing.find(run.stack, clock.now(), document, days=days)
    row = run.stack.documents.get(found.document_id)
    if row is None or found.failure is None or found.failure.code != Code.REVIEW_NEEDED:
        raise Problem(f"{found.name} does not wait for a review: it is {found.status}.")
    text = correct.read_text("utf-8") if correct else None
    settled = run.stack.reviewer(clock.now).settle(row, decisions[0], note=note, correction=text)
    ended = Document.of(settled)
    if run.as_json:
        run.write_json(ended.json())
    else:
        run.console.print(f"{ended.name} is {decisions[0]}: {ended.status}.", soft_wrap=True)


def _waiting(stack: Stack) -> list[Document]:
    ids = [
        one
        for name in stack.control.versions.pipelines()
        for one in stack.documents.with_problem(name, Code.REVIEW_NEEDED)
    ]
    rows = stack.documents.get_many(ids)
    return sorted(map(Document.of, rows), key=lambda one: one.received_at)
