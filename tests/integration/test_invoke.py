"""Small jobs are answered one call a record, in the format of Bedrock's batch."""

import json
from collections import Counter
from concurrent.futures import Future
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Self

import pytest
from batchline import catalog
from batchline.aws import clients, invoke
from batchline.aws.runtime import CallError, Runtime
from batchline.models import Stop, Tier, Usage
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    ParamValidationError,
    ReadTimeoutError,
)

from tests.faults import audit
from tests.integration import fake_bedrock
from tests.integration.calls import Fault
from tests.integration.fake_bedrock import Say, echo, prompt_of
from tests.integration.test_pack import ready, upload
from tests.integration.world import World

URL = "https://bedrock-runtime"
LIMITS = catalog.limits("amazon.nova-lite-v1:0")


@pytest.fixture
def opened(world: World) -> World:
    ready(world, max_wait="0s", attempts=2)
    upload(world, 60)
    world.pack()
    return world


def small_limits(**quotas: int) -> catalog.Limits:
    """What a model allows, but for the quotas that a test names."""
    return catalog.Limits(**dict(LIMITS) | quotas)


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


def test_what_a_prompt_cache_held_is_booked_beside_the_rest(opened: World) -> None:
    opened.bedrock.answer = lambda _id, _body: Say("fine", usage=Usage(100, 20, 1000, 40))
    opened.run()
    # 60 records: 6,000 in, 1,200 out, 60,000 from the cache and 2,400 to it, at 0.06, 0.24, 0.015 and,
    # for Nova names no price of writing, 0.06 USD per million tokens:
    # 0.00036 + 0.000288 + 0.0009 + 0.000144
    usage, cost = Usage(6000, 1200, 60_000, 2400), Decimal("0.001692")
    whole = [*opened.costs("document#"), *opened.costs("day#"), *opened.costs("job#")]
    assert len(whole) == 3
    for row in (*whole, opened.document(), opened.job()):
        assert (Usage.of(row), row["cost_usd"], row["saved_usd"]) == (usage, cost, 0)
    price = {"input": Decimal("0.06"), "output": Decimal("0.24"), "basis": "list"}
    for row in whole:
        assert row["price"] == price | {"cache_read": Decimal("0.015"), "cache_write": Decimal("0.06")}
    # The manifest that is written for it counts as Bedrock's does, and agrees.
    (total,) = opened.costs("job#")
    assert (total["manifest_input_tokens"], total["manifest_output_tokens"]) == (6000, 1200)
    assert "difference" not in opened.job()
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

    map = staticmethod(map)

    @staticmethod
    def wait(waiting: set[Any], **_how: Any) -> tuple[set[Any], set[Any]]:
        call = next(iter(waiting))
        try:
            call.set_result(call.do())
        except CallError as error:
            call.set_exception(error)
        return {call}, waiting - {call}


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoke, "ThreadPoolExecutor", InTurn)
    monkeypatch.setattr(invoke, "wait", InTurn.wait)


def slowly(opened: World, seconds: float) -> None:
    """Let each call take so many seconds of the clock."""

    def slow(record_id: str, body: dict[str, Any]) -> Say:
        opened.clock.advance(seconds)
        return echo(record_id, body)

    opened.bedrock.answer = slow


def invoked(opened: World, *, seconds: float = 900, hop: int = 0) -> int:
    """Run one invocation that has so many seconds; return how many records it has answered."""
    invoker, job_id = opened.invoker(), opened.job()["job_id"]
    opened.calls.begin("invoke")
    try:
        until = opened.clock() + timedelta(seconds=seconds)
        return invoker.run(job_id, opened.owner(), until=until, hop=hop)
    finally:
        opened.calls.end()


def checkpoints(opened: World) -> list[int]:
    """Count the answers in each checkpoint of the only job."""
    keys = sorted(opened.keys(f"jobs/{opened.job()['job_id']}/checkpoints/"))
    return [len(opened.object(key).splitlines()) for key in keys]


@pytest.mark.usefixtures("in_turn")
def test_a_run_that_is_out_of_time_rings_for_the_next(opened: World) -> None:
    """Each call takes ten seconds, and 330 more must be left when it starts.

    Of 600 seconds 270 may pass before the last start: 16 calls at once, and one more whenever one ends.
    """
    slowly(opened, 10)
    assert invoked(opened, seconds=600) == 16 + 27
    assert opened.bodies("OnDemandQueue")[-1] == {"job_id": opened.job()["job_id"], "hop": 1}
    assert "lease_owner" not in opened.job()
    assert sum(checkpoints(opened)) == 43
    opened.run()
    assert opened.document()["status"] == "COMPLETED"
    assert max(opened.bedrock.paid.values()) == 1
    audit.check_end(opened)


@pytest.mark.usefixtures("in_turn")
def test_answers_are_written_down_every_fifteen_seconds(opened: World) -> None:
    """Answers come at 4, 8, 12, 16 and 20 seconds: the first of them has waited for 16 at the fifth."""
    slowly(opened, 4)
    assert invoked(opened) == 60
    assert checkpoints(opened) == [5] * 12


