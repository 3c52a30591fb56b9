"""`batchline upload`: files into the inbox of a pipeline."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from batchline import clock
from batchline.aws.stack import Stack
from batchline.chunk import INBOX, refuse_size
from batchline.cli import status, tables, tracking
from batchline.cli.session import Problem, fail, session
from batchline.cli.tables import Column
from batchline.cli.tracking import File, Tracked
from batchline.errors import Refused
from batchline.pipelines import NAME, did_you_mean, ended

KEY_BYTES: Final = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
COLUMNS: Final = (
    Column("document"),
    Column("key", least=24),
    Column("bytes", "right", drop=1),
    Column("status"),
)


def upload(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Files, or folders with all that is in them.", exists=True),
    ],
    *,
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", help="The pipeline that reads them.")],
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", "-w", help="Stay until their documents have ended; exit code 1 unless all COMPLETED."
        ),
    ] = False,
    timeout: Annotated[float, typer.Option(help="With --watch: at most so many seconds.")] = 3600,
) -> None:
    """Upload files to inbox/PIPELINE/... and show the names of their documents.

    The path inside a folder stays the path in the inbox; hidden files are left out. The same bytes at
    the same key for the same version of a pipeline are one document, however often they are uploaded.
    """
    run = session(context)
    files = list(plan(paths, pipeline))
    _warn(run.stack, pipeline, tell=run.note)
    sent = tracking.send(run.stack, files)
    found = tracking.follow(run, sent, seconds=timeout) if watch else tracking.look(run.stack, sent)
    documents = [one.document for one in found if one.document]
    if run.as_json:
        run.write_json({"uploads": [_json(one) for one in found]})
    elif watch:
        run.console.print(status.overview(run, documents, clock.now()))
    else:
        rows = [
            (one.document_id, one.sent.upload.key, f"{one.sent.upload.size:,}", _says(one)) for one in found
        ]
        run.console.print(tables.table(COLUMNS, rows, width=run.width))
    if watch and not all(one.settled for one in found):
        run.note(f"Not all have ended after {timeout:g} s: {tracking.unfinished(found)}.")
        fail()
    if watch and status.not_completed(documents):
        fail()


def plan(paths: Iterable[Path], pipeline: str) -> Iterator[File]:
    """Say which file goes to which key. Raises Problem before anything is uploaded."""
    if not NAME.fullmatch(pipeline):
        raise Problem(f"{pipeline!r} names no pipeline: up to 64 letters, digits, '-' and '_'.")
    taken: dict[str, Path] = {}
    for path, name in files(paths):
        # One spelling of a name: file systems write the same characters in different ways.
        key = unicodedata.normalize("NFC", f"{INBOX}{pipeline}/{name}")
        if key in taken:
            raise Problem(f"{taken[key]} and {path} would both be {key}: upload them one after the other.")
        if len(key.encode()) > KEY_BYTES:
            raise Problem(f"{path} has too long a name: a key has at most {KEY_BYTES} bytes.")
        try:
            refuse_size(path.stat().st_size)
        except Refused as refusal:
            raise Problem(f"{path}: {refusal.message}") from refusal
        taken[key] = path
        yield File(path, key, pipeline)
    if not taken:
        raise Problem("There are no files in there.")


def files(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yield files, and those in folders, with their path in the inbox; hidden ones are left out."""
    for path in paths:
        if not path.is_dir():
            yield path, path.name
            continue
        for inside in sorted(path.rglob("*")):
            relative = inside.relative_to(path)
            if inside.is_file() and not any(part.startswith(".") for part in relative.parts):
                yield inside, relative.as_posix()


def _warn(stack: Stack, pipeline: str, *, tell: Callable[[str], None]) -> None:
    """Say beforehand that documents will wait for a pipeline that is not there."""
    if stack.control.versions.current(pipeline) is None:
        names = stack.control.versions.pipelines()
        hint = did_you_mean(pipeline, names) if names else ""
        missing = ended(f"There is no pipeline {pipeline!r} yet{hint}")
        put = f"`batchline pipeline put {pipeline}.yaml`"
        tell(f"{missing} Its documents are HELD until it is there: {put}.")


def _says(one: Tracked) -> str:
    if one.document is None:
        return "on the way"
    return f"known already, {one.document.status}" if one.known else str(one.document.status)


def _json(one: Tracked) -> dict[str, object]:
    upload = one.sent.upload
    return {
        "key": upload.key,
        "version_id": upload.version_id,
        "size": upload.size,
        "known": one.known,
        "document_id": one.document_id,
        "document": one.document.json() if one.document else None,
    }
