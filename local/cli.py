"""`batchline local …`: the local cloud from the command line."""

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from local import cloud, deployment, settings
from local.errors import LocalCloudError

app = typer.Typer(
    no_args_is_help=True, help="Run Batchline on this machine: LocalStack and a Bedrock emulator."
)
FOLLOW_S = 0.2


class ServerName(StrEnum):
    LOCALSTACK = "localstack"
    BEDROCK = "bedrock"


@app.command()
def up(
    *,
    bedrock: Annotated[bool, typer.Option(help="Start the Bedrock emulator too.")] = True,
) -> None:
    """Start the local cloud, installing what it needs the first time."""
    with _plain_errors():
        cloud.up(settings.from_environment(), bedrock=bedrock, tell=typer.echo)


@app.command()
def down() -> None:
    """Stop the local cloud and forget its data."""
    with _plain_errors():
        cloud.down(settings.from_environment(), tell=typer.echo)


@app.command()
def status() -> None:
    """Say what runs where; the exit code is 1 unless all of it answers."""
    with _plain_errors():
        conditions = cloud.status(settings.from_environment())
    for one in conditions:
        line = f"{one.name:<11}{'healthy' if one.healthy else 'no answer':<11}{one.url}"
        if one.pid is not None:
            line += f"  pid {one.pid}, {one.processes} processes, {one.memory_mb} MB"
        typer.echo(line)
    if not all(one.healthy for one in conditions):
        raise typer.Exit(1)


@app.command()
def logs(
    server: Annotated[ServerName, typer.Argument(help="Whose log.")] = ServerName.LOCALSTACK,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
) -> None:
    """Print a server's log."""
    with _plain_errors():
        path = cloud.log_file(settings.from_environment(), server)
    with path.open(errors="replace") as log, contextlib.suppress(KeyboardInterrupt):
        while True:
            for line in log:
                typer.echo(line, nl=False)
            if not follow:
                return
            time.sleep(FOLLOW_S)


@app.command()
def env() -> None:
    """Print the variables that lead clients here: `eval "$(batchline local env)"`."""
    with _plain_errors():
        current = cloud.as_running(settings.from_environment())
    for name, value in current.client_environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def deploy() -> None:
    """Build and deploy the template to the local cloud."""
    with _plain_errors():
        deployment.deploy(settings.from_environment(), tell=typer.echo)


@app.command()
def validate() -> None:
    """Check the template with AWS SAM and its linter; nothing has to run."""
    with _plain_errors():
        deployment.validate(settings.from_environment(), tell=typer.echo)


@app.command()
def bedrock(
    *,
    port: Annotated[int, typer.Option(help="Where it listens on 127.0.0.1.")] = 4567,
) -> None:
    """Run the Bedrock emulator alone, in the foreground."""
    # Loaded only here: a web server's imports would slow down every other command.
    from local.bedrock import __main__ as emulator  # noqa: PLC0415

    emulator.main(["--port", str(port)])


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Show an error of the local cloud as its sentence, without a traceback."""
    try:
        yield
    except LocalCloudError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
