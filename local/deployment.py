"""Deploys the repository's template to the local cloud with AWS SAM, as one would to AWS."""

import os
import platform
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from local import cloud, environments
from local.errors import LocalCloudError
from local.settings import REGION, REPOSITORY, Settings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

CONFIG_ENV = "local"
# Named here, since the bucket that sam makes by itself costs a stack of its own each time.
ARTIFACTS_BUCKET = "batchline-artifacts"
ARCHITECTURES = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
SOURCES = ("functions", "layers")
FILES = ("template.yaml", "samconfig.toml", "requirements/layer.txt")
# Resource types that LocalStack only pretends to create and that the local cloud can do without.
KNOWN_FALLBACKS: frozenset[str] = frozenset()
FALLBACK = re.compile(r"Resource type (\S+) is not supported but was deployed as a fallback")
# A stack in one of these states can't be updated, only deleted.
STUCK = frozenset({"CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"})
OUTPUT_LINES = 40

type Tell = Callable[[str], None]


@dataclass(frozen=True)
class SamConfig:
    """What samconfig.toml says about the local environment."""

    stack_name: str
    parameters: Mapping[str, str]
    build_dir: Path


def deploy(settings: Settings, *, tell: Tell = print) -> None:
    """Build what changed, deploy the stack and see that LocalStack really created all of it.

    Raises LocalCloudError when nothing runs, or with sam's own words when it fails.
    """
    settings = cloud.as_running(settings)
    if not cloud.is_healthy(f"{settings.localstack_url}/_localstack/health"):
        raise LocalCloudError(
            f"Nothing answers at {settings.localstack_url}: run `batchline local up` first."
        )
    with cloud.one_at_a_time(settings, "deploy"):
        if environments.ensure(environments.sam(settings)):
            tell("Installed sam.")
        _bring_up_to_date(settings, sam_config(REPOSITORY / "samconfig.toml"), tell)


