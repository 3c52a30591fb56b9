"""What is between boto3's clients and the AWS of a test: every call passes through those of the world."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stamina
from botocore.client import BaseClient
from botocore.exceptions import ParamValidationError
from botocore.validate import ParamValidator

from tests.integration.world import World

type Serve = Callable[[BaseClient, str, Any], Any]

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextlib.contextmanager
def passing(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> Iterator[list[World]]:
    """Serve all calls of all clients; yield where the world stands whose calls count, once there is one."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    current: list[World] = []

    def call(client: BaseClient, operation: str, parameters: Any) -> Any:
        name = f"{client.meta.service_model.service_name}.{operation}"

        def go() -> Any:
            return serve(client, operation, parameters)

        return current[-1].calls.pass_on(name, parameters, go) if current else go()

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    # It makes a class each time, which is more work than to answer the call.
    monkeypatch.setattr(BaseClient, "get_paginator", functools.cache(BaseClient.get_paginator))
    with stamina.set_testing(True, attempts=12, cap=True):
        yield current


def validated(serve: Serve) -> Serve:
    """Refuse what botocore would refuse to send."""
    validator = ParamValidator()

    def check(client: BaseClient, operation: str, parameters: Any) -> Any:
        shape = client.meta.service_model.operation_model(operation).input_shape
        report = validator.validate(parameters, shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())
        return serve(client, operation, parameters)

    return check
