"""A scenario: faults, limits and guardrails that an emulator starts with, as a YAML file.

BEDROCK_EMULATOR_FAULTS holds the same faults as JSON, for where a file is one thing too many.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from local.bedrock.faults import Faults
from local.bedrock.guardrails import Guardrail
from local.bedrock.limits import Limits


class Scenario(BaseModel):
    """What a file may hold; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faults: Faults = Field(default_factory=Faults)
    limits: Limits = Field(default_factory=Limits)
    guardrails: Mapping[str, Guardrail] = Field(default_factory=dict)


def load(path: Path) -> Scenario:
    """Read a scenario; pydantic's ValidationError or yaml's YAMLError where it is wrong."""
    return Scenario.model_validate(yaml.safe_load(path.read_bytes()) or {})
