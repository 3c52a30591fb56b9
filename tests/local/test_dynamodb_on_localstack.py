"""DynamoDB's rules that Batchline's transactions rest on, on a running LocalStack."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.aws import Aws, unique

pytestmark = pytest.mark.localstack

Item = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def table(aws: Aws) -> Iterator[str]:
    """A table with a sort key and an index by `status` (text) and `rank` (number)."""
    name = unique("table")
    create(
        aws,
        name,
        keys=["pk", "sk"],
        types={"pk": "S", "sk": "S", "status": "S", "rank": "N"},
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_status",
                "KeySchema": key_schema("status", "rank"),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    yield name
    aws.dynamodb.delete_table(TableName=name)


@pytest.fixture
def pk() -> str:
    """A partition that no other test uses."""
    return uuid.uuid4().hex


def create(aws: Aws, name: str, *, keys: list[str], types: dict[str, str], **more: Any) -> None:
    aws.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=key_schema(*keys),
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
        **more,
    )


def key_schema(*names: str) -> list[dict[str, str]]:
    kinds = ("HASH", "RANGE")
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, kinds, strict=False)]


def key(pk: str, sk: object = "1") -> Item:
    return {"pk": {"S": pk}, "sk": {"S": str(sk)}}


def put(table: str, item: Item, **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": item, **more}}


def update(table: str, key: Item, expression: str, **values: dict[str, Any]) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": table,
            "Key": key,
            "UpdateExpression": expression,
            "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
        }
    }


def refusal(call: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return dict(refused.value.response)


def code(response: dict[str, Any]) -> str:
    return str(response["Error"]["Code"])


def get(aws: Aws, table: str, key: Item) -> Item | None:
    found: Item | None = aws.dynamodb.get_item(TableName=table, Key=key).get("Item")
    return found


# --- Transactions ---------------------------------------------------------------------------------


def test_a_transaction_takes_100_items_and_no_more(aws: Aws, table: str, pk: str) -> None:
    items = [put(table, key(pk, number)) for number in range(101)]
    response = refusal(aws.dynamodb.transact_write_items, TransactItems=items)
    assert code(response) == "ValidationException"
    aws.dynamodb.transact_write_items(TransactItems=items[:100])
    counted = aws.dynamodb.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
        Select="COUNT",
    )
    assert counted["Count"] == 100


def test_a_transaction_reads_100_items(aws: Aws, table: str, pk: str) -> None:
    gets = [{"Get": {"TableName": table, "Key": key(pk, number)}} for number in range(100)]
    assert len(aws.dynamodb.transact_get_items(TransactItems=gets)["Responses"]) == 100


def test_an_item_may_be_named_once_in_a_transaction(aws: Aws, table: str, pk: str) -> None:
    twice = [
        put(table, key(pk)),
        update(table, dict(reversed(key(pk).items())), "SET a = :a", a={"S": "b"}),
    ]
    response = refusal(aws.dynamodb.transact_write_items, TransactItems=twice)
    assert code(response) == "ValidationException"
    assert get(aws, table, key(pk)) is None


def test_a_cancelled_transaction_changes_nothing_and_says_why(aws: Aws, table: str, pk: str) -> None:
    held = {**key(pk, "held"), "epoch": {"N": "7"}}
    aws.dynamodb.put_item(TableName=table, Item=held)
    response = refusal(
        aws.dynamodb.transact_write_items,
        TransactItems=[
            put(table, key(pk, "new")),
            put(
                table,
                key(pk, "held"),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            ),
            {
                "ConditionCheck": {
                    "TableName": table,
                    "Key": key(pk, "missing"),
                    "ConditionExpression": "attribute_exists(pk)",
                }
            },
        ],
    )
    reasons = response["CancellationReasons"]
    assert code(response) == "TransactionCanceledException"
    assert [reason["Code"] for reason in reasons] == [
        "None",
        "ConditionalCheckFailed",
        "ConditionalCheckFailed",
    ]
    assert reasons[1]["Item"] == held
    assert "Item" not in reasons[2]
    assert get(aws, table, key(pk, "new")) is None


def test_an_update_that_does_not_fit_the_item_undoes_the_transaction(aws: Aws, table: str, pk: str) -> None:
    counter, text = key(pk, "counter"), {**key(pk, "text"), "n": {"S": "seven"}}
    aws.dynamodb.put_item(TableName=table, Item={**counter, "n": {"N": "1"}})
    aws.dynamodb.put_item(TableName=table, Item=text)
    response = refusal(
        aws.dynamodb.transact_write_items,
        TransactItems=[
            update(table, counter, "ADD n :one", one={"N": "1"}),
            {"Delete": {"TableName": table, "Key": key(pk, "counter-2")}},
            put(table, key(pk, "new")),
            update(table, key(pk, "text"), "ADD n :one", one={"N": "1"}),
        ],
    )
    assert [reason["Code"] for reason in response["CancellationReasons"]] == [
        "None",
        "None",
        "None",
        "ValidationError",
    ]
    assert get(aws, table, counter) == {**counter, "n": {"N": "1"}}
    assert get(aws, table, key(pk, "text")) == text
    assert get(aws, table, key(pk, "new")) is None


def test_a_repeated_token_writes_once(aws: Aws, table: str, pk: str) -> None:
    add = [update(table, key(pk), "ADD n :one", one={"N": "1"})]
    token = uuid.uuid4().hex
    for _ in range(2):
        aws.dynamodb.transact_write_items(TransactItems=add, ClientRequestToken=token)
    response = refusal(
        aws.dynamodb.transact_write_items,
        TransactItems=[update(table, key(pk), "ADD n :two", two={"N": "2"})],
        ClientRequestToken=token,
    )
    assert code(response) == "IdempotentParameterMismatchException"
    assert get(aws, table, key(pk)) == {**key(pk), "n": {"N": "1"}}


def test_transactions_at_the_same_time_do_not_lose_each_other(aws: Aws, table: str, pk: str) -> None:
    def add(number: int) -> None:
        aws.dynamodb.transact_write_items(
            TransactItems=[
                update(table, key(pk, "counter"), "ADD n :one", one={"N": "1"}),
                put(
                    table,
                    key(pk, f"member-{number}"),
                    ConditionExpression="attribute_not_exists(pk)",
                ),
            ]
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert get(aws, table, key(pk, "counter")) == {**key(pk, "counter"), "n": {"N": "40"}}


# --- Single writes --------------------------------------------------------------------------------


def test_an_update_that_fails_leaves_no_trace(aws: Aws, table: str, pk: str) -> None:
    aws.dynamodb.put_item(TableName=table, Item={**key(pk), "n": {"N": "1"}, "t": {"S": "x"}})
    response = refusal(
        aws.dynamodb.update_item,
        TableName=table,
        Key=key(pk),
        UpdateExpression="ADD n :one, t :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    assert code(response) == "ValidationException"
    assert get(aws, table, key(pk)) == {**key(pk), "n": {"N": "1"}, "t": {"S": "x"}}


def test_a_failed_condition_returns_the_item(aws: Aws, table: str, pk: str) -> None:
    item = {**key(pk), "state": {"S": "SUBMITTED"}}
    aws.dynamodb.put_item(TableName=table, Item=item)
    response = refusal(
        aws.dynamodb.update_item,
        TableName=table,
        Key=key(pk),
        UpdateExpression="SET #state = :new",
        ConditionExpression="#state = :old",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":new": {"S": "DONE"}, ":old": {"S": "OPEN"}},
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    assert code(response) == "ConditionalCheckFailedException"
    assert response["Item"] == item


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"members": {"SS": []}}, id="empty string set"),
        pytest.param({"members": {"NS": []}}, id="empty number set"),
        pytest.param({"map": {"M": {"inner": {"L": [{"SS": []}]}}}}, id="empty set inside"),
        pytest.param({"status": {"N": "5"}}, id="index key of another type"),
        pytest.param({"status": {"S": ""}}, id="empty index key"),
        pytest.param({"rank": {"S": "5"}}, id="index sort key of another type"),
    ],
)
def test_bad_attributes_are_refused_by_every_way_to_write(
    aws: Aws, table: str, pk: str, attributes: Item
) -> None:
    item = {**key(pk), **attributes}
    (name, value), *_ = attributes.items()
    writes = [
        (aws.dynamodb.put_item, {"TableName": table, "Item": item}),
        (
            aws.dynamodb.batch_write_item,
            {"RequestItems": {table: [{"PutRequest": {"Item": item}}]}},
        ),
        (
            aws.dynamodb.update_item,
            {
                "TableName": table,
                "Key": key(pk),
                "UpdateExpression": "SET #name = :value",
                "ExpressionAttributeNames": {"#name": name},
                "ExpressionAttributeValues": {":value": value},
            },
        ),
    ]
    for write, arguments in writes:
        assert code(refusal(write, **arguments)) == "ValidationException"
    with pytest.raises(ClientError):
        aws.dynamodb.transact_write_items(TransactItems=[put(table, item)])
    assert get(aws, table, key(pk)) is None


def test_a_set_that_loses_its_last_member_is_gone(aws: Aws, table: str, pk: str) -> None:
    aws.dynamodb.put_item(TableName=table, Item={**key(pk), "members": {"SS": ["a", "b"]}})
    aws.dynamodb.update_item(
        TableName=table,
        Key=key(pk),
        UpdateExpression="DELETE members :all",
        ExpressionAttributeValues={":all": {"SS": ["a", "b"]}},
    )
    assert get(aws, table, key(pk)) == key(pk)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("contains(members, :a)", True),
        ("contains(members, :z)", False),
        ("NOT contains(members, :z)", True),
        ("size(members) = :two", True),
        ("size(members) < :two", False),
        ("size(nothing) < :two", False),
        ("attribute_not_exists(nothing) OR size(nothing) < :two", True),
        ("contains(nothing, :a)", False),
    ],
)
def test_conditions_on_sets(aws: Aws, table: str, pk: str, condition: str, *, holds: bool) -> None:
    aws.dynamodb.put_item(TableName=table, Item={**key(pk), "members": {"SS": ["a", "b"]}})
    values = {":a": {"S": "a"}, ":z": {"S": "z"}, ":two": {"N": "2"}}
    arguments = {
        "TableName": table,
        "Key": key(pk),
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {name: value for name, value in values.items() if name in condition},
    }
    if holds:
        aws.dynamodb.delete_item(**arguments)
    else:
        response = refusal(aws.dynamodb.delete_item, **arguments)
        assert code(response) == "ConditionalCheckFailedException"


def test_small_amounts_add_up_exactly(aws: Aws, table: str, pk: str) -> None:
    for amount in ("1E-7", "0.0000002", "0.1", "0.2"):
        aws.dynamodb.update_item(
            TableName=table,
            Key=key(pk),
            UpdateExpression="ADD usd :amount",
            ExpressionAttributeValues={":amount": {"N": amount}},
        )
    assert get(aws, table, key(pk)) == {**key(pk), "usd": {"N": "0.3000003"}}


# --- Batches and queries --------------------------------------------------------------------------


def test_a_batch_takes_25_writes_and_no_more(aws: Aws, table: str, pk: str) -> None:
    writes = [{"PutRequest": {"Item": key(pk, number)}} for number in range(26)]
    response = refusal(aws.dynamodb.batch_write_item, RequestItems={table: writes})
    assert code(response) == "ValidationException"
    answer = aws.dynamodb.batch_write_item(RequestItems={table: writes[:25]})
    assert answer["UnprocessedItems"] == {}
    assert get(aws, table, key(pk, 24)) == key(pk, 24)


def test_a_batch_may_name_an_item_once(aws: Aws, table: str, pk: str) -> None:
    writes = [
        {"PutRequest": {"Item": {**key(pk), "a": {"S": "x"}}}},
        {"DeleteRequest": {"Key": key(pk)}},
    ]
    response = refusal(aws.dynamodb.batch_write_item, RequestItems={table: writes})
    assert code(response) == "ValidationException"
    assert get(aws, table, key(pk)) is None


def test_a_batch_may_name_the_same_key_in_two_tables(aws: Aws, table: str, pk: str) -> None:
    other = unique("table")
    create(aws, other, keys=["pk", "sk"], types={"pk": "S", "sk": "S"})
    write = [{"PutRequest": {"Item": key(pk)}}]
    aws.dynamodb.batch_write_item(RequestItems={table: write, other: write})
    assert get(aws, table, key(pk)) == get(aws, other, key(pk)) == key(pk)
    aws.dynamodb.delete_table(TableName=other)


def test_a_batch_for_a_missing_table_is_refused(aws: Aws, pk: str) -> None:
    response = refusal(
        aws.dynamodb.batch_write_item,
        RequestItems={"no-such-table": [{"PutRequest": {"Item": key(pk)}}]},
    )
    assert code(response) == "ResourceNotFoundException"


def test_a_query_pages_through_one_partition_in_order(aws: Aws, table: str, pk: str) -> None:
    for number in (3, 1, 2, 5, 4):
        aws.dynamodb.put_item(TableName=table, Item=key(pk, number))
    aws.dynamodb.put_item(TableName=table, Item=key(f"{pk}-other"))
    pages = aws.dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk AND sk > :from",
        ExpressionAttributeValues={":pk": {"S": pk}, ":from": {"S": "1"}},
        ScanIndexForward=False,
        PaginationConfig={"PageSize": 2},
    )
    found = [[item["sk"]["S"] for item in page["Items"]] for page in pages]
    # A page may be empty: DynamoDB only sees after a full page that nothing follows.
    assert [page for page in found if page] == [["5", "4"], ["3", "2"]]


def test_an_index_holds_only_items_with_its_keys(aws: Aws, table: str, pk: str) -> None:
    status = f"open-{pk}"
    for number in (2, 10, 1):
        aws.dynamodb.put_item(
            TableName=table,
            Item={**key(pk, number), "status": {"S": status}, "rank": {"N": str(number)}},
        )
    aws.dynamodb.put_item(TableName=table, Item={**key(pk, "unranked"), "status": {"S": status}})
    found = aws.dynamodb.query(
        TableName=table,
        IndexName="by_status",
        KeyConditionExpression="#status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": status}},
    )
    assert [item["rank"]["N"] for item in found["Items"]] == ["1", "2", "10"]
