"""The emulator's page names what exists: its scenario loads, its tables match the code."""

import re
from pathlib import Path

import yaml

from local.bedrock import controls, wire
from local.bedrock.faults import Faults
from local.bedrock.scenario import Scenario

PAGE = (Path(__file__).parents[3] / "local" / "bedrock" / "README.md").read_text()


def test_the_scenario_is_one_and_names_every_fault() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    content = yaml.safe_load(example[1])
    Scenario.model_validate(content)
    assert content["faults"].keys() == Faults.model_fields.keys()


def test_every_operation_is_listed() -> None:
    served = {name for names in wire.OPERATIONS.values() for name in names}
    assert served == {name for name in served if re.search(rf"\b{name}\b", PAGE)}


def test_every_control_is_listed() -> None:
    paths = {route.path.replace("{guardrail_id}", "{id}") for route in controls.ROUTES}
    assert paths == set(re.findall(r"`/?(?:GET`, `)?(?:GET|PUT|POST) /_emulator(/[^`]+)`", PAGE))
