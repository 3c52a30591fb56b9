"""A seeded storm: messages in any order and any number of times, functions that die or run out of time.

All that is random comes from the seed, so the same seed is the same storm: BATCHLINE_FAULTS_FIRST_SEED=<n>
with BATCHLINE_FAULTS_SEEDS=1 repeats it.
"""

import os
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from batchline.aws.jobs import LEASE_SECONDS, RENEW_SECONDS
from batchline.ids import RecordId
from batchline.models import Usage

from tests.faults import audit, scenarios
from tests.faults.conftest import Make
from tests.faults.scenarios import TERMINAL
from tests.integration.calls import Fault
from tests.integration.fake_bedrock import Ending, Say, prompt_of
from tests.integration.world import BATCH_SIZES, MAX_RECEIVES, NOVA, Message, World

STEPS = 60
UPLOADS = 6
CALLS_UNDER_WAY = 16
# What a working run always has left of its lease.
LEASE_LEFT = timedelta(seconds=LEASE_SECONDS - RENEW_SECONDS)
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
PIPELINES: dict[str, dict[str, Any]] = {
    "plain": {},
    "merged": {"combine": {"prompt": "Merge {{ text }}", "max_tokens": 64}},
    "sure": {"model": [NOVA, scenarios.PRO], "output": {"schema": SCHEMA}},
    "patient": {"too_few": "wait", "max_wait": "2m", "deadline": "3h"},
}
FIRST_SEED = int(os.environ.get("BATCHLINE_FAULTS_FIRST_SEED", "0"))
LAST_BEGIN = time.monotonic() + float(os.environ.get("BATCHLINE_FAULTS_SECONDS", "inf"))
ENDINGS = ("Completed", "Completed", "Completed", "PartiallyCompleted", "Expired", "Stopped", "Failed")


def seeds(number: int) -> range:
    """Say which storms rage in this run, where nobody asks for more or others."""
    return range(FIRST_SEED, FIRST_SEED + int(os.environ.get("BATCHLINE_FAULTS_SEEDS", number)))


def chance(name: str, seed: int) -> float:
    """Draw a number that depends on nothing but a name and the seed."""
    return zlib.crc32(f"{seed} {name}".encode()) / 2**32


def sure(_record_id: str, _body: dict[str, Any]) -> Say:
    return Say('{"n": 1}')


