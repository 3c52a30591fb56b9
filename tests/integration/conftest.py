import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.client import BaseClient

from tests.integration import world as worlds
from tests.integration.calls import Calls
from tests.integration.fake_bedrock import Account
from tests.integration.moto_world import open_moto_world
from tests.integration.passing import Serve, passing, validated
from tests.integration.world import Clock, World
from tests.quick.cloud import Cloud


@contextlib.contextmanager
def open_world(
    monkeypatch: pytest.MonkeyPatch,
    account: Callable[[Clock, Calls], Account] = Account,
    *,
    others: Serve | None = None,
    check: Callable[[Serve], Serve] = validated,
) -> Iterator[Callable[[], World]]:
    """Yield what builds a fresh Batchline at nine in the morning, as often as it is called.

    Its AWS is the quick one. `others` serves the services that this does not have, `check` sees calls first.
    """
    clouds: list[Cloud] = []

    def serve(client: BaseClient, operation: str, parameters: Any) -> Any:
        if others and client.meta.service_model.service_name not in clouds[-1].services:
            return others(client, operation, parameters)
        return clouds[-1].call(client, operation, parameters)

    with passing(monkeypatch, check(serve)) as current:

        def begin() -> World:
            current.clear()
            clock, calls = Clock(), Calls()
            clouds[:] = [Cloud(clock)]
            current.append(World(clock, calls, account(clock, calls), worlds.create(), clouds[-1]))
            return current[-1]

        yield begin


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh Batchline. An error of a stage fails the test."""
    with open_world(monkeypatch) as begin:
        made = begin()
        made.fatal = True
        yield made


@pytest.fixture
def moto_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The same on moto."""
    with open_moto_world(monkeypatch) as begin:
        made = begin()
        made.fatal = True
        yield made
