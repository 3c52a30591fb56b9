"""`batchline cache`: what a pipeline's cache holds, and forgetting it."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from batchline import clock
from batchline.aws.cache import Cache
from batchline.cli.session import Problem, session
from batchline.models import timestamp
from batchline.pipelines import did_you_mean, ended


def command(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The name of a pipeline.")],
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Forget the answers: all is asked again.")] = False,
) -> None:
    """Show how many answers of a pipeline are kept to be used again, or forget them.

    All of its rows are read, and paid.
    """
    run = session(context)
    known = run.stack.control.versions.pipelines()
    if pipeline not in known:
        raise Problem(ended(f"There is no pipeline {pipeline!r}{did_you_mean(pipeline, known)}"))
    cache = Cache(run.stack.control.client, run.stack.control.table)
    now = int(clock.now().timestamp())
    # What a job is about to ask stays claimed.
    answers = [
        (row["pk"], row["sk"], row["at"], row["expires_at"]) for row in cache.rows(pipeline) if "at" in row
    ]
    if clear:
        cache.forget({"pk": pk, "sk": sk} for pk, sk, _, _ in answers)
        if run.as_json:
            run.write_json({"pipeline": pipeline, "forgotten": len(answers)})
        else:
            run.console.print(f"{pipeline}: {_counted(len(answers))} forgotten.")
        return
    usable = [(at, end) for _, _, at, end in answers if end > now]
    oldest = _time(min(at for at, _ in usable)) if usable else None
    last = _time(max(end for _, end in usable)) if usable else None
    if run.as_json:
        run.write_json(
            {"pipeline": pipeline, "answers": len(usable), "oldest_at": oldest, "expires_at": last}
        )
    elif usable:
        run.console.print(
            f"{pipeline}: {_counted(len(usable))}, the oldest of {oldest}; the last one is kept until {last}."
        )
    else:
        run.console.print(f"{pipeline}: no answers.")


def _counted(answers: int) -> str:
    return "1 answer" if answers == 1 else f"{answers:,} answers"


def _time(seconds: int) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
