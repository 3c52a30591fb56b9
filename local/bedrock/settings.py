"""What the emulator can be told: by the command line, or by BEDROCK_EMULATOR_* variables."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.bedrock.faults import Faults

DEFAULT_AWS_ENDPOINT = "http://127.0.0.1:4566"


def _endpoint(service: str) -> str:
    """Return where a service is. Never AWS itself: without a variable it is the local cloud."""
    own = os.environ.get(f"AWS_ENDPOINT_URL_{service}")
    return own or os.environ.get("AWS_ENDPOINT_URL") or DEFAULT_AWS_ENDPOINT


class Settings(BaseSettings):
    """Settings of one emulator. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="BEDROCK_EMULATOR_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=4567, ge=0, le=65535)
    account: str = Field(default="000000000000", pattern=r"^\d{12}$")
    region: str = "us-east-1"
    s3_endpoint: str = Field(default_factory=lambda: _endpoint("S3"))
    events_endpoint: str = Field(default_factory=lambda: _endpoint("EVENTS"))
    events: bool = True
    step_seconds: float = Field(default=0.5, ge=0)
    manual_clock: bool = False
    seed: int = 0
    scenario: Path | None = None
    faults: Faults | None = None
    model_endpoint: str | None = None
    model_name: str = "default"
    model_concurrency: int = Field(default=4, ge=1, le=256)
    model_timeout: float = Field(default=120, gt=0)
