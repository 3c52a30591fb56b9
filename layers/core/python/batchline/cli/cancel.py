"""`batchline cancel`: nothing more is asked or paid for; what is paid for already is kept."""

from typing import Annotated

import typer

from batchline import clock
from batchline.aws.stack import Stack
from batchline.cli import jobs, listing
from batchline.cli.session import Problem, session
from batchline.models import DocumentStatus


def cancel(
    context: typer.Context,
    documents: listing.Named = None,
    *,
    pipeline: Annotated[
        str | None,
        typer.Option(help="Everything that this pipeline has on its way.", show_default=False),
    ] = None,
    job: Annotated[str | None, typer.Option(help="A job id or the start of one.", show_default=False)] = None,
    days: Annotated[int, typer.Option(min=1, help="Look among those of the last days.")] = 7,
) -> None:
    """Cancel documents, all that a pipeline has on its way, or a job.

    Records that wait are not asked. Batch jobs in which nothing else is are stopped at Bedrock, which
    charges what it has processed; those answers are kept. The documents end as CANCELLED.
    """
    run = session(context)
    named = [bool(documents), pipeline is not None, job is not None]
    if sum(named) != 1:
        raise Problem("Say what to cancel: documents, or --pipeline NAME, or --job JOB.")
    if pipeline is not None:
        said, found = _pipeline(run.stack, pipeline)
    elif job is not None:
        said, found = _job(run.stack, job, days)
    else:
        said, found = _documents(run.stack, documents or [], days)
    if run.as_json:
        run.write_json(found)
    else:
        run.console.print(said, soft_wrap=True)


def _documents(stack: Stack, names: list[str], days: int) -> tuple[str, dict[str, object]]:
    now = clock.now()
    found = [listing.find(stack, now, name, days=days) for name in names]
    rows = stack.documents.get_many({one.document_id for one in found})
    asked = stack.canceller(clock.now).cancel_documents(rows)
    lines = []
    for one in found:
        if one.document_id in asked:
            lines.append(f"{one.name}: cancelled; it ends when what is on its way has come back.")
        elif one.status is DocumentStatus.HELD:
            lines.append(f"{one.name} waits for a review: settle it with `batchline review`.")
        else:
            lines.append(f"{one.name} has ended already: {one.status}.")
    return "\n".join(lines), {"cancelled": asked}


def _pipeline(stack: Stack, name: str) -> tuple[str, dict[str, object]]:
    listing.refuse_unknown(stack, name)
    stopped = stack.canceller(clock.now).cancel_pipeline(name)
    said = (
        f"Pipeline {name}: all records that were on their way are cancelled, {stopped} job"
        f"{'' if stopped == 1 else 's'} stopped. What is uploaded from now on is processed."
    )
    return said, {"pipeline": name, "stopped_jobs": stopped}


def _job(stack: Stack, name: str, days: int) -> tuple[str, dict[str, object]]:
    found = jobs.find(stack, clock.now(), name, days=days)
    row = stack.jobs.get(found.job_id)
    stopped = row is not None and stack.canceller(clock.now).cancel_job(row)
    if not stopped:
        raise Problem(f"Job {found.job_id} cannot be stopped any more: it is {found.status}.")
    said = f"Job {found.job_id} is being stopped; what it has answered is kept."
    return said, {"job_id": found.job_id}
