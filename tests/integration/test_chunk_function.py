"""The handler of chunk: the order of a batch, what failed alone, and the time that is left."""

import importlib.util
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests import template
from tests.integration.test_chunk import ready
from tests.integration.world import World


@dataclass
class Context:
    left_ms: int = 900_000
    function_name: str = "chunk"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:chunk"
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


@pytest.fixture
def handle(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "1")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Batchline")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "batchline")
    spec = importlib.util.spec_from_file_location(
        "app", template.REPOSITORY / "functions" / "chunk" / "app.py"
    )
    assert spec
    assert spec.loader
    app = importlib.util.module_from_spec(spec)  # it reads the environment when it is imported
    spec.loader.exec_module(app)
    monkeypatch.setattr(app.clock, "now", world.clock)
    chunker = world.chunker()
    monkeypatch.setattr(app, "chunker", lambda: chunker)
    ready(world)

    def handle(*messages: tuple[str, Any, int], left_ms: int = 900_000) -> Any:
        records = [
            {
                "messageId": name,
                "body": json.dumps(body),
                "attributes": {"ApproximateReceiveCount": str(receives)},
                "eventSource": "aws:sqs",
            }
            for name, body, receives in messages
        ]
        return app.handler({"Records": records}, Context(left_ms))

    return handle


def test_a_batch_is_one_shard_and_what_fails_is_named(world: World, handle: Any) -> None:
    good = [world.upload(f"inbox/notes/{n}.txt", f"note {n}", send=False) for n in range(3)]
    broken = {"Records": [{"s3": {}}]}
    said = handle(("a", good[0], 1), ("b", broken, 1), ("c", good[1], 1), ("d", good[2], 1))
    assert said == {"batchItemFailures": [{"itemIdentifier": "b"}]}
    assert len(world.documents()) == 3
    assert len(world.pending()) == 1


def test_a_message_that_came_before_gets_a_shard_of_its_own(world: World, handle: Any) -> None:
    bodies = [world.upload(f"inbox/notes/{n}.txt", f"note {n}", send=False) for n in range(3)]
    handle(("a", bodies[0], 2), ("b", bodies[1], 1), ("c", bodies[2], 1))
    shards = sorted(len(one["ranges"]) for one in world.pending())
    assert shards == [1, 2]


def test_what_there_is_no_time_for_is_sent_again(world: World, handle: Any) -> None:
    body = world.upload("inbox/notes/a.txt", "note", send=False)
    assert handle(("a", body, 1), left_ms=299_000) == {"batchItemFailures": []}
    assert world.documents() == []
    assert world.bodies("UploadsQueue")[-1] == {**body, "hop": 1}
    handle(("b", {**body, "hop": 1}, 1), left_ms=301_000)
    assert len(world.documents()) == 1
