import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from batchline.aws import clients
from batchline.cli import app
from batchline.cli.session import Session
from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from moto import mock_aws
from typer.testing import CliRunner

from tests import template
from tests.integration.conftest import open_world
from tests.integration.world import INBOX, WORK, World

CLIENTS = ("s3", "dynamodb", "sqs", "sts", "cloudformation")


# Enough rows for a batch job, one record each.
ROWS = "a\n" + "".join(f"row {n}\n" for n in range(120))


def forget_clients() -> None:
    for name in CLIENTS:
        getattr(clients, name).cache_clear()


@contextlib.contextmanager
def own_clients() -> Iterator[None]:
    """Clients of a test's own Region and endpoints, and none of them for others."""
    forget_clients()
    yield
    forget_clients()


@dataclass(frozen=True)
class Said:
    """What a command wrote and how it ended."""

    out: str
    err: str
    code: int

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*args: str, width: int | None = 100) -> Said:
    """Run `batchline ARGS`; an exception that it does not handle fails the test."""
    environment = {"COLUMNS": str(width) if width else None, "TERM": "dumb"}
    result = CliRunner().invoke(app, args, env=environment, catch_exceptions=False)
    return Said(result.stdout, result.stderr, result.exit_code)


@dataclass(frozen=True)
class Stacks:
    """CloudFormation as far as its answer to DescribeStacks: outputs and parameters of stacks by name."""

    known: dict[str, dict[str, str]] = field(default_factory=dict)
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)

    def install(self) -> None:
        events = clients.cloudformation().meta.events
        answer: Any = self._answer
        events.register("before-call.cloudformation.DescribeStacks", answer)

    def _answer(self, params: Mapping[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        name = params["body"]["StackName"]
        if name not in self.known:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            return self._reply(400, {"Error": error})
        found = [{"OutputKey": key, "OutputValue": one} for key, one in self.known[name].items()]
        given = self.parameters.get(name, {})
        parameters = [{"ParameterKey": key, "ParameterValue": one} for key, one in given.items()]
        stack = {
            "StackName": name,
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": found,
            "Parameters": parameters,
        }
        return self._reply(200, {"Stacks": [stack]})

    @staticmethod
    def _reply(status: int, said: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
        url, headers = "https://cloudformation.us-east-1.amazonaws.com", HTTPHeaders()
        said = said | {"ResponseMetadata": {"HTTPStatusCode": status}}
        return AWSResponse(url, status, headers, None), said


@dataclass
class Cli:
    """The command line in front of a world: while it waits, the world goes on."""

    world: World
    run: Callable[..., Said] = run
    stacks: Stacks = field(default_factory=Stacks)
    notified: set[str] = field(default_factory=set)
    waits: int = 0

    def upload(self, key: str, data: str) -> None:
        """Upload as people do: the stages hear of it while a command waits."""
        self.world.upload(key, data, send=False)

    def pipeline(self, name: str, **keys: Any) -> None:
        """Have a pipeline in force."""
        self.world.pipeline(name, **keys)
        self.notified |= {one["VersionId"] for one in uploads()}
        self.world.deliver_all()

    def pause(self, _seconds: float) -> None:
        """Tell of what is new in the inbox, as S3 does, and let a minute pass."""
        self.waits += 1
        assert self.waits < 30, "the command waits for something that does not come"
        self.notify()
        self.world.minute()

    def notify(self) -> None:
        for one in uploads():
            if one["VersionId"] not in self.notified:
                self.notified.add(one["VersionId"])
                body = self.world.notification(one["Key"], one["Size"], one["VersionId"])
                self.world.send("UploadsQueue", body)

    def settle(self) -> None:
        self.notify()
        self.world.run()


def uploads() -> list[Any]:
    """List the versions of all objects in the inbox, oldest first."""
    found = clients.s3().list_object_versions(Bucket=INBOX).get("Versions", [])
    found.reverse()  # S3 lists a key's newest version first and tells times in whole seconds
    return sorted(found, key=lambda one: one["LastModified"])


def outputs(queues: Mapping[str, str], left_out: Sequence[str] = ()) -> dict[str, str]:
    """The outputs that template.yaml promises and the command line reads, as the world names things."""
    promised = template.load()["Outputs"]
    found = {"InboxBucket": INBOX, "WorkBucket": WORK}
    found |= {f"{name}Table": name for name in template.tables()}
    found |= queues
    assert set(found) <= set(promised)
    return {key: value for key, value in found.items() if key not in left_out}


@contextlib.contextmanager
def open_cli() -> Iterator[Cli]:
    """A command line in front of a fresh Batchline."""
    with (
        pytest.MonkeyPatch.context() as patch,
        own_clients(),
        mock_aws(),
        open_world(patch, others=BaseClient._make_api_call) as begin,
    ):
        world = begin()
        world.fatal = True
        made = Cli(world)
        made.stacks.known["batchline"] = outputs(world.queues)
        made.stacks.install()
        patch.setattr("batchline.clock.now", world.clock)
        patch.setattr(Session, "pause", lambda _run, seconds: made.pause(seconds))
        yield made


@pytest.fixture
def cli() -> Iterator[Cli]:
    with open_cli() as made:
        yield made
