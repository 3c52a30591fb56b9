"""`batchline audit`: what does not add up, recomputed from everything that is stored."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from batchline.audit import Violation
from batchline.cli import tables
from batchline.cli.session import Session, fail, session


def audit(
    context: typer.Context,
    pause: Annotated[
        float, typer.Option(min=0, help="Seconds between the two looks at what seems wrong.")
    ] = 5.0,
) -> None:
    """Recompute from all tables and the work bucket what must hold, and print what does not.

    Every document, result, job and ledger entry is read, which DynamoDB charges for. What looks wrong is
    looked at again after a pause, since work may be going on. Exit code 1 if anything is wrong.
    """
    run = session(context)
    found = run.stack.auditor().run(lambda: run.pause(pause))
    if run.as_json:
        run.write_json({"violations": [{"subject": one.subject, "message": one.message} for one in found]})
    else:
        show(run, found)
    if found:
        fail()


def show(run: Session, found: Sequence[Violation]) -> None:
    """Print what an audit has found."""
    if not found:
        run.console.print("Everything adds up.")
    for one in found:
        line = Text(tables.printable(one.subject), style="bold red")
        run.console.print(line.append(f": {tables.printable(one.message)}", style="not bold default"))
