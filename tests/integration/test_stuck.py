"""A document that has stopped moving is rung for, or says that it is stuck and why."""

import pytest
from batchline.aws import dynamo, stuck

from tests.faults import audit
from tests.integration.test_pack import ready, upload
from tests.integration.test_reconcile import drain, on_bedrock, opened, rung
from tests.integration.world import Row, World

__all__ = ["opened"]


def test_a_settled_document_of_which_nobody_told_aggregate_ends(opened: World) -> None:
    on_bedrock(opened)
    opened.end_jobs()
    opened.deliver("JobEventsQueue")
    drain(opened)
    row = opened.document()
    assert (row["status"], row["open"]) == ("QUEUED", 0)
    opened.clock.advance(3599)
    assert opened.reconcile().documents == 0
    opened.clock.advance(3600)  # and the walk over all documents begins once an hour
    assert opened.reconcile().documents == 1
    assert rung(opened) == {"DocumentsQueue": [{"document_id": row["document_id"]}]}
    opened.deliver_all()
    assert opened.document()["status"] == "COMPLETED"


def lose_shard(world: World) -> Row:
    (row,) = world.pending()
    client = world.packer().control.client
    dynamo.delete_many(client, "Control", [{"pk": row["pk"], "sk": row["sk"]}])
    return row


def test_a_document_whose_records_are_nowhere_is_stuck_and_says_so(world: World) -> None:
    ready(world, max_wait="12h")
    upload(world, 120)
    lost = lose_shard(world)
    world.clock.advance(6 * 3600)
    assert world.reconcile().stuck == 0  # it might be on its way
    assert "error" not in world.document()
    world.clock.advance(300)
    assert world.reconcile().stuck == 1
    row = world.document()
    assert (row["status"], row["error"]["code"], row["problem"]) == ("QUEUED", "STUCK", "rows#STUCK")
    assert row["error"]["message"].startswith("120 of its records are in no shard that waits and in no job")
    world.clock.advance(300)
    assert world.reconcile().stuck == 1
    dynamo.write(world.packer().control.client, dynamo.put("Control", lost))
    assert world.reconcile().stuck == 0
    row = world.document()
    assert ("error" in row, "problem" in row) == (False, False)
    world.clock.advance(6 * 3600)
    world.run()
    assert world.document()["status"] == "COMPLETED"
    audit.check_end(world)


@pytest.mark.parametrize("place", ["shard", "batch job", "on-demand job", "held"])
def test_a_document_that_takes_long_is_not_stuck_while_its_records_are_somewhere(
    world: World, place: str
) -> None:
    ready(
        world,
        max_wait="12h" if place == "shard" else "0s",
        too_few="wait" if place == "held" else "on_demand",
    )
    upload(world, 120 if place == "batch job" else 3)
    world.pack()
    for seconds in (6 * 3600, 300, 300):
        world.clock.advance(seconds)
        assert world.reconcile().stuck == 0
    assert world.document().get("error", {}).get("code") == ("TOO_FEW" if place == "held" else None)


def test_a_run_looks_at_so_many_documents_and_the_next_one_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "DOCUMENTS_PER_RUN", 2)
    ready(world, max_wait="0s")
    for name in "abcde":
        upload(world, 3, f"inbox/rows/{name}.jsonl")
        world.clock.advance(20_000)  # they come on two days
    world.pack()
    for queue in ("OnDemandQueue", "JobEventsQueue"):
        while world.deliver(queue):
            pass
    drain(world)
    world.clock.advance(3600)
    heard = []
    for _ in range(4):
        world.reconcile()
        heard.append(len(world.bodies("DocumentsQueue")))
        drain(world)
    assert heard == [2, 2, 1, 0]
