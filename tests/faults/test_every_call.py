"""One call to AWS goes wrong, each in its turn; afterwards everything still adds up."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from batchline.models import Usage

from tests.faults import audit
from tests.faults.conftest import Make
from tests.integration.calls import Call, Fault
from tests.integration.fake_bedrock import Say, prompt_of
from tests.integration.world import World

type Scenario = Callable[[World], None]

READS = ("Get", "Head", "List", "Query", "BatchGet", "Scan")
# All calls of all scenarios take half an hour; each run takes every 23rd: a prime number meets
# the calls of a repeating pattern in turn. BATCHLINE_FAULTS_EVERY=1 takes all.
EVERY = int(os.environ.get("BATCHLINE_FAULTS_EVERY", "23"))


def answer(record_id: str, body: dict[str, Any]) -> Say:
    """Fail once where the prompt says so; the second attempt is better."""
    prompt = prompt_of(body)
    first = record_id.endswith("1")
    if "flaky" in prompt and first:
        return Say(error=500)
    if "long" in prompt and body["inferenceConfig"]["maxTokens"] < 100:
        return Say("the beginning of", "max_tokens", Usage(100, 64))
    if "hopeless" in prompt:
        return Say("", "end_turn")
    return Say(f"answer to {prompt}")


def rows(*texts: str) -> str:
    return "".join(json.dumps({"text": one}) + "\n" for one in texts)


def begin(world: World) -> None:
    world.bedrock.answer = answer
    shape: dict[str, Any] = {"chunk": {"by": "row"}, "prompt": "Say {{ row.text }}"}
    inference = {"max_tokens": 64}
    budget = {"per_day_usd": 5}
    world.pipeline("rows", **shape, inference=inference, budget=budget, attempts=2)
    world.deliver_all()


def small_in_a_batch(world: World) -> None:
    """Three small documents; with retries on demand after a batch job."""
    for number in range(3):
        world.upload(f"inbox/rows/{number}.jsonl", rows(f"plain {number}", f"flaky {number}"))


def large_in_a_batch(world: World) -> None:
    """A document of three shards, with an answer cut off and one that never comes."""
    world.upload("inbox/rows/large.jsonl", rows("long", "hopeless", *(f"row {n}" for n in range(8))))


def few_on_demand(world: World) -> None:
    """Too few records for a batch."""
    world.upload("inbox/rows/a.jsonl", rows("plain a", "hopeless a"))
    world.upload("inbox/rows/b.jsonl", rows("plain b"))


def before_its_pipeline(world: World) -> None:
    """Documents wait for a pipeline that arrives after them; one is small, one is large."""
    world.upload("inbox/later/small.txt", "small")
    world.upload("inbox/later/large.txt", "\n\n".join(f"{n} " + "word " * 60 for n in range(6)))
    world.deliver_all()
    world.pipeline("later", chunk={"max_tokens": 110})


SCENARIOS = (small_in_a_batch, large_in_a_batch, few_on_demand, before_its_pipeline)


def changes(call: Call) -> bool:
    return not call.name.partition(".")[2].startswith(READS)


def play(make: Make, scenario: Scenario, fault: Fault | None = None, at: int = 0) -> World:
    """Run a scenario to its end, with one fault."""
    world = make()
    begin(world)
    seen = len(world.calls.made)
    if fault:
        world.calls.arm(fault, at)
    scenario(world)
    world.run(minutes=180)
    world.calls.made[:seen] = []
    return world


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_any_call_may_go_wrong(make: Make, scenario: Scenario) -> None:
    whole = play(make, scenario)
    audit.check_end(whole)
    assert not whole.errors
    expected = outcome(whole)
    calls = list(whole.calls.made)
    broken: list[str] = []
    for at, call in list(enumerate(calls, start=1))[::EVERY]:
        faults = (Fault.FAILED_BEFORE, *((Fault.DIED_AFTER, Fault.REPLY_LOST) if changes(call) else ()))
        for fault in faults:
            try:
                strike(make, scenario, fault, at, expected)
            except AssertionError as error:
                broken.append(f"{at} of {len(calls)}, {call.stage} {call.name}, {fault.value}: {error}")
    assert not broken, f"{len(broken)} broken\n" + "\n".join(broken)


def strike(make: Make, scenario: Scenario, fault: Fault, at: int, expected: dict[str, Any]) -> None:
    world = play(make, scenario, fault, at)
    assert world.calls.struck, "the fault did not happen"
    # Calls to a model that were under way when invoke was cut off may be paid for twice.
    audit.check_end(world, in_flight=8 if world.calls.struck.startswith("invoke") else 0)
    assert outcome(world) == expected


def outcome(world: World) -> dict[str, Any]:
    """Say how each upload ended, whatever happened in between."""
    return {
        row["source"]["key"]: (
            row["status"],
            row["records"],
            row["succeeded"],
            row["failed"],
            row.get("result"),
        )
        for row in world.documents()
    }
