"""Does everything add up? What the audit command checks, and what only a test can know.

The test also knows what Bedrock was paid for, which events were published, and that nothing is left to do.
"""

import json
from collections import Counter

from batchline.aws import clients
from batchline.aws.audit import Auditor
from batchline.aws.control import Control
from batchline.aws.costs import Costs
from batchline.aws.documents import Documents
from batchline.aws.jobs import Jobs
from batchline.aws.objects import Work
from batchline.aws.results import Results
from batchline.models import TOLD_TOKENS, DocumentStatus, Engine, Shard, Usage

from tests.integration.fake_bedrock import called
from tests.integration.world import WORK, World


def auditor() -> Auditor:
    """The audit of the world's own tables."""
    dynamodb = clients.dynamodb()
    return Auditor(
        documents=Documents(dynamodb, "Documents"),
        results=Results(dynamodb, "Results"),
        jobs=Jobs(dynamodb, "Jobs"),
        costs=Costs(dynamodb, "Costs"),
        control=Control(dynamodb, "Control"),
        work=Work(clients.s3(), WORK),
    )


def check(world: World, *, in_flight: int = 0) -> None:
    """Fail unless every promise holds now, whether or not work is still going on.

    `in_flight` is how many on-demand calls may have been paid twice: those that a crash cut off.
    """
    violations = list(auditor().violations())
    assert not violations, "\n".join(map(str, violations))
    _check_paid(world, in_flight)


def check_end(world: World, *, in_flight: int = 0) -> None:
    """Fail unless every promise holds and nothing is left to do."""
    check(world, in_flight=in_flight)
    assert list(world.restless()) == []
    assert world.pending() == [], "shards are pending"
    assert not [one for one in world.control("slots#") if one.get("holders")], "a slot leaked"
    assert "open_job" not in world.control("lease#pack")[0], "an opening was not finished"
    for row in world.documents():
        if DocumentStatus(row["status"]).terminal and row["records"]:
            published = [e for _, e in world.events() if e["document_id"] == row["document_id"]]
            assert published, f"nobody was told of the end of {row}"
    billed = sum((Usage.of(one) for one in world.costs("job#")), Usage())
    if not in_flight:
        # Bedrock does not say which prompts were long: tests that have such know it.
        told = Usage(*list(billed)[: len(TOLD_TOKENS)])
        assert told == world.bedrock.billed, "what was booked is not what was billed"
    assert world.dead_letters == []


def plan(world: World, job_id: str) -> list[Shard]:
    """Read of which shards a job was made."""
    return auditor().work.get_plan(job_id)


def _check_paid(world: World, in_flight: int) -> None:
    """No record is paid twice for the same attempt."""
    planned = _asked_on_demand(world)
    again = {name: count - planned.get(name, 1) for name, count in world.bedrock.paid.items()}
    batch = {name for name, count in again.items() if count > 0 and name not in planned}
    assert not batch, f"paid more than once in batch jobs: {sorted(batch)}"
    extra = {name: count for name, count in again.items() if count > 0}
    assert sum(extra.values()) <= in_flight, f"paid again on demand: {extra}"


def _asked_on_demand(world: World) -> Counter[str]:
    """Count what on-demand jobs were opened for, in the words in which Bedrock's fake counts it."""
    return Counter(
        called(json.loads(line)["modelInput"])
        for job in world.jobs()
        if job["engine"] == Engine.ON_DEMAND
        for shard in plan(world, job["job_id"])
        for line in world.object(shard.key).splitlines()
    )
