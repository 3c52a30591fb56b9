"""What `estimate` and `recommend` read: files here or in S3, and the pipeline that they are for."""

import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from batchline import clock, intake
from batchline.aws import account, clients
from batchline.aws.inbox import Inbox
from batchline.chunk import INBOX, Upload
from batchline.cli import listing, pipelines, upload
from batchline.cli.session import Problem, Session
from batchline.models import timestamp
from batchline.money.expected import Earlier
from batchline.pipelines import NAME, Pipeline, did_you_mean, ended

S3: Final = "s3://"
YAML: Final = (".yaml", ".yml")
EARLIER_DAYS: Final = 30
EARLIER_DOCUMENTS: Final = 200

Places = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="Files, folders with all that is in them, or s3://BUCKET/KEY."),
]
PipelineName = Annotated[
    str,
    typer.Option(
        "--pipeline", "-p", help="A pipeline in force, or a pipeline file (.yaml), which needs no stack."
    ),
]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A pipeline by its name. `version` is that in force, None where it comes from a file."""

    name: str
    pipeline: Pipeline
    version: str | None = None


def choose(run: Session, named: str) -> Chosen:
    """Read a pipeline file, or the pipeline of that name in the stack. Raises Problem."""
    if named.endswith(YAML):
        file = Path(named)
        if not file.is_file():
            raise Problem(f"There is no pipeline file {named}.")
        if not NAME.fullmatch(file.stem):
            raise Problem(f"{file.stem!r} cannot name a pipeline: up to 64 letters, digits, '-' and '_'.")
        return Chosen(file.stem, pipelines.read(file, tell=run.note))
    version = run.stack.pipelines.current(named)
    if version is None:
        names = run.stack.control.versions.pipelines()
        hint = did_you_mean(named, names) if names else "; none is in force"
        raise Problem(ended(f"A pipeline file ends in .yaml, and there is no pipeline {named!r}{hint}"))
    account.adopt(run.stack.work.bucket)
    return Chosen(named, run.stack.pipelines.get(named, version), version)


def earlier(run: Session, chosen: Chosen) -> Earlier | None:
    """Add up what the newest documents of a pipeline in force were answered; of its version, if any were."""
    if chosen.version is None:
        return None
    listed = listing.documents(
        run.stack,
        clock.now(),
        days=EARLIER_DAYS,
        limit=EARLIER_DOCUMENTS,
        pipeline=chosen.name,
        keep=lambda one: one.succeeded > one.reused.cached,
    ).documents
    found = [one for one in listed if one.version == chosen.version] or listed
    return Earlier.of((one.succeeded, one.reused.cached, one.usage.output_tokens) for one in found)


def files(places: Sequence[str], name: str) -> Iterator[intake.File]:
    """Find files, one at a time, for the pipeline of that name. Raises Problem where nothing is."""
    now = clock.now()
    for place in places:
        found = in_s3(place) if place.startswith(S3) else local(Path(place), name, now)
        empty = True
        for one in found:
            empty = False
            yield one
        if empty:
            raise Problem(f"There are no files at {place}.")


def local(path: Path, name: str, now: datetime) -> Iterator[intake.File]:
    """Find files on this machine, as if `batchline upload` sent them."""
    for file, relative in upload.files([path]) if path.exists() else ():
        yield _file(file, f"{INBOX}{name}/{relative}", timestamp(now))


def in_s3(uri: str) -> Iterator[intake.File]:
    """Find the object of that key, or all objects in the folder of that name."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    inbox = Inbox(clients.s3())
    for one in inbox.below(bucket, key):
        if not key or key.endswith("/") or one.key == key or one.key.startswith(f"{key}/"):
            yield _object(inbox, one)


def _file(path: Path, key: str, uploaded_at: str) -> intake.File:
    return intake.File(
        name=str(path),
        upload=Upload("", key, None, path.stat().st_size, sequencer=""),
        open=lambda: path.open("rb"),
        content_type=mimetypes.guess_type(path)[0] or "application/octet-stream",
        uploaded_at=uploaded_at,
    )


def _object(inbox: Inbox, one: Upload) -> intake.File:
    source = inbox.find(one)
    return intake.File(
        name=f"{S3}{one.bucket}/{one.key}",
        upload=source.upload,
        open=lambda: inbox.open(source),
        content_type=source.content_type,
        uploaded_at=source.uploaded_at,
        metadata=source.metadata,
        tags=lambda: inbox.tags(source.upload),
    )
