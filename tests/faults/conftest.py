"""The world of the integration tests, with small limits so that few records show what many would."""

from collections.abc import Callable, Iterator

import pytest
from batchline import catalog, chunk
from batchline.catalog import Limits

from tests.integration.conftest import open_world
from tests.integration.world import World

type Make = Callable[[], World]

FEW = 4


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make worlds, one after the other; an error of a stage only brings its message back."""
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
    with open_world(monkeypatch) as begin:

        def build() -> World:
            world = begin()
            world.bedrock.minimum = FEW
            world.fatal = False
            return world

        yield build
