"""`batchline pipelines` and `batchline pipeline put`: which instructions are in force."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from batchline import catalog, chunk, clock, ids, pipelines
from batchline.aws.chunk import NO_VERSION
from batchline.aws.stack import Stack
from batchline.cli import tables
from batchline.cli.session import Problem, Session, fail, session
from batchline.cli.tables import Column
from batchline.cli.views.documents import Document
from batchline.cli.views.parts import seconds_since
from batchline.errors import Code, Refused
from batchline.pipelines import NAME, Pipeline

POLL_SECONDS: Final = 0.5
WAIT_SECONDS: Final = 60.0
COLUMNS: Final = (
    Column("pipeline"),
    Column("version"),
    Column("model", least=16),
    Column("answer", drop=2),
    Column("too few", drop=1),
    Column("in force\nsince"),
)

app = typer.Typer(no_args_is_help=True, help="Put a pipeline in force, or check its file.")


@dataclass(frozen=True, slots=True)
class InForce:
    """A pipeline's version in force. `refused`: a later file that was not accepted, if there is one."""

    name: str
    version: str
    published_at: str
    pipeline: Pipeline
    refused: Document | None

    def json(self) -> dict[str, Any]:
        refused = self.refused
        return {
            "pipeline": self.name,
            "version": self.version,
            "model": self.pipeline.model,
            "answer": _answer(self.pipeline),
            "too_few": self.pipeline.too_few,
            "published_at": self.published_at,
            "refused": {
                "received_at": refused.received_at,
                "message": refused.failure.message if refused.failure else "",
            }
            if refused
            else None,
        }


def _answer(pipeline: Pipeline) -> str:
    return "JSON" if pipeline.output else "text"


def listed(context: typer.Context) -> None:
    """List the pipelines in force: version, model, and since when."""
    run = session(context)
    found = in_force(run.stack)
    if run.as_json:
        run.write_json({"pipelines": [one.json() for one in found]})
        return
    if not found:
        run.note("No pipelines yet: `batchline pipeline put NAME.yaml` puts one in force.")
        return
    now = clock.now()
    rows = [
        (
            one.name,
            one.version,
            one.pipeline.model,
            _answer(one.pipeline),
            one.pipeline.too_few,
            f"{one.published_at[:19].replace('T', ' ')}Z",
        )
        for one in found
    ]
    run.console.print(tables.table(COLUMNS, rows, width=run.width))
    for one in found:
        if one.refused:
            run.console.print(_refused(one.name, one.refused, now))


def _refused(name: str, document: Document, now: datetime) -> Text:
    message = document.failure.message if document.failure else ""
    ago = tables.age(seconds_since(document.received_at, now))
    line = Text(f"\n{name}: a file that came {ago} ago was refused", style="red")
    return line.append(f": {tables.printable(message)}", style="not red")


def in_force(stack: Stack) -> list[InForce]:
    """Read all pipelines in force, by name."""
    return [
        InForce(
            name=name,
            version=version,
            published_at=published_at,
            pipeline=stack.pipelines.get(name, version),
            refused=_later_refusal(stack, name, published_at),
        )
        for name, version, published_at in sorted(
            stack.control.versions.in_force(stack.control.versions.pipelines())
        )
    ]


def _later_refusal(stack: Stack, name: str, published_at: str) -> Document | None:
    refused = list(stack.documents.with_problem(name, Code.PIPELINE_INVALID))
    row = stack.documents.get(refused[-1]) if refused else None
    return Document.of(row) if row and row["received_at"] > published_at else None


PipelineFile = Annotated[
    Path, typer.Argument(metavar="FILE.yaml", help="A pipeline file.", exists=True, dir_okay=False)
]


@app.command()
def check(context: typer.Context, file: PipelineFile) -> None:
    """Check a pipeline file without uploading it. Exit code 1 and the line where it is wrong."""
    run = session(context)
    pipeline = read(file, tell=run.note)
    if run.as_json:
        run.write_json({"version": pipeline.version, "model": pipeline.model})
    else:
        run.console.print(f"{file} is right: {pipeline.model}, version {pipeline.version}.")


@app.command()
def put(
    context: typer.Context,
    file: PipelineFile,
    *,
    name: Annotated[
        str | None,
        typer.Option(help="The pipeline's name; without it the file's.", show_default=False),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Stay until it is in force.")] = True,
) -> None:
    """Check a pipeline file, upload it and wait until it is in force.

    A file with a mistake is not uploaded: its line and the reason are printed, exit code 1.
    """
    run = session(context)
    name = name or file.stem
    if not NAME.fullmatch(name):
        raise Problem(
            f"{name!r} cannot name a pipeline: up to 64 letters, digits, '-' and '_'. Give one with --name."
        )
    pipeline = read(file, tell=run.note)
    before = run.stack.control.versions.current(name)
    refusal = publish(run, name, file, pipeline, seconds=WAIT_SECONDS if wait else 0)
    if refusal:
        run.note(refusal)
        fail()
    version = (run.stack.control.versions.current(name) if wait else None) or pipeline.version
    if run.as_json:
        run.write_json({"pipeline": name, "version": version, "before": before})
    else:
        run.console.print(_put(name, version, before, wait=wait))


def read(file: Path, *, tell: Callable[[str], None]) -> Pipeline:
    """Parse a pipeline file, or say what is wrong with it and end with exit code 1."""
    try:
        found = pipelines.parse(file.read_bytes())
    except Refused as refusal:
        tell(f"{file}: {refusal.message}")
        fail()
    for model in found.models:
        for note in catalog.notes(model, clock.now().date()):
            tell(f"Note: {note}")
    return found


def publish(run: Session, name: str, file: Path, pipeline: Pipeline, *, seconds: float) -> str | None:
    """Upload a pipeline file and wait until it is in force. Returns what came in between, or None."""
    sent = run.stack.inbox.send(run.stack.inbox_bucket, f"{chunk.PIPELINES}{name}.yaml", file)
    deadline = time.monotonic() + seconds
    while seconds and not _in_force(run.stack, name, pipeline):
        if sent.version_id:
            refused = ids.document_id(key=sent.key, content=sent.version_id, version=NO_VERSION)
            if row := run.stack.documents.get(refused):
                return f"{file} was refused: {row['error']['message']}"
        if time.monotonic() > deadline:
            return (
                f"Pipeline {name} is uploaded, but not in force after {seconds:g} s. It will be as soon as "
                "the chunk function has read it: see `batchline pipelines`."
            )
        run.pause(POLL_SECONDS)
    return None


def _in_force(stack: Stack, name: str, pipeline: Pipeline) -> bool:
    """Tell whether what is in force says the same.

    Names of versions are not compared: the stack's code may be older or newer than ours and name them
    differently.
    """
    version = stack.control.versions.current(name)
    return version is not None and stack.pipelines.get(name, version) == pipeline


def _put(name: str, version: str, before: str | None, *, wait: bool) -> str:
    if not wait:
        return f"Pipeline {name} is uploaded: version {version}."
    if before == version:
        return f"Pipeline {name}: version {version} is in force, as it was before."
    return f"Pipeline {name}: version {version} is in force" + (f", after {before}." if before else ".")
