"""Which documents there are: the newest of the last days, or the one that somebody names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import batched
from typing import Annotated, Final

import typer

from batchline.aws.chunk import NO_VERSION
from batchline.aws.stack import Stack
from batchline.cli.session import Problem
from batchline.cli.views.documents import Document
from batchline.ids import DOCUMENT_LENGTH

AT_ONCE: Final = 100
ID_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
SHOWN_CANDIDATES: Final = 5

Named = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DOCUMENT]...", help="Ids, the start of ids, keys or file names."),
]


@dataclass(frozen=True, slots=True)
class Listing:
    """Documents, newest first. `more`: the limit left some out."""

    documents: tuple[Document, ...]
    more: bool


def days_back(now: datetime, days: int) -> list[str]:
    """Name the last days in UTC, today first."""
    return [(now - timedelta(days=n)).date().isoformat() for n in range(days)]


def documents(
    stack: Stack,
    now: datetime,
    *,
    days: int,
    limit: int = 0,
    pipeline: str | None = None,
    keep: Callable[[Document], bool] = lambda _: True,
) -> Listing:
    """List the documents of the last `days`, newest first, at most `limit` (0: all)."""
    found: list[Document] = []
    for batch in batched(_newest(stack, now, days, pipeline), AT_ONCE, strict=False):
        rows = {row["document_id"]: row for row in stack.documents.get_many(batch)}
        for document_id in batch:
            if document_id not in rows:
                continue
            document = Document.of(rows[document_id])
            if keep(document):
                if limit and len(found) == limit:
                    return Listing(tuple(found), more=True)
                found.append(document)
    return Listing(tuple(found), more=False)


def _newest(stack: Stack, now: datetime, days: int, pipeline: str | None) -> Iterator[str]:
    """Yield ids, newest first; a day is asked for only when somebody reads on."""
    dates = days_back(now, days)
    names = [pipeline] if pipeline else _pipelines(stack, since=dates[-1])
    for day in dates:
        streams = [stack.documents.of_day(name, day) for name in names]
        for _, document_id in merge(*streams, reverse=True):
            yield document_id


def _pipelines(stack: Stack, since: str) -> list[str]:
    """Name all pipelines that documents came for, also those that never arrived themselves.

    Those are known from the documents that wait for them: each has a problem, and the index of
    problems is sparse.
    """
    waited_for = {one.partition("#")[0] for one in stack.documents.problems(since)}
    return sorted({*stack.control.versions.pipelines(), *waited_for, NO_VERSION})


def refuse_unknown(stack: Stack, pipeline: str) -> None:
    """Raise Problem where no pipeline of this name was ever in force."""
    if pipeline not in stack.control.versions.pipelines():
        raise Problem(f"There is no pipeline {pipeline!r}: `batchline pipelines` lists them.")


def find(stack: Stack, now: datetime, name: str, *, days: int) -> Document:
    """Find the document that somebody means by an id, the start of an id, a key or a file name.

    An id is found however old it is, all else among the last `days`. Raises Problem.
    """
    if len(name) == DOCUMENT_LENGTH and ID_CHARACTERS.issuperset(name):
        row = stack.documents.get(name)
        if row is not None:
            return Document.of(row)

    def keep(one: Document) -> bool:
        return one.document_id.startswith(name) or one.answers_to(name)

    found = documents(stack, now, days=days, keep=keep).documents
    exact = [one for one in found if one.key == name]
    if len(exact) == 1:
        return exact[0]
    if len(found) == 1:
        return found[0]
    if found:
        raise Problem(_ambiguous(name, found))
    raise Problem(
        f"There is no document {name!r} of the last {days} days: give an id, the start of one, a key or "
        "a file name as `batchline status` shows it, or look further back with --days."
    )


def _ambiguous(name: str, found: tuple[Document, ...]) -> str:
    listed = ", ".join(f"{one.document_id} ({one.key})" for one in found[:SHOWN_CANDIDATES])
    rest = f" and {len(found) - SHOWN_CANDIDATES} more" if len(found) > SHOWN_CANDIDATES else ""
    return f"{name!r} may be {len(found)} documents: {listed}{rest}. Give the id of one."