def _bring_up_to_date(settings: Settings, config: SamConfig, tell: Tell) -> None:
    overrides = {
        **config.parameters,
        "Architecture": architecture(),
        "BedrockEndpoint": settings.bedrock_url,
    }
    digest = inputs_digest(overrides)
    client = _client(settings, "cloudformation")
    stack = _stack(client, config.stack_name)
    deployed = config.build_dir.parent / "deployed"
    if stack and deployed.exists() and deployed.read_text() == _deployed(digest, stack):
        tell(f"Stack {config.stack_name} is up to date.")
        return
    _build(settings, config, overrides, digest, tell)
    if stack and stack["StackStatus"] in STUCK:
        client.delete_stack(StackName=config.stack_name)
        client.get_waiter("stack_delete_complete").wait(
            StackName=config.stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    _client(settings, "s3").create_bucket(Bucket=ARTIFACTS_BUCKET)
    began = time.monotonic()
    _sam(
        settings,
        "deploy",
        *("--no-resolve-s3", "--s3-bucket", ARTIFACTS_BUCKET),
        *_parameter_overrides(overrides),
    )
    expect_real_resources(_stack_events(client, config.stack_name))
    if stack := _stack(client, config.stack_name):
        deployed.write_text(_deployed(digest, stack))
    tell(f"Deployed {config.stack_name} ({time.monotonic() - began:.1f} s)")


def validate(settings: Settings, *, tell: Tell = print) -> None:
    """Check the template as AWS would read it. Raises LocalCloudError with sam's own words."""
    if environments.ensure(environments.sam(settings)):
        tell("Installed sam.")
    _sam(settings, "validate", "--lint")
    tell("template.yaml is valid.")


def sam_config(path: Path) -> SamConfig:
    """Read the environment `local` of samconfig.toml."""
    tables: dict[str, Any] = tomllib.loads(path.read_text())[CONFIG_ENV]
    words = tables["deploy"]["parameters"].get("parameter_overrides", "").split()
    return SamConfig(
        stack_name=tables["global"]["parameters"]["stack_name"],
        parameters=dict(word.split("=", 1) for word in words),
        build_dir=REPOSITORY / tables["build"]["parameters"]["build_dir"],
    )


def architecture(machine: str | None = None) -> str:
    """Name this machine's processor as Lambda does: functions run on it as they are.

    Raises LocalCloudError for a processor that Lambda does not have.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise LocalCloudError(f"Functions can't run on a {machine} processor, only on x86_64 or arm64.")
    return ARCHITECTURES[machine]


def expect_real_resources(events: Iterable[Mapping[str, Any]]) -> None:
    """Raise LocalCloudError for resource types that LocalStack only pretended to create."""
    found = (FALLBACK.search(event.get("ResourceStatusReason", "")) for event in events)
    pretended = {match[1] for match in found if match} - KNOWN_FALLBACKS
    if pretended:
        raise LocalCloudError(
            f"LocalStack lacks {', '.join(sorted(pretended))} and only pretended to create it: take "
            "it out of the template, or add it to KNOWN_FALLBACKS if nothing needs it here."
        )


def inputs_digest(overrides: Mapping[str, str]) -> str:
    """Make one checksum over all that a build depends on."""
    files = [REPOSITORY / name for name in FILES]
    for folder in SOURCES:
        files += sorted(
            path
            for path in (REPOSITORY / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
    return f"{environments.digest(files)} {sorted(overrides.items())}"


def _build(
    settings: Settings,
    config: SamConfig,
    overrides: Mapping[str, str],
    digest: str,
    tell: Tell,
) -> None:
    """Run `sam build` unless the last one had the same inputs: sam needs seconds to find out."""
    stamp = config.build_dir.parent / "built"
    if stamp.exists() and stamp.read_text() == digest and config.build_dir.exists():
        return
    began = time.monotonic()
    stamp.unlink(missing_ok=True)
    _sam(settings, "build", *_parameter_overrides(overrides))
    stamp.write_text(digest)
    tell(f"Built the functions and layers ({time.monotonic() - began:.1f} s)")


def _sam(settings: Settings, *arguments: str) -> None:
    """Run sam quietly. Raises LocalCloudError with its last lines when it fails."""
    home = environments.sam(settings)
    # sam builds layers with the `python3.13` that it finds: ours.
    path = [str(home.folder / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    shell = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(  # noqa: S603
        [home.program("sam"), *arguments, "--config-env", CONFIG_ENV],
        check=False,
        cwd=REPOSITORY,
        env={
            **shell,
            **settings.client_environment(),
            "PATH": os.pathsep.join(path),
            "SAM_CLI_TELEMETRY": "0",
            # Seconds; sam's own 5 suit AWS.
            "SAM_CLI_POLL_DELAY": "0.3",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        end = "\n".join(done.stdout.rstrip().splitlines()[-OUTPUT_LINES:])
        raise LocalCloudError(f"sam {arguments[0]} failed:\n{end}")


def _parameter_overrides(overrides: Mapping[str, str]) -> Iterator[str]:
    yield "--parameter-overrides"
    yield " ".join(f"{name}={value}" for name, value in overrides.items())


def _client(settings: Settings, service: str) -> Any:
    env = settings.client_environment()
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=settings.localstack_url,
        region_name=REGION,
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def _stack(client: "CloudFormationClient", stack_name: str) -> "StackTypeDef | None":
    # All are listed, because a look-up by name answers with an error where there is none.
    for page in client.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            if stack["StackName"] == stack_name:
                return stack
    return None


def _deployed(digest: str, stack: "StackTypeDef") -> str:
    """Say what was deployed as which state of which stack; a new LocalStack has no such stack."""
    changed = stack.get("LastUpdatedTime", stack["CreationTime"])
    return f"{digest}\n{stack['StackId']} {changed.isoformat()} {stack['StackStatus']}"


def _stack_events(client: "CloudFormationClient", stack_name: str) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator("describe_stack_events").paginate(StackName=stack_name):
        yield from page["StackEvents"]
