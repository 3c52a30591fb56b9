"""`batchline redrive`: messages that were given up on are tried again."""

from typing import Annotated

import typer

from batchline.aws import redrive as dead
from batchline.cli import tables
from batchline.cli.session import Problem, session
from batchline.cli.tables import Column

COLUMNS = (Column("queue"), Column("given up", "right"))


def redrive(
    context: typer.Context,
    queue: Annotated[
        str | None,
        typer.Argument(help="The queue of one stage; without it all of them are listed.", show_default=False),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All queues.")] = False,
) -> None:
    """Send messages again that a stage has failed on five times, or list how many there are.

    Mend the cause first: the functions' logs and alarms say what it was. Sending a message again is
    always safe, since every stage reads from the tables what is left to do.
    """
    run = session(context)
    queues = run.stack.queues.by_stage()
    if queue is not None and queue not in queues:
        raise Problem(f"There is no queue {queue!r}; there are {', '.join(queues)}.")
    found = list(dead.dead_letters({queue: queues[queue]} if queue else queues))
    moved = [one for one in found if one.waiting and (queue or everything)]
    for one in moved:
        dead.redrive(queues[one.stage], one)
    if run.as_json:
        given_up = {one.stage: one.waiting for one in found}
        run.write_json({"given_up": given_up, "redriven": [one.stage for one in moved]})
    elif queue or everything:
        said = ", ".join(f"{one.waiting} to {one.stage}" for one in moved)
        run.console.print(f"Sent again: {said}." if moved else "No message was given up on.")
    else:
        rows = [(one.stage, f"{one.waiting:,}") for one in found]
        run.console.print(tables.table(COLUMNS, rows, width=run.width))
