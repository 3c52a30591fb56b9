"""The world of the fault tests: on a quick AWS, and with limits so small that few records show a lot."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stamina
from batchline import catalog, chunk
from batchline.catalog import Limits
from botocore.client import BaseClient

from tests.integration import world as worlds
from tests.integration.calls import Calls
from tests.integration.conftest import CREDENTIALS
from tests.integration.fake_bedrock import Account
from tests.integration.world import Clock, World
from tests.quick.cloud import Cloud
from tests.quick.queues import Queue

type Make = Callable[[], World]

FEW = 4


def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        catalog,
        "limits",
        lambda _model: Limits(
            min_records=FEW,
            max_records=40,
            max_file_bytes=1_000_000,
            max_job_bytes=1_000_000,
            concurrent_jobs=3,
        ),
    )
    monkeypatch.setattr(chunk, "SMALL_RECORDS", 3)
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 4)


@contextlib.contextmanager
def open_quick_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Yield what builds a fresh Batchline at nine in the morning, as often as it is called."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    clouds: list[Cloud] = []
    current: list[World] = []

    def call(client: BaseClient, operation: str, parameters: Any) -> Any:
        name = f"{client.meta.service_model.service_name}.{operation}"

        def go() -> Any:
            return clouds[-1].call(client, operation, parameters)

        return current[-1].calls.pass_on(name, parameters, go) if current else go()

    def begin() -> World:
        current.clear()
        clock, calls = Clock(), Calls()
        clouds[:] = [Cloud(clock)]
        world = World(clock, calls, Account(clock, calls), worlds.create())
        world.bedrock.minimum = FEW
        world.fatal = False
        current.append(world)
        return world

    def queue(name: str) -> Queue:
        return clouds[-1].queue(name)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    monkeypatch.setattr(World, "_queue", staticmethod(queue))
    with stamina.set_testing(True, attempts=12, cap=True):
        yield begin


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make worlds, one after the other; an error of a stage only brings its message back."""
    small_limits(monkeypatch)
    with open_quick_world(monkeypatch) as begin:
        yield begin
