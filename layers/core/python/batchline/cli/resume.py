"""`batchline resume`: a lane that was paused after jobs without a success goes on."""

from typing import Annotated

import typer
from rich.text import Text

from batchline import catalog
from batchline.aws.control.lanes import Lane
from batchline.cli import tables
from batchline.cli.session import Problem, session
from batchline.cli.tables import Column

COLUMNS = (Column("lane"), Column("pipelines"), Column("jobs without\na success", "right"), Column("state"))


def resume(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="A model, a lane or a pipeline; without it the lanes are listed."),
    ] = None,
) -> None:
    """Let a paused lane go on, or list the lanes.

    A lane is a model and a kind of request. It is paused when its last two jobs had no success, so that
    a withdrawn permission or a wrong prompt does not burn through everything that waits.
    """
    run = session(context)
    lanes = run.stack.control.lanes.all()
    if name is None:
        if run.as_json:
            run.write_json({"lanes": [_json(one) for one in lanes]})
        else:
            run.console.print(tables.table(COLUMNS, [_cells(one) for one in lanes], width=run.width))
        return
    meant = [one for one in lanes if _is_meant(one, name)]
    if not meant:
        known = ", ".join(one.name for one in lanes) or "none yet"
        raise Problem(f"No lane is of {name!r}; there are: {known}.")
    paused = [one for one in meant if one.paused]
    for one in paused:
        run.stack.control.lanes.resume(one.name)
    if paused:
        run.stack.queues.wake.ring({"hop": 0})
    if run.as_json:
        run.write_json({"resumed": [one.name for one in paused]})
        return
    for one in meant:
        state = "goes on" if one.paused else "was not paused"
        run.console.print(f"{one.name} {state}.", soft_wrap=True)


def _is_meant(lane: Lane, name: str) -> bool:
    same_model = catalog.base_id(lane.model) == catalog.base_id(name)
    return name in {lane.name, lane.model} or same_model or name in lane.pipelines


def _cells(lane: Lane) -> tuple[tables.Cell, ...]:
    state = Text(f"paused: {tables.printable(lane.reason)}", style="red") if lane.paused else Text("open")
    return (lane.name, ", ".join(sorted(lane.pipelines)), str(lane.fails), state)


def _json(lane: Lane) -> dict[str, object]:
    return {
        "lane": lane.name,
        "model": lane.model,
        "pipelines": sorted(lane.pipelines),
        "fails": lane.fails,
        "paused": lane.paused,
        "reason": lane.reason or None,
    }
