"""Small jobs are answered one call a record, in the format of Bedrock's batch."""

import json
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Any, Self

import pytest
from batchline.aws import invoke
from batchline.aws.runtime import CallError, Runtime
from batchline.models import Tier
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from tests.faults import audit
from tests.integration.fake_bedrock import Say, echo, prompt_of
from tests.integration.test_pack import ready, upload
from tests.integration.world import World

URL = "https://bedrock-runtime"


@pytest.fixture
def opened(world: World) -> World:
    ready(world, max_wait="0s", attempts=2)
    upload(world, 60)
    world.pack()
    return world


def run(world: World) -> None:
    world.handle("OnDemandQueue", world.receive("OnDemandQueue", 1))


def test_the_output_is_what_a_batch_job_writes(opened: World) -> None:
    run(opened)
    row = opened.job()
    assert (row["status"], row["answered"]) == ("RUNNING", True)
    folder = f"jobs/{row['job_id']}/output/{row['job_id']}/"
    lines = [json.loads(line) for line in opened.object(f"{folder}0000.jsonl.out").splitlines()]
    assert len(lines) == 60
    assert set(lines[0]) == {"recordId", "modelInput", "modelOutput"}
    assert json.loads(opened.object(f"{folder}manifest.json.out")) == {
        "totalRecordCount": 60,
        "processedRecordCount": 60,
        "successRecordCount": 60,
        "errorRecordCount": 0,
        "inputTokenCount": 6000,
        "outputTokenCount": 1200,
    }
    opened.run()
    assert opened.document()["status"] == "COMPLETED"
    audit.check_end(opened)


def test_collect_is_rung_when_the_lease_is_given_back(opened: World) -> None:
    """Collect would find the lease taken otherwise, and nobody would ring again for minutes."""
    leases: list[bool] = []

    def look(name: str, _parameters: Any) -> None:
        if name == "sqs.SendMessage":
            leases.append("lease_owner" in opened.job())

    opened.calls.watch = look
    run(opened)
    assert leases == [False]


def test_an_answered_job_is_not_asked_again(opened: World) -> None:
    run(opened)
    opened.send("OnDemandQueue", {"job_id": opened.job()["job_id"]})
    run(opened)
    opened.run()
    audit.check_end(opened)


def test_a_run_that_is_out_of_time_rings_for_the_next(opened: World) -> None:
    """Each call takes ten seconds of the clock: 24 of them, and 420 more must be left."""

    def slow(record_id: str, body: dict[str, Any]) -> Say:
        opened.clock.advance(10)
        return echo(record_id, body)

    opened.bedrock.answer = slow
    invoker = opened.invoker()
    job_id = opened.job()["job_id"]
    until = opened.clock() + timedelta(seconds=600)
    opened.calls.begin("invoke")
    assert invoker.run(job_id, "first", until=until) == 24
    opened.calls.end()
    assert opened.bodies("OnDemandQueue")[-1] == {"job_id": job_id}
    assert "lease_owner" not in opened.job()
    assert len(list(opened.keys(f"jobs/{job_id}/checkpoints/"))) == 1
    opened.run()
    assert opened.document()["status"] == "COMPLETED"
    audit.check_end(opened)


class InTurn:
    """A pool that makes one call whenever it is waited for."""

    def __init__(self, _workers: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def submit(self, do: Any, *arguments: Any) -> Future[bytes]:
        call: Future[bytes] = Future()
        call.do = partial(do, *arguments)  # type: ignore[attr-defined]
        return call

    @staticmethod
    def wait(waiting: set[Any], **_how: Any) -> tuple[set[Any], set[Any]]:
        call = next(iter(waiting))
        call.set_result(call.do())
        return {call}, waiting - {call}


def test_the_lease_is_kept_while_answers_take_long(opened: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight minutes for one round of calls; nobody else may begin the job meanwhile."""

    def slow(record_id: str, body: dict[str, Any]) -> Say:
        opened.clock.advance(20)
        return echo(record_id, body)

    opened.bedrock.answer = slow
    monkeypatch.setattr(invoke, "ThreadPoolExecutor", InTurn)
    monkeypatch.setattr(invoke, "wait", InTurn.wait)
    invoker = opened.invoker()
    opened.calls.begin("invoke")
    assert invoker.run(opened.job()["job_id"], "slow", until=opened.clock() + timedelta(hours=2)) == 60
    opened.calls.end()
    renewals = [
        call
        for call in opened.calls.of("dynamodb.UpdateItem")
        if call.parameters["UpdateExpression"].startswith("SET #lease_owner") and call.stage == "invoke"
    ]
    # 24, 24 and 12 calls of 20 seconds: renewed whenever 30 have passed, taken once before.
    assert len(renewals) == 1 + 30


def test_records_that_the_model_refuses_are_tried_once_more(opened: World) -> None:
    opened.bedrock.answer = lambda _id, body: (
        Say(error=424) if prompt_of(body) == "row 7" else Say(f"ok {prompt_of(body)}")
    )
    opened.run()
    row = opened.document()
    assert (row["status"], row["succeeded"], row["failed"]) == ("PARTIAL", 59, 1)
    assert sorted(one["records"] for one in opened.jobs()) == [1, 60]
    (bad,) = [one for one in opened.results(row["document_id"]) if "error" in one]
    assert (bad["attempt"], bad["error"]["code"]) == (2, "MODEL_ERROR")
    audit.check_end(opened)


class Client:
    """Fails once in a given way, then answers."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def converse(self, **_asked: Any) -> dict[str, Any]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "repeat"),
    [
        (EndpointConnectionError(endpoint_url=URL), True),
        (ConnectTimeoutError(endpoint_url=URL), True),
        (ReadTimeoutError(endpoint_url=URL), False),
        (ConnectionClosedError(endpoint_url=URL), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_call_that_may_have_been_paid_for_is_not_repeated_at_once(error: Exception, repeat: bool) -> None:
    client: Any = Client(error)
    with pytest.raises(CallError) as caught:
        Runtime(client).converse("m", {}, Tier.DEFAULT)
    assert caught.value.worth_repeating is repeat
