"""The world of the fault tests: on a quick AWS, and with limits so small that few records show a lot."""

import contextlib
import functools
import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from batchline import catalog, chunk, pipelines
from batchline.aws import close, invoke, objects, pack, results, reuse
from batchline.catalog import Limits

from tests.faults.bedrock import MoodyAccount
from tests.faults.inline import InlineExecutor
from tests.integration.calls import Calls
from tests.integration.conftest import open_world
from tests.integration.world import NOVA, Clock, World

type Make = Callable[[], World]

FEW = 4
THREADED = (close, invoke, objects, pack, results, reuse)


def small_limits(monkeypatch: pytest.MonkeyPatch, *, min_records: int = FEW) -> None:
    monkeypatch.setattr(
        catalog,
        "limits",
        lambda _model: Limits(
            min_records=min_records,
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
    # The same in every world; half of the time would go there.
    monkeypatch.setattr(pipelines, "load", functools.cache(pipelines.load))
    monkeypatch.setattr(pipelines, "parse", functools.cache(pipelines.parse))
    environment, known = World.environment, dict[tuple[type, str], Any]()

    def environment_once(world: World, kind: type[Any]) -> Any:
        if (key := (kind, world.per_month)) not in known:
            known[key] = environment(world, kind)
        return known[key]

    monkeypatch.setattr(World, "environment", environment_once)
    # Ids come from what a test can seed.
    monkeypatch.setattr(secrets, "choice", random.choice)
    monkeypatch.setattr(secrets, "token_hex", lambda size: random.randbytes(size).hex())
    for module in THREADED:
        monkeypatch.setattr(module, "ThreadPoolExecutor", InlineExecutor)

    # What the requests are made of is checked in the integration tests, which takes its time.
    with open_world(monkeypatch, _account, check=lambda serve: serve) as begin:
        yield begin


def _account(clock: Clock, calls: Calls) -> MoodyAccount:
    made = MoodyAccount(clock, calls)
    made.minimum = catalog.limits(NOVA).min_records
    return made


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make worlds, one after the other; an error of a stage only brings its message back."""
    small_limits(monkeypatch)
    with open_quick_world(monkeypatch) as begin:
        yield begin


@pytest.fixture
def make_smallest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make worlds in which two records are enough for a batch."""
    small_limits(monkeypatch, min_records=2)
    with open_quick_world(monkeypatch) as begin:
        yield begin
