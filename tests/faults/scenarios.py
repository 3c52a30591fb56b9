"""What happens in the fault tests: each scenario is one way through Batchline, in as few calls as can be.

A scenario prepares a world, then acts: nothing goes wrong before `act`. What a person does is repeated by
that person until it has worked.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from batchline.aws import clients
from batchline.aws.approve import Approver
from batchline.aws.cancel import Canceller
from batchline.aws.queues import Queue
from batchline.aws.results import Results
from batchline.aws.retry import Retrier
from batchline.aws.shards import Shards
from batchline.ids import RecordId
from batchline.models import Usage

from tests.faults.bedrock import MoodyAccount
from tests.integration.fake_bedrock import Ending, Say, prompt_of
from tests.integration.world import NOVA, World

type Act = Callable[[World], None]

PRO = "us.amazon.nova-pro-v1:0"
PATIENCE = 120  # minutes, after which a scenario has come to a stand
TERMINAL = {"COMPLETED", "PARTIAL", "FAILED", "CANCELLED"}


@dataclass(frozen=True)
class Scenario:
    """`races` names uploads whose end depends on who is faster; of these only the end is asked for.

    `patches` are constants of the code with the values that they have here.
    """

    act: Act
    prepare: Act
    races: frozenset[str] = frozenset()
    patches: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return self.act.__name__


SCENARIOS: list[Scenario] = []


def scenario(
    *, races: Iterable[str] = (), patches: Iterable[tuple[str, Any]] = (), **keys: Any
) -> Callable[[Act], Act]:
    """List a scenario with a pipeline of these keys."""

    def prepare(world: World) -> None:
        world.bedrock.answer = answer
        pipeline(world, **keys)

    def add(act: Act) -> Act:
        SCENARIOS.append(Scenario(act, prepare, frozenset(races), tuple(patches)))
        return act

    return add


def pipeline(world: World, name: str = "rows", **keys: Any) -> None:
    shape: dict[str, Any] = {
        "chunk": {"by": "row"},
        "prompt": "Say {{ row.text }}",
        "inference": {"max_tokens": 64},
        "attempts": 3,
        "max_wait": "0s",
    }
    world.pipeline(name, **(shape | keys))
    world.deliver_all()


def rows(*texts: str) -> str:
    return "".join(json.dumps({"text": one}) + "\n" for one in texts)


def answer(record_id: str, body: dict[str, Any]) -> Say:
    """Fail once where the prompt says so; the second attempt is better."""
    prompt = prompt_of(body)
    record = RecordId.parse(record_id)
    first = record is not None and record.attempt == 1
    if "flaky" in prompt and first:
        return Say(error=500)
    if "long" in prompt and body["inferenceConfig"]["maxTokens"] < 100:
        return Say("the beginning of", "max_tokens", Usage(100, 64))
    if "hopeless" in prompt:
        return Say("", "end_turn")
    return Say(f"answer to {prompt}")


def moody(world: World) -> MoodyAccount:
    assert isinstance(world.bedrock, MoodyAccount)
    return world.bedrock


def until(world: World, holds: Callable[[], object]) -> None:
    """Let time pass until something holds."""
    world.deliver_all()
    for _ in range(PATIENCE):
        if holds():
            return
        world.minute()
    assert holds(), f"not after {PATIENCE} minutes: {list(world.restless())}"


def status(world: World, name: str) -> str:
    """Say how a document is, or that it has not been chunked yet."""
    key = f"inbox/rows/{name}.jsonl"
    found = [one["status"] for one in world.documents() if one["source"]["key"] == key]
    return str(found[0]) if found else "-"


def upload(world: World, name: str, *texts: str) -> None:
    world.upload(f"inbox/rows/{name}.jsonl", rows(*texts))


def person(world: World, do: Callable[[], object]) -> None:
    """Let somebody run a command, and again until it works."""

    def run() -> bool:
        do()
        return True

    for _ in range(3):
        if world._run("person", run, otherwise=False):
            return
    raise AssertionError("a command has failed three times")


def canceller(world: World) -> Canceller:
    packer = world.packer()
    return Canceller(
        documents=packer.documents,
        jobs=packer.jobs,
        control=packer.control,
        work=packer.work,
        wake_queue=packer.wake_queue,
        jobs_queue=packer.jobs_queue,
        on_demand_queue=packer.on_demand_queue,
        documents_queue=packer.documents_queue,
        clock=world.clock,
    )


def retrier(world: World) -> Retrier:
    packer = world.packer()
    return Retrier(
        documents=packer.documents,
        results=Results(clients.dynamodb(), "Results"),
        jobs=packer.jobs,
        control=packer.control,
        work=packer.work,
        shards=Shards(packer.control, packer.work),
        pipelines=packer.pipelines,
        uploads_queue=Queue(clients.sqs(), world.queues["UploadsQueue"]),
        wake_queue=packer.wake_queue,
        clock=world.clock,
    )


def approver(world: World) -> Approver:
    packer = world.packer()
    return Approver(packer.documents, packer.control, packer.wake_queue, packer.documents_queue, world.clock)


def cancel(world: World, name: str) -> None:
    row = world.document(f"inbox/rows/{name}.jsonl")
    person(world, lambda: canceller(world).cancel_documents([row]))


def running(world: World) -> bool:
    return any(one["status"] == "RUNNING" for one in world.jobs())


# the scenarios


@scenario()
def batch_with_retries(world: World) -> None:
    """One record comes back at once, the other at its second attempt, on demand because it is alone."""
    upload(world, "a", "plain", "flaky")


@scenario()
def large_document(world: World) -> None:
    """Two shards, registered one after the other."""
    upload(world, "a", *(f"row {n}" for n in range(5)))


@scenario()
def on_demand(world: World) -> None:
    upload(world, "a", "plain")


@scenario(patches=[("batchline.aws.output.PART_BYTES", 400)])
def output_in_parts(world: World) -> None:
    """The output is read by several messages, and lines stand across the borders of its parts."""
    upload(world, "a", "plain", "other")


@scenario(
    combine={"prompt": "Merge {{ text }}", "max_tokens": 64},
    patches=[("batchline.reduce._room", lambda *_: 16)],
)
def reduce_in_two_stages(world: World) -> None:
    """Four answers are merged two by two, and these two into one."""
    world.bedrock.answer = lambda _name, body: Say("merged" if "Merge" in prompt_of(body) else "an answer")
    upload(world, "a", "one", "two", "three")


@scenario(races=["a"], patches=[("batchline.aws.submit.RETRY_SECONDS", (60, 60))])
def cancel_in_a_shared_shard(world: World) -> None:
    """Nobody takes the shard; what is not cancelled of it is asked after all."""
    upload(world, "a", "plain a")
    upload(world, "b", "plain b")
    world.bedrock.quota = 0
    # A fault may part them; then each has been answered on demand.
    until(world, lambda: waiting(world) or {status(world, "a"), status(world, "b")} <= TERMINAL)
    cancel(world, "a")
    world.bedrock.quota = 3


def waiting(world: World) -> bool:
    return any(one["status"] == "WAITING" for one in world.jobs())


@scenario(races=["a"], max_wait="12h")
def cancel_before_a_job(world: World) -> None:
    """What is pending is cancelled: a job of nobody settles it."""
    upload(world, "a", "plain a")
    until(world, lambda: status(world, "a") != "-")
    cancel(world, "a")


@scenario(races=["a"])
def cancel_a_running_job(world: World) -> None:
    """One of two records is answered before the job stops."""
    moody(world).busy = True
    world.bedrock.ending = Ending(left_out=is_first)
    upload(world, "a", "plain", "other")
    until(world, lambda: running(world))
    (row,) = [one for one in world.jobs() if one["status"] == "RUNNING"]
    person(world, lambda: canceller(world).cancel_job(row))


def is_first(record_id: str) -> bool:
    record = RecordId.parse(record_id)
    return record is not None and record.index == 0


@scenario(races=["a", "b"], max_wait="12h")
def cancel_a_pipeline(world: World) -> None:
    upload(world, "a", "plain a")
    upload(world, "b", "plain b")
    until(world, lambda: {status(world, "a"), status(world, "b")} == {"QUEUED"})
    person(world, lambda: canceller(world).cancel_pipeline("rows"))


@scenario(deadline="1h")
def deadline_passes(world: World) -> None:
    """The job is stopped with one of two answers; the other is asked on demand."""
    moody(world).busy = True
    world.bedrock.ending = Ending(left_out=is_first)
    upload(world, "a", "plain", "other")
    until(world, lambda: running(world))
    world.clock.advance(3_700)


@scenario()
def lane_paused_and_resumed(world: World) -> None:
    """Two jobs fail as a whole, at no cost of an attempt; then somebody mends the cause."""
    world.bedrock.ending = Ending("Failed", "may not read the input")
    upload(world, "a", "plain", "other")
    lane = f"{NOVA}#Converse"

    def paused() -> bool:
        found = world.packer().control.lanes.get(lane)
        return found is not None and found.paused and status(world, "a") == "HELD"

    until(world, paused)
    world.bedrock.ending = Ending()
    person(world, lambda: world.packer().control.lanes.resume(lane))
    until(world, lambda: status(world, "a") in TERMINAL)


@scenario(model=[NOVA, PRO])
def refused_then_the_next_model(world: World) -> None:
    moody(world).refused = frozenset({NOVA})
    upload(world, "a", "plain", "other")


@scenario(
    model=[NOVA, PRO],
    output={"schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}},
)
def escalation(world: World) -> None:
    """What the first model answers is no JSON; the second one does better."""

    def better(record_id: str, _body: dict[str, Any]) -> Say:
        record = RecordId.parse(record_id)
        return Say("nonsense" if record and record.attempt == 1 else '{"n": 1}')

    world.bedrock.answer = better
    upload(world, "a", "plain", "other")


@scenario(chunk={"by": "document"}, prompt="Say {{ text }}")
def archive(world: World) -> None:
    """Each member is a document of its own."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in ("x.txt", "y.txt"):
            made.writestr(zipfile.ZipInfo(name, (2026, 11, 22, 9, 0, 0)), f"text of {name}")
    world.upload("inbox/rows/a.zip", file.getvalue())