@pytest.mark.usefixtures("in_turn")
def test_answers_are_written_down_every_twenty(opened: World) -> None:
    assert invoked(opened) == 60
    assert checkpoints(opened) == [20, 20, 20]


@pytest.mark.usefixtures("in_turn")
def test_the_lease_is_kept_while_answers_take_long(opened: World) -> None:
    """Twenty minutes for sixty calls of twenty seconds; nobody else may begin the job meanwhile."""
    slowly(opened, 20)
    assert invoked(opened, seconds=7_200) == 60
    renewals = [
        call
        for call in opened.calls.of("dynamodb.UpdateItem")
        if call.parameters["UpdateExpression"].startswith("SET #lease_owner") and call.stage == "invoke"
    ]
    # Renewed after every second call, when 40 seconds have passed; taken once before.
    assert len(renewals) == 1 + 30


@pytest.mark.parametrize("at", [30, 45, 60, 75])
@pytest.mark.parametrize("fault", [Fault.DIED_BEFORE, Fault.DIED_AFTER])
def test_a_function_that_dies_repeats_little(opened: World, fault: Fault, at: int) -> None:
    """At most the answers since the last checkpoint, and the calls under way."""
    opened.fatal = False
    opened.calls.arm(fault, at)
    opened.run()
    assert opened.calls.struck
    assert opened.document()["status"] == "COMPLETED"
    twice = sum(times - 1 for times in opened.bedrock.paid.values())
    assert twice < invoke.CHECKPOINT_RECORDS + invoke.CONCURRENCY
    assert max(opened.bedrock.paid.values()) <= 2


@pytest.mark.usefixtures("in_turn")
def test_a_job_that_is_stopped_ends_at_its_next_checkpoint(opened: World) -> None:
    def answer(record_id: str, body: dict[str, Any]) -> Say:
        if sum(opened.bedrock.paid.values()) == 24:
            opened.invoker().jobs.stop(opened.job()["job_id"], Stop.DEADLINE)
        return echo(record_id, body)

    opened.bedrock.answer = answer
    # Seen when 40 are answered; 15 more are under way by then, and they are paid for.
    assert invoked(opened) == 55
    row = opened.job()
    assert (row["answered"], row["stop"]) == (True, "deadline")
    folder = f"jobs/{row['job_id']}/output/{row['job_id']}/"
    assert len(opened.object(f"{folder}0000.jsonl.out").splitlines()) == 55
    assert json.loads(opened.object(f"{folder}manifest.json.out"))["totalRecordCount"] == 55


def test_a_job_that_was_stopped_before_it_began_asks_nothing(opened: World) -> None:
    opened.invoker().jobs.stop(opened.job()["job_id"], Stop.DEADLINE)
    assert invoked(opened) == 0
    assert opened.job()["answered"]
    assert not opened.bedrock.paid


def test_records_of_cancelled_documents_are_not_asked(opened: World) -> None:
    invoker = opened.invoker()
    invoker.control.marks.cancel_document(opened.document()["document_id"], opened.clock())
    assert invoked(opened) == 0
    assert not opened.bedrock.paid


def test_a_model_that_is_asked_too_fast_is_asked_more_slowly(opened: World) -> None:
    asked: Counter[str] = Counter()

    def busy(record_id: str, body: dict[str, Any]) -> Say:
        asked[prompt_of(body)] += 1
        return Say(error=429) if asked[prompt_of(body)] <= 3 else echo(record_id, body)

    opened.bedrock.answer = busy
    before = opened.clock()
    assert invoked(opened) == 60
    assert set(asked.values()) == {4}
    assert opened.clock() > before
    opened.run()
    assert opened.document()["succeeded"] == 60
    assert [one["engine"] for one in opened.jobs()] == ["on_demand"]
    audit.check_end(opened)


def test_a_model_that_stays_busy_is_given_up_within_its_attempt(opened: World) -> None:
    opened.bedrock.answer = lambda _id, _body: Say(error=429)
    assert invoked(opened, seconds=100_000) == 60
    assert len(opened.calls.of("bedrock.Converse")) == 0  # none of them was answered
    folder = f"jobs/{opened.job()['job_id']}/output/"
    (key,) = [key for key in opened.keys(folder) if key.endswith(".jsonl.out")]
    errors = {json.loads(line)["error"]["errorCode"] for line in opened.object(key).splitlines()}
    assert errors == {429}