@dataclass
class Storm:
    """One storm over one world.

    `killed` is how many runs of invoke were cut off, or frozen for longer than their lease lasts: another run
    may make the calls as well that such a one had under way.
    """

    world: World
    seed: int
    chooser: random.Random
    killed: int = 0
    uploads: int = 0
    delivered: list[tuple[str, Message]] = field(default_factory=list)
    depth: int = 0
    twice: ClassVar[float] = 0.1
    pipelines: ClassVar[dict[str, dict[str, Any]]] = PIPELINES

    def rage(self) -> None:
        self.world.bedrock.answer = self.answer
        for name, keys in self.pipelines.items():
            scenarios.pipeline(self.world, name, **keys)
        acts = self.acts()
        for _ in range(STEPS):
            self.chooser.choices(list(acts), list(acts.values()))[0]()
            self.look()
        while self.uploads < UPLOADS:
            self.upload()

    def acts(self) -> dict[Callable[[], None], int]:
        """Say what happens, and how often."""
        return {
            self.upload: 3,
            self.deliver: 12,
            self.repeat: 2,
            self.pack: 3,
            self.pass_time: 3,
            self.end_jobs: 3,
            self.reconcile: 1,
            self.trouble: 2,
            self.person: 1,
        }

    def look(self) -> None:
        """See after each step that what must hold holds."""

    def calm(self) -> None:
        """Let the weather clear up: what is left to do is done, dead letters are moved back."""
        world = self.world
        world.bedrock.ending, world.bedrock.quota, world.bedrock.answer = Ending(), 3, sure
        for number in range(10):
            for queue, message in self.lost():
                world.send(queue, message.body)
            for minute in range(240):
                if minute % 30 == 0:  # what ends late may pause a lane once more
                    for lane in world.packer().control.lanes.all():
                        world.packer().control.lanes.resume(lane.name)
                if world.resting():
                    break
                world.minute()
            assert world.resting(), f"not at rest after four hours: {list(world.restless())}"
            if not self.unended():
                return
            # What is too few gets company.
            world.upload(f"inbox/patient/last{number}.jsonl", scenarios.rows(f"last {number}", "company"))
        raise AssertionError(f"these never end: {self.unended()}")

    def unended(self) -> list[str]:
        return [
            f"{one['document_id']} {one['status']} {one.get('error')}"
            for one in self.world.documents()
            if one["status"] not in TERMINAL
        ]

    # what happens

    def upload(self) -> None:
        if self.uploads < UPLOADS:
            name = self.chooser.choice(list(self.pipelines))
            texts = [f"text {self.uploads} {n}" for n in range(self.chooser.choice((1, 2, 3, 6, 9)))]
            self.world.upload(f"inbox/{name}/{self.uploads}.jsonl", scenarios.rows(*texts))
            self.uploads += 1

    def deliver(self) -> None:
        """Deliver any message that may be, perhaps together with others."""
        waiting = [name for name in self.world.queues if self.world.aws.queue(name).messages]
        if not waiting:
            return
        queue = self.chooser.choice(waiting)
        self.chooser.shuffle(self.world.aws.queue(queue)._messages)
        messages = self.world.receive(queue, self.chooser.randint(1, BATCH_SIZES.get(queue, 1)))
        self.delivered += [(queue, one) for one in messages]
        failed = self.disturbed(lambda: self.world.handle(queue, messages))
        for one in messages:
            # Now and then the message comes again although it was done.
            if one.id not in failed and self.chooser.random() < 0.9:
                self.world.delete(queue, one)
            elif one.receives >= MAX_RECEIVES:
                self.world.dead_letters.append(one)
                self.world.delete(queue, one)

    def repeat(self) -> None:
        """Deliver once more what was delivered before, however long ago."""
        if self.delivered:
            queue, message = self.chooser.choice(self.delivered)
            self.disturbed(lambda: self.world.handle(queue, [message]))

    def pack(self) -> None:
        self.disturbed(self.world.pack)

    def reconcile(self) -> None:
        self.disturbed(self.world.reconcile)

    def pass_time(self) -> None:
        self.world.clock.advance(self.chooser.choice((1, 30, 95, 300, 1_200)))

    def end_jobs(self) -> None:
        """End what runs at Bedrock, in one of its ways; the event is lost, comes, or comes twice."""
        ending, manifest = self.chooser.choice(ENDINGS), self.chooser.random() < 0.9
        message = "" if ending == "Completed" else f"it has {ending}"
        self.world.bedrock.ending = Ending(
            ending,
            message,
            left_out=lambda name: ending != "Completed" and chance(f"out {name}", self.seed) < 0.4,
            twice=lambda name: chance(f"twice {name}", self.seed) < self.twice,
            # What a line cost that cannot be read is known from the manifest alone.
            garbled=lambda name: manifest and chance(f"garbled {name}", self.seed) < 0.03,
            manifest=manifest,
        )
        ended = self.world.bedrock.work()
        for job in ended:
            for _ in range(self.chooser.choice((0, 1, 1, 2))):
                self.world.send("JobEventsQueue", {"detail": {"batchJobName": job.name}})

    def trouble(self) -> None:
        """Bedrock forgets tokens, and others come and go in the account."""
        self.world.bedrock.forget_tokens()
        self.world.bedrock.quota = self.chooser.choice((0, 1, 3, 3))

    def person(self) -> None:
        """Somebody cancels a document, or retries one that has failed."""
        rows = self.world.documents()
        if not rows or self.chooser.random() < 0.5:
            return
        row = self.chooser.choice(sorted(rows, key=lambda one: one["source"]["key"]))
        canceller = scenarios.canceller(self.world)
        self.disturbed(lambda: self.world._run("person", lambda: canceller.cancel_documents([row]), []))

    # how it goes wrong

    def disturbed[T](self, do: Callable[[], T]) -> T:
        """Run a stage that may fail at a call, die there, lose its time, or be overtaken by others."""
        calls, kind = self.world.calls, self.chooser.choice(("well", "well", "fault", "slow", "overtaken"))
        at = int(self.chooser.expovariate(1 / 8)) + 1
        left = at

        def each(_name: str, _parameters: Any) -> None:
            nonlocal left
            if kind == "slow":
                self.world.clock.advance(self.chooser.choice((5, 40, 100, 300)))
            left -= 1
            if kind == "overtaken" and left == 0:
                self.overtake()

        if kind == "fault":
            calls.arm(self.chooser.choice(list(Fault)), at)
        watch, calls.watch = calls.watch, each
        try:
            return do()
        finally:
            calls.watch = watch
            calls._fault = None
            if calls.struck.startswith("invoke"):
                self.killed += 1
            calls.struck = ""

    def overtake(self) -> None:
        """Let other functions run while this one is frozen."""
        calls, since = self.world.calls, self.world.clock()
        before = calls.stage, calls._dead, calls.watch
        calls.watch = None
        if self.depth < 2:
            self.depth += 1
            for _ in range(self.chooser.randint(1, 3)):
                self.chooser.choice((self.deliver, self.repeat, self.pack, self.pass_time, self.end_jobs))()
            self.depth -= 1
        calls.stage, calls._dead, calls.watch = before
        calls._inside = True
        if calls.stage == "invoke" and self.world.clock() - since >= LEASE_LEFT:
            self.killed += 1

    def lost(self) -> list[tuple[str, Message]]:
        """Take the dead letters out, with the queue that each of them comes from."""
        letters, self.world.dead_letters = self.world.dead_letters, []
        origin = {message.id: queue for queue, message in self.delivered}
        return [(origin[one.id], one) for one in letters if one.id in origin]

    def answer(self, record_id: str, body: dict[str, Any]) -> Say:
        """Answer as well as the seed wants: errors, answers that are cut off, nonsense."""
        prompt = prompt_of(body)
        record = RecordId.parse(record_id)
        drawn = chance(f"{prompt} {record.attempt if record else ''}", self.seed)
        if drawn < 0.1:
            return Say(error=500)
        if drawn < 0.2 and body["inferenceConfig"]["maxTokens"] < 100:
            return Say("the beginning of", "max_tokens", Usage(100, 64))
        return Say('{"n": 1}' if drawn < 0.9 else "nonsense")


def storm(make: Make, seed: int, kind: type[Storm] = Storm) -> Storm:
    """Let one storm rage, wait until it is calm, and see that everything adds up."""
    if time.monotonic() > LAST_BEGIN:
        pytest.skip("BATCHLINE_FAULTS_SECONDS are over")
    random.seed(seed)
    chooser = random.Random(seed)
    found = kind(make(), seed, chooser)
    found.rage()
    audit.check(found.world, in_flight=found.killed * CALLS_UNDER_WAY)
    found.calm()
    audit.check_end(found.world, in_flight=found.killed * CALLS_UNDER_WAY)
    return found