@scenario(budget={"per_day_usd": 0.00002})
def held_by_the_budget(world: World) -> None:
    """The second document has to wait for the next day."""
    upload(world, "a", "plain", "other")
    until(world, lambda: status(world, "a") in TERMINAL)
    upload(world, "b", "third", "fourth")
    until(world, lambda: status(world, "b") == "HELD")
    midnight = world.clock().date() + timedelta(days=1)
    world.clock.at = datetime.fromisoformat(f"{midnight}T00:00:30+00:00")
    until(world, lambda: status(world, "b") in TERMINAL)


@scenario(budget={"per_document_usd": 0.00003})
def approved_over_its_own_budget(world: World) -> None:
    """A document is too dear until somebody approves it and its retry; another cannot afford its own."""
    upload(world, "a", "long", "plain")
    until(world, lambda: status(world, "a") == "HELD")
    row = world.document("inbox/rows/a.jsonl")
    person(world, lambda: approver(world).approve_documents([row]))
    upload(world, "b", "long alone")
    until(world, lambda: {status(world, "a"), status(world, "b")} <= TERMINAL)


@scenario(too_few="wait")
def held_for_company(world: World) -> None:
    """One record is too few for a batch, until another document comes."""
    upload(world, "a", "plain")
    until(world, lambda: status(world, "a") == "HELD")
    upload(world, "b", "other")
    until(world, lambda: {status(world, "a"), status(world, "b")} <= TERMINAL)


