"""`batchline retry`: what has failed for good is asked once more."""

from typing import Annotated

import typer

from batchline import clock
from batchline.aws.retry import NotRetriable
from batchline.aws.stack import Stack
from batchline.cli import failed, listing
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.views.documents import Document
from batchline.errors import Code, LostRace


def retry(
    context: typer.Context,
    documents: listing.Named = None,
    *,
    code: Annotated[
        list[Code] | None,
        typer.Option(help="Only records that failed so; without documents, all of them.", show_default=False),
    ] = None,
    record: Annotated[
        list[str] | None,
        typer.Option(help="Only this record of the document, such as m0000012.", show_default=False),
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(help="With --code: only this pipeline.", show_default=False)
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Look among documents of the last days.")] = 7,
) -> None:
    """Ask again what has failed: documents, some of their records, or everything with a code.

    Each record gets one more attempt, which costs as any other does. Answers that are there stay, and
    the old result stays until the new one is done. A document that was refused is read again.
    """
    run = session(context)
    if bool(documents) == bool(code) and not documents:
        raise Problem("Say what to ask again: documents, or --code CODE for all that failed so.")
    if record and len(documents or []) != 1:
        raise Problem("--record names a record of one document: name that as well.")
    codes = frozenset(map(str, code or ()))
    found = (
        _named(run.stack, documents, days) if documents else _of_codes(run.stack, code or [], pipeline, days)
    )
    asked, refused = _ask(run.stack, found, codes, frozenset(record or ()))
    if run.as_json:
        run.write_json({"asked": asked, "refused": refused})
    else:
        _say(run, found, asked, refused)
    if refused:
        fail()


def _ask(
    stack: Stack, found: list[Document], codes: frozenset[str], records: frozenset[str]
) -> tuple[dict[str, int], dict[str, str]]:
    """Ask documents again; return how many records of each, and why others were not."""
    retrier = stack.retrier(clock.now)
    asked: dict[str, int] = {}
    refused: dict[str, str] = {}
    for one in found:
        row = stack.documents.get(one.document_id)
        if row is None:
            continue
        try:
            # The code of an upload that was refused is its own; it has no records.
            own = codes if one.records else frozenset[str]()
            asked[one.document_id] = retrier.retry(row, codes=own, records=records)
        except NotRetriable as error:
            refused[one.document_id] = str(error)
        except LostRace:
            refused[one.document_id] = f"{one.name} is being asked again by somebody else."
    return asked, refused


def _say(run: Session, found: list[Document], asked: dict[str, int], refused: dict[str, str]) -> None:
    names = {one.document_id: one.name for one in found}
    for document_id, count in asked.items():
        what = f"{count:,} record{'' if count == 1 else 's'} asked again" if count else "read again"
        run.console.print(f"{names[document_id]}: {what}.", soft_wrap=True)
    for sentence in refused.values():
        run.note(sentence)
    if not found:
        run.note("Nothing failed so.")


def _named(stack: Stack, names: list[str], days: int) -> list[Document]:
    return [listing.find(stack, clock.now(), name, days=days) for name in names]


def _of_codes(stack: Stack, codes: list[Code], pipeline: str | None, days: int) -> list[Document]:
    found: dict[str, Document] = {}
    for code in codes:
        for group in failed.find(stack, days=days, code=code, pipeline=pipeline):
            found |= {one.document_id: one for one in group.documents if one.status.terminal}
    return list(found.values())
