"""Upload to result rows and costs, through all stages."""

from decimal import Decimal

from tests.faults import audit
from tests.integration.world import World


def test_a_lonely_small_document_is_answered_within_three_minutes(world: World) -> None:
    world.pipeline("notes")
    world.deliver_all()
    world.upload("inbox/notes/a.txt", "The first note.")
    before = world.clock()
    world.run()
    assert (world.clock() - before).total_seconds() <= 180
    document = world.document("inbox/notes/a.txt")
    assert document["status"] == "COMPLETED"
    assert document["result"] == "answer to Say The first note."
    assert document["cost_usd"] == Decimal("0.0000108")
    audit.check_end(world)