@scenario(attempts=1)
def retried_by_a_person(world: World) -> None:
    upload(world, "a", "hopeless", "plain")
    until(world, lambda: status(world, "a") in TERMINAL)
    world.clock.advance(16 * 60)
    world.bedrock.answer = lambda _name, body: Say(f"at last {prompt_of(body)}")

    def retry() -> None:
        row = world.document("inbox/rows/a.jsonl")
        if row["status"] in TERMINAL - {"COMPLETED"}:
            retrier(world).retry(row)

    person(world, retry)


@scenario(patches=[("batchline.aws.submit.RETRY_SECONDS", (60, 60))])
def quota_is_full(world: World) -> None:
    world.bedrock.quota = 0
    upload(world, "a", "plain", "other")
    until(world, lambda: waiting(world))
    world.bedrock.quota = 3


@scenario(cache=True)
def answered_before(world: World) -> None:
    """Of three requests two are the same; of the next two one is known, so that no batch is left."""
    upload(world, "a", "plain", "plain", "other")
    until(world, lambda: status(world, "a") in TERMINAL)
    upload(world, "b", "third", "plain")


@scenario(cache=True, patches=[("batchline.aws.retries.LOOK_AGAIN", timedelta(minutes=2))])
def asked_by_another_job(world: World) -> None:
    """A second job sends nothing, because the first one asks all of it; later the answers are there."""
    moody(world).busy = True
    upload(world, "a", "plain", "other")
    until(world, lambda: running(world))
    upload(world, "b", "plain", "other")
    until(world, lambda: len(world.jobs()) >= 2)
    moody(world).busy = False


@scenario()
def before_its_pipeline(world: World) -> None:
    world.upload("inbox/later/a.txt", "small")
    until(world, lambda: any(one["status"] == "HELD" for one in world.documents()))
    pipeline(world, "later", chunk={"by": "document"}, prompt="Say {{ text }}")
    until(world, lambda: all(one["status"] in TERMINAL for one in world.documents()))
