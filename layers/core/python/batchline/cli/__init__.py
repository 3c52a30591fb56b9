"""The command line: `batchline status`, `results`, `jobs`, `costs`, `upload`, `demo` and more.

Exit codes: 0 all is well; 1 something was done but is not well (documents that failed, a pipeline file
with a mistake, a demo that took too long); 2 what was asked cannot be done (wrong usage, no credentials,
no such stack, no answer, an unknown or ambiguous name).
"""

import os
from importlib.metadata import version
from typing import Annotated, Any, Final, override

import typer
from typer.core import TyperGroup

from batchline.aws.stack import plain_errors
from batchline.cli import (
    approve,
    audit,
    cache,
    cancel,
    checkout,
    costs,
    demo,
    estimate,
    failed,
    jobs,
    limits,
    models,
    pipelines,
    prices,
    recommend,
    redrive,
    results,
    resume,
    retry,
    review,
    status,
    upload,
)
from batchline.cli.session import NOT_DONE, Problem, Session
from batchline.errors import BatchlineError

FLAGS: Final = ("--json", "--local")
VALUED: Final = ("--stack", "--region")
PASSES_ALL: Final = "local"  # its arguments are the local cloud's own


class Commands(TyperGroup):
    """The commands; what people can do something about ends as one sentence on standard error."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, hoisted(args))

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            with plain_errors():
                return super().invoke(ctx)
        except (Problem, BatchlineError) as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(NOT_DONE) from error


def hoisted(args: list[str]) -> list[str]:
    """Put the global options first: people write them after the command as well."""
    first: list[str] = []
    rest: list[str] = []
    left = list(args)
    while left:
        one = left.pop(0)
        if one in FLAGS or one.startswith(tuple(f"{name}=" for name in VALUED)):
            first.append(one)
        elif one in VALUED:
            first += [one, *left[:1]]
            del left[:1]
        else:
            rest.append(one)
            if one == "--" or rest == [PASSES_ALL]:
                break
    return [*first, *rest, *left]


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Drop documents in a bucket; get model answers and the invoice in tables.",
    epilog="Exit codes: 0 all is well; 1 something is not (documents that failed, a pipeline file with a "
    "mistake, a wait that took too long); 2 it cannot be done (usage, credentials, stack, unknown name). "
    "The options above may also stand after the command.",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batchline {version('batchline')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    stack: Annotated[
        str, typer.Option(envvar="BATCHLINE_STACK", help="The name of the CloudFormation stack.")
    ] = "batchline",
    region: Annotated[
        str | None,
        typer.Option(
            envvar="AWS_REGION", help="Its Region; without it that of your AWS profile.", show_default=False
        ),
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Talk to the local cloud, not to AWS.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON; money as strings.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end."),
    ] = False,
) -> None:
    if region:
        os.environ["AWS_DEFAULT_REGION"] = region  # the one that boto3 reads
    if local:
        os.environ.update(checkout.client_environment())
    context.obj = Session(stack_name=stack, as_json=as_json)


app.command()(demo.demo)
app.command()(upload.upload)
app.command()(status.status)
app.command()(results.results)
app.command()(jobs.jobs)
app.command()(costs.costs)
app.command(name="estimate")(estimate.command)
app.command(name="recommend")(recommend.command)
app.command()(failed.failed)
app.command()(retry.retry)
app.command()(cancel.cancel)
app.command()(resume.resume)
app.command()(approve.approve)
app.command()(review.review)
app.command()(redrive.redrive)
app.command()(audit.audit)
app.command(name="cache")(cache.command)
app.command(name="pipelines")(pipelines.listed)
app.add_typer(pipelines.app, name="pipeline")
app.command()(models.models)
app.add_typer(limits.app, name="limits")
app.add_typer(prices.app, name="prices")


@app.command(
    name="local",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def local_cloud(context: typer.Context) -> None:
    """Run the local cloud on this machine (in a checkout of the repository)."""
    checkout.module("cli").app(args=context.args, prog_name="batchline local")
