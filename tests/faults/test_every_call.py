"""One call to AWS goes wrong, each in its turn; afterwards everything still adds up."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pytest

from tests.faults import audit, scenarios
from tests.faults.conftest import Make
from tests.faults.scenarios import TERMINAL, Scenario
from tests.integration.calls import Call, Fault
from tests.integration.world import World

# The small scenarios have every fault at every call. Of the rich ones each run takes every 23rd call: a
# prime number meets the calls of a repeating pattern in turn. BATCHLINE_FAULTS_EVERY=1 takes all.
EVERY = int(os.environ.get("BATCHLINE_FAULTS_EVERY", "23"))
# What is compared elsewhere of Bedrock's account, and what the scenario itself sets there.
SCRIPTED = {"clock", "calls", "answer", "ending"}


def begin(world: World) -> None:
    world.bedrock.answer = scenarios.answer
    scenarios.pipeline(world, budget={"per_day_usd": 5}, attempts=2, max_wait="2m")


def rich(act: Callable[[World], None]) -> Scenario:
    return Scenario(act, begin)


def small_in_a_batch(world: World) -> None:
    """Three small documents; with retries on demand after a batch job."""
    for number in range(3):
        scenarios.upload(world, f"{number}", f"plain {number}", f"flaky {number}")


def large_in_a_batch(world: World) -> None:
    """A document of three shards, with an answer cut off and one that never comes."""
    scenarios.upload(world, "large", "long", "hopeless", *(f"row {n}" for n in range(8)))


def few_on_demand(world: World) -> None:
    """Too few records for a batch."""
    scenarios.upload(world, "a", "plain a", "hopeless a")
    scenarios.upload(world, "b", "plain b")


def before_its_pipeline(world: World) -> None:
    """Documents wait for a pipeline that arrives after them; one is small, one is large."""
    world.upload("inbox/later/small.txt", "small")
    world.upload("inbox/later/large.txt", "\n\n".join(f"{n} " + "word " * 60 for n in range(6)))
    world.deliver_all()
    world.pipeline("later", chunk={"max_tokens": 110})


RICH = tuple(map(rich, (small_in_a_batch, large_in_a_batch, few_on_demand, before_its_pipeline)))


@dataclass(frozen=True)
class Strike:
    """A fault at the n-th call of a scenario."""

    at: int
    fault: Fault


def strikes(calls: list[Call], every: int) -> list[Strike]:
    """List the faults of a run's calls. A read whose reply is lost is the same as one that failed."""
    return [
        Strike(at, fault)
        for at, call in list(enumerate(calls, start=1))[::every]
        for fault in (Fault.FAILED_BEFORE, Fault.DIED_AFTER, Fault.REPLY_LOST)
        if fault is not Fault.REPLY_LOST or not call.reads
    ]


class Known(Exception):
    """What follows has been seen after another fault."""


@dataclass
class Seen:
    """Worlds as faults have left them. Where two are the same to the letter, so is all that follows.

    Many are: who dies after one read or after the next has done nothing in between.
    """

    worlds: set[str] = field(default_factory=set)

    def look(self, world: World, strike: Strike, returned: Any) -> None:
        """Raise Known when the run that was struck has left a world that was seen before."""
        if not world.calls.struck:
            return
        world.calls.after = None
        bedrock = {name: value for name, value in vars(world.bedrock).items() if name not in SCRIPTED}
        # The number of the run says how far the scenario has come.
        left = (world.calls.run, returned, world.clock, world.aws, bedrock, random.getstate())
        known = f"{may_end_otherwise(world, strike)} {left}"
        if known in self.worlds:
            raise Known
        self.worlds.add(known)


def may_end_otherwise(world: World, strike: Strike) -> bool:
    """A paid answer that got lost takes an attempt, and it may have been the last one."""
    return strike.fault is Fault.REPLY_LOST and world.calls.struck == "invoke bedrock.Converse"


def play(make: Make, scenario: Scenario, strike: Strike | None = None, seen: Seen | None = None) -> World:
    """Run a scenario to its end, with one fault. Raises Known when the rest was seen before."""
    world = make()
    random.seed(0)
    scenario.prepare(world)
    world.calls.made.clear()
    if strike and seen:
        world.calls.arm(strike.fault, strike.at)
        world.calls.after = partial(seen.look, world, strike)
    scenario.act(world)
    world.run(minutes=180)
    return world


def check(make: Make, scenario: Scenario, every: int) -> None:
    whole, seen = play(make, scenario), Seen()
    audit.check_end(whole)
    assert not whole.errors
    expected = outcome(whole, scenario)

    def broken(strike: Strike) -> str | None:
        try:
            struck(make, scenario, strike, seen, expected)
        except Known:
            return None
        except AssertionError as error:
            return f"{strike.at} of {len(whole.calls.made)}, {strike.fault.value}: {error}"
        return None

    found = list(filter(None, map(broken, strikes(whole.calls.made, every))))
    assert not found, f"{len(found)} broken\n" + "\n".join(found)


def struck(make: Make, scenario: Scenario, strike: Strike, seen: Seen, expected: dict[str, Any]) -> None:
    world = play(make, scenario, strike, seen)
    assert world.calls.struck, "the fault did not happen"
    # Calls to a model that were under way when invoke was cut off may be paid for twice.
    audit.check_end(world, in_flight=8 if world.calls.struck.startswith("invoke") else 0)
    if not may_end_otherwise(world, strike):
        assert outcome(world, scenario) == expected, world.calls.struck


def outcome(world: World, scenario: Scenario) -> dict[str, Any]:
    """Say how each upload ended, whatever happened in between."""
    found = {}
    for row in world.documents():
        name = PurePosixPath(row["source"]["key"]).stem + row["source"].get("member", "")
        ended = row["status"], row["records"], row["succeeded"], row["failed"], row.get("result")
        found[name] = row["status"] in TERMINAL if name in scenario.races else ended
    return found


def named(scenario: Scenario) -> str:
    return scenario.name


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=named)
def test_any_call_may_go_wrong(
    make_smallest: Make, monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    for name, value in scenario.patches:
        monkeypatch.setattr(name, value)
    check(make_smallest, scenario, 1)


@pytest.mark.parametrize("scenario", RICH, ids=named)
def test_any_call_may_go_wrong_among_many(make: Make, scenario: Scenario) -> None:
    check(make, scenario, EVERY)
