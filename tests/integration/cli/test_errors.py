"""What people meet before or instead of an answer: one sentence and an exit code."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from batchline.aws import clients
from batchline.cli import app
from botocore.stub import Stubber
from typer.testing import CliRunner

from tests.integration.cli.conftest import Cli, outputs, own_clients, run
from tests.ports import free_port

VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "BATCHLINE_STACK"),
)


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """A machine without any settings of AWS."""
    for name in VARIABLES:
        # Set first, so that what a command sets is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # boto3 makes clients from a session that remembers the credentials it has found once.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with own_clients():
        yield monkeypatch


def sentence(*args: str) -> str:
    """Run a command that must fail before it writes anything but a sentence."""
    said = run(*args)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Error: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("Error: ").rstrip()


def test_no_region(nothing_set: pytest.MonkeyPatch) -> None:
    assert sentence("status").startswith("No Region is set: add --region or set AWS_REGION")


@pytest.mark.parametrize("region", [["--region", "eu-west-1"], ["--region=eu-west-1"]])
def test_no_credentials(nothing_set: pytest.MonkeyPatch, region: list[str]) -> None:
    assert sentence("status", *region).startswith(
        "No usable AWS credentials (Unable to locate credentials): set AWS_PROFILE"
    )


def test_the_region_of_the_environment_is_taken(nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("AWS_REGION", "eu-west-1")
    assert "credentials" in sentence("status")


def test_a_profile_that_does_not_exist(nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("AWS_PROFILE", "nobody")
    assert "The config profile (nobody) could not be found" in sentence("status")


def test_nothing_answers(nothing_set: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    nothing_set.setenv("AWS_ENDPOINT_URL", endpoint)
    nothing_set.setenv("AWS_ACCESS_KEY_ID", "test")
    nothing_set.setenv("AWS_SECRET_ACCESS_KEY", "test")
    said = sentence("status", "--region", "us-east-1")
    assert said.startswith(f"Nothing answers at {endpoint}: the local cloud does not run.")
    assert "`make demo` or `batchline local up`" in said


@pytest.mark.parametrize("how", ["option", "variable"])
def test_no_such_stack(cli: Cli, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "variable":
        monkeypatch.setenv("BATCHLINE_STACK", "other")
    said = sentence("status", *(["--stack", "other"] if how == "option" else []))
    assert said.startswith("There is no stack 'other' in us-east-1: deploy it with `sam deploy`")
    assert "--stack or BATCHLINE_STACK" in said


def test_a_stack_that_is_not_ours(cli: Cli) -> None:
    cli.stacks.known["site"] = outputs(cli.world.queues, left_out=["JobsTable", "CostsTable"])
    said = sentence("status", "--stack", "site")
    assert "has no output JobsTable, CostsTable: is it Batchline?" in said


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("ExpiredToken", 400, "AWS does not take the credentials (ExpiredToken): sign in again"),
        ("AccessDenied", 403, "Your AWS identity may not call DescribeStacks: Because."),
        ("ResourceNotFoundException", 400, "Something of the stack is gone (DescribeStacks: Because.)"),
        ("ServiceUnavailable", 503, "AWS cannot answer DescribeStacks now (ServiceUnavailable)"),
    ],
)
def test_refusals_say_what_to_do(nothing_set: pytest.MonkeyPatch, code: str, status: int, said: str) -> None:
    nothing_set.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with Stubber(clients.cloudformation()) as stubber:
        stubber.add_client_error("describe_stacks", code, service_message="Because.", http_status_code=status)
        assert sentence("status").startswith(said)


def test_an_error_that_nobody_can_act_on_is_not_hidden(nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with Stubber(clients.cloudformation()) as stubber:
        stubber.add_client_error("describe_stacks", "MalformedQueryString", http_status_code=400)
        result = CliRunner().invoke(app, ["status"])
    assert type(result.exception).__name__ == "ClientError"


def test_a_table_that_is_gone(cli: Cli) -> None:
    clients.dynamodb().delete_table(TableName="Control")
    assert sentence("status").startswith("Something of the stack is gone (Query: ")


def test_wrong_usage_exits_2() -> None:
    for args in (["status", "--days", "0"], ["results"], ["costs", "--day", "today"], ["nonsense"]):
        assert run(*args).code == 2
    both = run("costs", "--document", "a", "--job", "b")
    assert both.code == 2
    assert "give --document or --job, not both" in both.err


def test_version_and_help() -> None:
    assert run("--version").out.startswith("batchline 0.")
    said = run("--help")
    assert said.code == 0
    for command in (
        *("demo", "upload", "status", "results", "jobs", "costs", "pipelines", "pipeline", "local"),
    ):
        assert f" {command} " in said.out
    assert "Exit codes" in said.out


def test_the_local_cloud_has_its_own_commands_and_options() -> None:
    said = run("local", "--help")
    assert said.code == 0
    assert "batchline local" in said.out
    assert " deploy " in said.out


def test_local_leads_to_the_local_cloud(nothing_set: pytest.MonkeyPatch) -> None:
    port = free_port()
    nothing_set.setenv("BATCHLINE_LOCALSTACK_PORT", str(port))
    # A cloud of another port than the one that may run on this machine.
    nothing_set.setattr("local.cloud.as_running", lambda settings: settings)
    for name in ("AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"):
        nothing_set.setenv(name, "")
    assert sentence("status", "--local").startswith(f"Nothing answers at http://127.0.0.1:{port}")


def test_a_wrong_port_of_the_local_cloud_is_one_sentence(nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("BATCHLINE_LOCALSTACK_PORT", "many")
    assert "BATCHLINE_LOCALSTACK_PORT is 'many'" in sentence("--local", "status")
