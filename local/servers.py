"""The two servers of the local cloud: how each is started, and how one sees that it is ready."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import environments
from local.settings import BEDROCK_PORT, HOST, LOCALSTACK_PORT, Settings

# All that LocalStack gets of the shell's environment: many names mean something to it.
INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "USER")


@dataclass(frozen=True)
class Server:
    """A process to run. `port_variable` is what a user sets to move it to another port."""

    name: str
    title: str
    url: str
    health_url: str
    port: int
    port_variable: str
    command: tuple[str | Path, ...]
    env: Mapping[str, str]


def localstack(settings: Settings) -> Server:
    """LocalStack on the host, without Docker, with our plugins.

    Settings: https://docs.localstack.cloud/aws/capabilities/config/configuration/
    """
    home = environments.localstack(settings)
    address = f"{HOST}:{settings.localstack_port}"
    temporary = settings.run / "tmp"
    env = {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        "GATEWAY_LISTEN": address,
        "LOCALSTACK_HOST": address,
        "LOCALSTACK_ENV_FILE": os.devnull,
        "SQS_ENDPOINT_STRATEGY": "path",
        # Objects in S3 and code of functions go to the temporary folder, all else to the root.
        "TMPDIR": str(temporary),
        "FILESYSTEM_ROOT": str(temporary / "root"),
        # In a container LocalStack would take itself for its own image and use /var/lib/localstack.
        "OVERRIDE_IN_DOCKER": "0",
        # No name server, no certificate and no usage data from or to the internet.
        "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "LAMBDA_PROCESS_RUNTIMES": str(environments.runtime(settings).folder.parent),
        "PROVIDER_OVERRIDE_DYNAMODB": "moto",
        "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "moto",
        # Queues are looked at often, so that a demonstration doesn't wait.
        "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0.2",
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "0.5",
        "LAMBDA_RETRY_BASE_DELAY": "1",
    }
    return Server(
        name="localstack",
        title="LocalStack",
        url=settings.localstack_url,
        health_url=f"{settings.localstack_url}/_localstack/health",
        port=settings.localstack_port,
        port_variable=LOCALSTACK_PORT,
        command=(home.program("python"), "-m", "localstack.runtime.main"),
        env=env,
    )


def bedrock(settings: Settings) -> Server:
    """Describe the Bedrock emulator, a client of LocalStack for its buckets and events.

    It gets the shell's environment, where its own settings are, but no profile or region of AWS.
    """
    shell = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return Server(
        name="bedrock",
        title="The Bedrock emulator",
        url=settings.bedrock_url,
        health_url=f"{settings.bedrock_url}/_emulator/health",
        port=settings.bedrock_port,
        port_variable=BEDROCK_PORT,
        command=(sys.executable, "-m", "local.bedrock", "--port", str(settings.bedrock_port)),
        env={**shell, **settings.client_environment(), "PYTHONUNBUFFERED": "1"},
    )