@pytest.mark.usefixtures("in_turn")
def test_the_models_quotas_are_kept(opened: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty records at twenty a minute: at 0, 60 and 120 seconds."""
    monkeypatch.setattr(catalog, "limits", lambda _model: small_limits(requests_per_minute=20))
    before = opened.clock()
    assert invoked(opened, seconds=7_200) == 60
    assert (opened.clock() - before).total_seconds() >= 120


@pytest.mark.usefixtures("in_turn")
def test_an_answer_that_was_lost_is_booked_as_unconfirmed_and_asked_once_more(opened: World) -> None:
    opened.calls.arm(Fault.REPLY_LOST, at=12)
    assert invoked(opened) == 60
    assert opened.calls.struck == "invoke bedrock.Converse"
    assert opened.job()["unconfirmed"] == 1
    opened.run()
    assert opened.document()["succeeded"] == 60
    assert sorted(one["records"] for one in opened.jobs()) == [1, 60]
    assert sorted(opened.bedrock.paid.values())[-2:] == [1, 2]


@pytest.mark.usefixtures("in_turn")
def test_a_job_goes_on_for_more_hops_than_lambda_would_allow(
    opened: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls a run, thirty runs; each message says how many there were before."""
    monkeypatch.setattr(invoke, "CONCURRENCY", 2)
    slowly(opened, 10)
    hops = 0
    while not opened.job().get("answered"):
        assert invoked(opened, seconds=331, hop=hops) in {0, 2}
        hops += 1
    assert hops == 30
    assert max(opened.bedrock.paid.values()) == 1


@pytest.mark.usefixtures("in_turn")
def test_a_job_ends_after_five_hundred_hops_with_what_it_has(opened: World) -> None:
    slowly(opened, 10)
    assert invoked(opened, seconds=600, hop=500) == 43
    assert opened.job()["answered"]
    opened.run()
    assert opened.document()["succeeded"] == 60  # the others at their next attempt
    assert max(opened.bedrock.paid.values()) == 1


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

    def invoke_model(self, **_asked: Any) -> dict[str, Any]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "repeat"),
    [
        (EndpointConnectionError(endpoint_url=URL), 503, True),
        (ConnectTimeoutError(endpoint_url=URL), 503, True),
        (ReadTimeoutError(endpoint_url=URL), 408, False),
        (ConnectionClosedError(endpoint_url=URL), 408, False),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), 408, False),
        (ParamValidationError(report="x"), 400, False),
        (fake_bedrock.error("Converse", "ThrottlingException", "slow down", status=429), 429, True),
        (fake_bedrock.error("Converse", "ModelTimeoutException", "too long", status=408), 408, False),
        (fake_bedrock.error("Converse", "ModelErrorException", "no", status=424), 424, False),
        (fake_bedrock.error("Converse", "ServiceUnavailableException", "no", status=503), 503, True),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("kind", ["Converse", "InvokeModel"])
def test_a_call_that_may_have_been_paid_for_is_not_repeated_at_once(
    error: Exception, code: int, repeat: bool, kind: str
) -> None:
    client: Any = Client(error)
    with pytest.raises(CallError) as caught:
        Runtime(client).ask("m", kind, {"messages": []}, Tier.DEFAULT)
    assert (caught.value.code, caught.value.worth_repeating) == (code, repeat)


def test_botocore_repeats_no_paid_call() -> None:
    assert clients.PAID.retries["total_max_attempts"] == 1


def test_a_picture_is_sent_as_bytes() -> None:
    asked: list[Any] = []

    class Sees:
        def converse(self, **request: Any) -> dict[str, Any]:
            asked.append(request)
            return {"ResponseMetadata": {}}

    client: Any = Sees()
    content = [{"image": {"format": "png", "source": {"bytes": "aGk="}}}, {"text": "what is it?"}]
    Runtime(client).ask("m", "Converse", {"messages": [{"role": "user", "content": content}]}, Tier.FLEX)
    (request,) = asked
    assert request["messages"][0]["content"][0] == {"image": {"format": "png", "source": {"bytes": b"hi"}}}
    assert request["serviceTier"] == {"type": "flex"}
    assert content[0] == {"image": {"format": "png", "source": {"bytes": "aGk="}}}


def test_an_embedding_says_what_it_has_read(world: World) -> None:
    body = {"inputText": "four", "dimensions": 2, "normalize": True}
    client: Any = world.bedrock
    output = Runtime(client).ask("amazon.titan-embed-text-v2:0", "InvokeModel", body, Tier.DEFAULT)
    assert output == {
        "embedding": [0.5, 0.5],
        "inputTextTokenCount": 4,
        "usage": {"inputTokens": 4, "outputTokens": 0},
    }


def test_an_embedding_pipeline_ends_with_vectors(world: World) -> None:
    """The texts `a: long` and `a: b`; a character is a token here, and a million of them costs 0.02 USD."""
    world.pipeline(
        "vectors",
        model="amazon.titan-embed-text-v2:0",
        prompt="{{ text }}",
        combine="list",
        chunk={"by": "row"},
        max_wait="0s",
        inference={"dimensions": 256},
    )
    world.run()
    world.upload("inbox/vectors/a.csv", "a\nlong\nb\n")
    world.run()
    document = world.document("inbox/vectors/a.csv")
    assert (document["status"], document["succeeded"]) == ("COMPLETED", 2)
    job = world.job()
    assert job["lane"] == "amazon.titan-embed-text-v2:0#InvokeModel"
    vector = {"dimensions": 256, "vector": [Decimal("0.5")] * 256}
    assert [one["output"] for one in world.results(document["document_id"])] == [vector] * 2
    assert (document["input_tokens"], document["output_tokens"]) == (7 + 4, 0)
    assert document["cost_usd"] == 11 * Decimal("0.00000002")
    audit.check_end(world)
