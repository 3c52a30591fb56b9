"""What a document costs in DynamoDB's write units, counted from the calls by DynamoDB's own rules.

moto's ConsumedCapacity is a constant, so it proves nothing. An item of at most 1 KB is one unit a write,
two in a transaction; an index that shows the item's keys is one more when the item is new.
"""

import json
from math import ceil
from typing import Any

import pytest
from batchline.aws import dynamo, meter

from tests.integration.calls import Call
from tests.integration.fake_bedrock import Say
from tests.integration.test_pack import ready
from tests.integration.world import World


def units(world: World, table: str, key: dict[str, Any], item: dict[str, Any] | None) -> int:
    """Count the units of a write: of the item as it is after it, or else as it is in the end."""
    stored = item or world.packer().control.client.get_item(TableName=table, Key=key).get("Item", {})
    return max(1, ceil(dynamo.item_size(stored) / 1024))


def written(world: World, call: Call) -> dict[str, int]:
    """Count the units that a call took, by table."""
    asked, counts = call.parameters, {}
    name = call.name.partition(".")[2]

    def count(table: str, key: dict[str, Any], item: dict[str, Any] | None, factor: int = 1) -> None:
        counts[table] = counts.get(table, 0) + factor * units(world, table, key, item)
        if table == "Documents" and item:
            counts[table] += 1 + ("problem" in item)

    if name == "TransactWriteItems":
        for one in asked["TransactItems"]:
            ((_, write),) = one.items()
            count(write["TableName"], write.get("Key", {}), write.get("Item"), 2)
    elif name == "BatchWriteItem":
        for table, requests in asked["RequestItems"].items():
            for one in requests:
                put = one.get("PutRequest", {}).get("Item")
                count(table, one.get("DeleteRequest", {}).get("Key", {}), put)
    elif name == "PutItem":
        count(asked["TableName"], {}, asked["Item"])
    elif name == "UpdateItem":
        after = call.reply.get("Attributes")
        table = asked["TableName"]
        counts[table] = counts.get(table, 0) + units(world, table, asked["Key"], after)
    return counts


def per_document(world: World, documents: int, records: int, answer: int = 700) -> dict[str, float]:
    """Bring documents with answers of so many bytes to their end; return the units of one, by table."""
    world.bedrock.answer = lambda _name, _body: Say("x" * answer)
    ready(world, max_wait="0s")
    world.calls.made.clear()
    for n in range(documents):
        lines = "".join(json.dumps({"a": f"row {n} {i}"}) + "\n" for i in range(records))
        world.upload(f"inbox/rows/{n}.jsonl", lines)
    world.run()
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    totals: dict[str, int] = {}
    metered = 0
    for call in world.calls.made:
        service, _, operation = call.name.partition(".")
        if service == "dynamodb":
            metered += int(meter.units(operation, call.parameters, call.reply).write_units)
        for table, count in written(world, call).items():
            totals[table] = totals.get(table, 0) + count
    # The functions' own meter sees no row that is updated in a transaction, but the jobs' index.
    assert metered == pytest.approx(sum(totals.values()), rel=0.03)
    return {table: count / documents for table, count in totals.items()}


@pytest.mark.parametrize("answer", [100, 700])
def test_what_a_document_of_one_record_takes(world: World, answer: int) -> None:
    totals = per_document(world, documents=198, records=1, answer=answer)
    # 2 in the transaction and 1 in the index, 1 accounted, 1 for the end; 1 result; 1 ledger entry
    assert totals["Documents"] == 5
    assert totals["Results"] == 1
    assert 1 <= totals["Costs"] < 1.1
    assert sum(totals.values()) < 7.5
    # The answer stands in the document's row as well where it takes no further unit there.
    assert {("result" in one) for one in world.documents()} == {answer == 100}


def test_a_document_of_ten_records_takes_less_than_two_units_a_record(world: World) -> None:
    totals = per_document(world, documents=60, records=10)
    assert totals["Documents"] == 5
    assert totals["Results"] == 10
    assert sum(totals.values()) / 10 < 1.8
