"""`batchline failed`: what has gone wrong, by code, and what to do about it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from batchline import clock
from batchline.aws.stack import Stack
from batchline.cli import tables
from batchline.cli.session import session
from batchline.cli.tables import Column
from batchline.cli.views.documents import Document
from batchline.errors import Code
from batchline.models import DocumentStatus, timestamp

COLUMNS = (
    Column("code"),
    Column("pipeline"),
    Column("documents", "right"),
    Column("status", drop=1),
    Column("records by code", least=16, drop=2),
)
SHOWN = 3


@dataclass(slots=True)
class Group:
    """Documents of one pipeline that have the same problem."""

    code: str
    pipeline: str
    documents: list[Document] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[str]:
        return Counter(one.status for one in self.documents)

    @property
    def records(self) -> Counter[str]:
        """Count the records without an answer by their codes."""
        return sum((Counter(one.codes) for one in self.documents), Counter())

    def json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "pipeline": self.pipeline,
            "documents": [one.document_id for one in self.documents],
            "statuses": dict(self.statuses),
            "records": dict(self.records),
            "message": self.documents[0].failure.message if self.documents[0].failure else None,
        }


def failed(
    context: typer.Context,
    *,
    code: Annotated[
        Code | None,
        typer.Option(help="Only this code, of documents or of their records.", show_default=False),
    ] = None,
    pipeline: Annotated[str | None, typer.Option(help="Only this pipeline.", show_default=False)] = None,
    days: Annotated[int, typer.Option(min=1, help="Documents that came in the last days.")] = 7,
) -> None:
    """List what has failed or waits, by code and pipeline: how many documents, and the first messages.

    docs/errors.md explains the codes; `batchline retry` asks once more.
    """
    run = session(context)
    groups = find(run.stack, days=days, code=code, pipeline=pipeline)
    if run.as_json:
        run.write_json({"failed": [one.json() for one in groups]})
        return
    if not groups:
        run.note(f"Nothing failed or waits among the documents of the last {days} days.")
        return
    rows = [
        (
            one.code,
            one.pipeline,
            f"{len(one.documents):,}",
            _said(one.statuses),
            _said(one.records),
        )
        for one in groups
    ]
    under = [_examples(one) for one in groups]
    run.console.print(tables.table(COLUMNS, rows, width=run.width, under=under))


def find(stack: Stack, *, days: int, code: Code | None, pipeline: str | None) -> list[Group]:
    """Group the documents with a problem that came in the last days, the most frequent first."""
    since = timestamp(clock.now() - timedelta(days=days))
    problems = {tuple(one.split("#", 1)) for one in stack.documents.problems(since)}
    groups = []
    for name, problem in sorted(problems):
        if problem in DocumentStatus or pipeline not in {None, name}:
            continue  # a document that is being chunked is known as such, and is well
        rows = stack.documents.get_many(list(stack.documents.with_problem(name, problem)))
        found = sorted(
            (Document.of(row) for row in rows if row["received_at"] >= since),
            key=lambda one: one.received_at,
        )
        if code is not None and code != problem:
            found = [one for one in found if code in one.codes]
        if found:
            groups.append(Group(problem, name, found))
    return sorted(groups, key=lambda one: -len(one.documents))


def _said(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common())


def _examples(group: Group) -> Text:
    """Quote the first documents of a group, each message once."""
    lines = dict.fromkeys(
        f"{one.name}: {one.failure.message}" for one in group.documents[:SHOWN] if one.failure
    )
    return Text("\n".join(map(tables.printable, lines)), style="dim")
