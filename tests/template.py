"""The template as data, so that tests make the very tables and queues that a deployment makes."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = REPOSITORY / "template.yaml"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short tags as their long form: `!Ref X` as `{"Ref": "X"}`."""


def _intrinsic(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {"Fn::GetAtt": value.split(".", 1)} if tag == "GetAtt" else {_long(tag): value}
    if isinstance(node, yaml.SequenceNode):
        return {_long(tag): loader.construct_sequence(node, deep=True)}
    raise yaml.constructor.ConstructorError(problem=f"!{tag} of a mapping", problem_mark=node.start_mark)


def _long(tag: str) -> str:
    return tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def load() -> dict[str, Any]:
    """Read template.yaml. Everybody gets the same object: don't change it."""
    template = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader=_Loader)
    assert isinstance(template, dict)
    return template


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id of the resources of a kind, e.g. `AWS::SQS::Queue`."""
    return {
        name: resource.get("Properties", {})
        for name, resource in load()["Resources"].items()
        if resource["Type"] == kind
    }


def tables() -> dict[str, dict[str, Any]]:
    """Arguments of DynamoDB's `create_table` by logical id, which is the table's name too."""
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {
        name: {"TableName": name} | {key: properties[key] for key in wanted if key in properties}
        for name, properties in resources("AWS::DynamoDB::Table").items()
    }


def queues() -> dict[str, dict[str, Any]]:
    """Arguments of SQS's `create_queue` by logical id, without the redrive to another queue."""
    return {
        name: {
            "QueueName": name,
            "Attributes": {
                key: str(properties[key])
                for key in ("VisibilityTimeout", "MessageRetentionPeriod")
                if key in properties
            },
        }
        for name, properties in resources("AWS::SQS::Queue").items()
    }


def environment(function: str) -> dict[str, Any]:
    """The variables that the template sets for a function alone, intrinsics unresolved."""
    found: dict[str, Any] = resources("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    return found
