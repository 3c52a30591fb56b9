"""Where the local cloud lives: folders, ports and addresses, and how clients reach it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.errors import LocalCloudError

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
REGION = "us-east-1"
LOCALSTACK_PORT = "BATCHLINE_LOCALSTACK_PORT"
BEDROCK_PORT = "BATCHLINE_BEDROCK_PORT"
MAX_PORT = 65535


@dataclass(frozen=True)
class Settings:
    """One local cloud.

    `installed` holds its Python environments; `run` is for what belongs to one run: records of
    processes, logs, temporary files. `foreign_endpoint` is the address of a LocalStack that
    somebody else runs, used instead of ours.
    """

    installed: Path = REPOSITORY / ".local"
    run: Path = REPOSITORY / ".local" / "run"
    localstack_port: int = 4566
    bedrock_port: int = 4567
    foreign_endpoint: str | None = None

    @property
    def localstack_url(self) -> str:
        return self.foreign_endpoint or f"http://{HOST}:{self.localstack_port}"

    @property
    def bedrock_url(self) -> str:
        return f"http://{HOST}:{self.bedrock_port}"

    def client_environment(self) -> dict[str, str]:
        """Name the variables by which boto3, the AWS CLI and sam reach this cloud, not AWS."""
        return {
            "AWS_ENDPOINT_URL": self.localstack_url,
            "AWS_ENDPOINT_URL_BEDROCK": self.bedrock_url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.bedrock_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
        }


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the ports and a foreign LocalStack's address from the environment.

    An AWS_ENDPOINT_URL that names our own port is what `client_environment` exported, so it is not
    foreign. Raises LocalCloudError for a port that is none.
    """
    localstack_port = _port(environ, LOCALSTACK_PORT, Settings.localstack_port)
    endpoint = environ.get("AWS_ENDPOINT_URL", "").rstrip("/")
    own = {f"http://{name}:{localstack_port}" for name in (HOST, "localhost")}
    return Settings(
        localstack_port=localstack_port,
        bedrock_port=_port(environ, BEDROCK_PORT, Settings.bedrock_port),
        foreign_endpoint=endpoint if endpoint and endpoint not in own else None,
    )


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PORT:
        raise LocalCloudError(f"{name} is {text!r}, but must be a port from 1 to {MAX_PORT}.")
    return int(text)
