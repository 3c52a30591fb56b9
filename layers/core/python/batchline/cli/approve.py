"""`batchline approve`: documents that a budget holds are spent on all the same."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

import typer

from batchline import clock
from batchline.aws import approve as approving
from batchline.aws.dynamo import Row
from batchline.aws.stack import Stack
from batchline.cli import listing, tables
from batchline.cli.session import Problem, Session, session
from batchline.cli.tables import Column
from batchline.cli.views.documents import Document
from batchline.money import budgets

COLUMNS = (Column("document"), Column("pipeline"), Column("name", least=16), Column("at most\nUSD", "right"))


def approve(
    context: typer.Context,
    documents: listing.Named = None,
    *,
    pipeline: Annotated[
        str | None,
        typer.Option(help="All documents of this pipeline that came until now.", show_default=False),
    ] = None,
    held: Annotated[
        bool, typer.Option("--held", help="All documents of the pipelines that have one held by a budget.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="Look among documents of the last days.")] = 30,
) -> None:
    """Let documents be spent on whatever the budgets of their pipeline say; without any, list what is held.

    That holds for their records on their way and for further attempts, over the budget of a day and that of
    a document. It is booked on the day's budget like all else. The stack's budget of the month is a ceiling:
    only its parameter BudgetPerMonth is raised.
    """
    run = session(context)
    if sum([bool(documents), pipeline is not None, held]) > 1:
        raise Problem("Say what to approve: documents, or --pipeline NAME, or --held.")
    stack = run.stack
    approver = stack.approver(clock.now)
    if documents:
        _tell(run, approver.approve_documents(_named(stack, documents, days)))
    elif pipeline is not None:
        listing.refuse_unknown(stack, pipeline)
        _tell(run, approver.approve_pipeline(pipeline))
    else:
        waiting = {name: list(approver.held(name)) for name in stack.control.versions.pipelines()}
        if held:
            _tell(
                run,
                [row for name, rows in waiting.items() if rows for row in approver.approve_pipeline(name)],
            )
        else:
            _list(run, [row for rows in waiting.values() for row in rows])


def _named(stack: Stack, names: list[str], days: int) -> list[Row]:
    now = clock.now()
    found = [listing.find(stack, now, name, days=days) for name in names]
    for one in found:
        if one.status.terminal:
            raise Problem(f"{one.name} has ended already: it is {one.status}.")
    return list(stack.documents.get_many({one.document_id for one in found}))


def _json(rows: Iterable[Row]) -> list[dict[str, object]]:
    return [{"document_id": row["document_id"], "at_most_usd": approving.amount(row)} for row in rows]


def _tell(run: Session, rows: list[Row]) -> None:
    """Say what was let go, and what it may cost."""
    total = sum(map(approving.amount, rows), Decimal(0))
    if run.as_json:
        run.write_json({"approved": _json(rows), "at_most_usd": total})
        return
    for row in rows:
        one = Document.of(row)
        usd = budgets.up(approving.amount(row))
        run.console.print(f"{one.name} goes on; its records may cost {usd} USD.", soft_wrap=True)
    count = f"{len(rows)} document{'' if len(rows) == 1 else 's'}"
    run.console.print(f"Approved: {count}, at most {budgets.up(total)} USD and their further attempts.")


def _list(run: Session, rows: list[Row]) -> None:
    if run.as_json:
        run.write_json({"held": _json(rows)})
        return
    if not rows:
        run.note("No document is held for a budget.")
        return
    cells = []
    for row in rows:
        one = Document.of(row)
        usd = budgets.up(approving.amount(row))
        cells.append((run.short_id(one.document_id), one.pipeline, one.name, usd))
    run.console.print(tables.table(COLUMNS, cells, width=run.width))
    run.note("\n`batchline approve DOCUMENT…`, `--pipeline NAME` or `--held` lets them go.")
