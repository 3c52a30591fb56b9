"""DynamoDB in plain Python values: numbers are int or Decimal, sets are sets of strings."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

import stamina
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Row = dict[str, Any]

BATCH_WRITES: Final = 25
BATCH_READS: Final = 100
TRANSACTION_WRITES: Final = 100

_NAME: Final = re.compile(r"#(\w+)")
_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class Cancelled(Exception):
    """A transaction of which at least one condition did not hold. Nothing of it was written."""

    def __init__(self, codes: Sequence[str]) -> None:
        super().__init__(f"transaction cancelled: {', '.join(codes)}")
        self.codes = tuple(codes)

    def failed(self, position: int) -> bool:
        """Tell whether the condition of the write at this position did not hold."""
        return self.codes[position] == "ConditionalCheckFailed"


class Conflict(Exception):
    """Another transaction touched the same item at the same moment. Try again."""


class Unprocessed(Exception):
    """DynamoDB left some writes of a batch undone. Try these again."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, which those build on that know what its rows mean."""

    client: "DynamoDBClient"
    table: str


@dataclass(frozen=True, slots=True)
class Written:
    """What a conditional write found: the row after it, or the row that stood against it."""

    done: bool
    row: Row | None


def to_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a row in DynamoDB's notation; None and empty sets are left out."""
    return {name: _serialize(value) for name, value in row.items() if value is not None and value != set()}


def size(row: Mapping[str, Any]) -> int:
    """Count the bytes of a row as DynamoDB does; a write unit takes 1,024 of them."""
    return item_size(to_item(row))


def item_size(item: Mapping[str, Any]) -> int:
    """Count the bytes of an item, which is in DynamoDB's notation already.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Mapping[str, Any]) -> int:
    ((kind, inner),) = value.items()
    match kind:
        case "S":
            return len(inner.encode())
        case "N":
            return (len(inner) + 1) // 2 + 2  # two digits a byte, the sign and the exponent
        case "SS":
            return sum(len(one.encode()) for one in inner)
        case "L":
            return 3 + sum(1 + _size(one) for one in inner)
        case "M":
            return 3 + len(inner) + item_size(inner)
    return 1


def from_item(item: Mapping[str, Any]) -> Row:
    """Read a row from DynamoDB's notation; whole numbers become int."""
    return {name: _plain(_deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else value
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def put(
    table: str, row: Mapping[str, Any], *, when: str = "", values: Mapping[str, Any] | None = None
) -> Row:
    """Build the arguments of PutItem, which are also those of a Put in a transaction."""
    request: Row = {"TableName": table, "Item": to_item(row)}
    return request | _expressions(when, when=when, values=values or {})


def update(
    table: str,
    key: Mapping[str, str],
    expression: str,
    *,
    when: str = "",
    values: Mapping[str, Any] | None = None,
) -> Row:
    """Build the arguments of UpdateItem. Attribute names are written `#name` throughout."""
    request: Row = {"TableName": table, "Key": to_item(key), "UpdateExpression": expression}
    return request | _expressions(f"{expression} {when}", when=when, values=values or {})


def change(
    table: str,
    key: Mapping[str, str],
    changes: Mapping[str, Any],
    *,
    when: str = "",
    values: Mapping[str, Any] | None = None,
) -> Row:
    """Build an update that sets attributes, and removes those whose new value is None.

    `values` are those of the condition.
    """
    new = {name: value for name, value in changes.items() if value is not None}
    parts = (
        ("SET ", [f"#{name} = :new_{name}" for name in new]),
        ("REMOVE ", [f"#{name}" for name in changes if name not in new]),
    )
    expression = " ".join(verb + ", ".join(some) for verb, some in parts if some)
    told = {f"new_{name}": value for name, value in new.items()}
    return update(table, key, expression, when=when, values=told | dict(values or {}))


def delete(
    table: str, key: Mapping[str, str], *, when: str = "", values: Mapping[str, Any] | None = None
) -> Row:
    """Build the arguments of DeleteItem."""
    request: Row = {"TableName": table, "Key": to_item(key)}
    return request | _expressions(when, when=when, values=values or {})


def _expressions(text: str, *, when: str, values: Mapping[str, Any]) -> Row:
    parts: Row = {}
    if when:
        parts["ConditionExpression"] = when
    if names := set(_NAME.findall(text)):
        parts["ExpressionAttributeNames"] = {f"#{name}": name for name in sorted(names)}
    if values:
        parts["ExpressionAttributeValues"] = {f":{k}": _serialize(v) for k, v in values.items()}
    return parts


def write(client: "DynamoDBClient", request: Row) -> Written:
    """Put, update or delete one item under its condition."""
    request = request | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    reply: Mapping[str, Any]
    try:
        if "UpdateExpression" in request:
            reply = client.update_item(**request, ReturnValues="ALL_NEW")
        elif "Item" in request:
            reply = client.put_item(**request)
        else:
            reply = client.delete_item(**request)
    except client.exceptions.ConditionalCheckFailedException as error:
        against: Any = error.response.get("Item")
        return Written(done=False, row=from_item(against) if against else None)
    item = reply.get("Attributes")
    return Written(done=True, row=from_item(item) if item else None)


def _as_write(request: Row) -> Row:
    """Wrap the arguments of one write for `transact`."""
    if "UpdateExpression" in request:
        return {"Update": request}
    return {"Put" if "Item" in request else "Delete": request}


@stamina.retry(on=Conflict, attempts=8, timeout=30)
def transact(client: "DynamoDBClient", requests: Sequence[Row]) -> None:
    """Do all writes or none. Raises Cancelled when a condition does not hold."""
    try:
        items: Any = [_as_write(request) for request in requests]
        client.transact_write_items(TransactItems=items)
    except client.exceptions.TransactionCanceledException as error:
        codes = [reason.get("Code", "None") for reason in error.response["CancellationReasons"]]
        if "ConditionalCheckFailed" in codes:
            raise Cancelled(codes) from error
        if "TransactionConflict" in codes:
            raise Conflict from error
        raise


def get(client: "DynamoDBClient", table: str, key: Mapping[str, str]) -> Row | None:
    """Read one item as it is now."""
    item = client.get_item(TableName=table, Key=to_item(key), ConsistentRead=True).get("Item")
    return from_item(item) if item else None


def get_many(client: "DynamoDBClient", table: str, keys: Iterable[Mapping[str, str]]) -> Iterator[Row]:
    """Read many items as they are now, in no order; missing ones are left out."""
    for batch in batched(keys, BATCH_READS, strict=False):
        request: Row = {table: {"Keys": [to_item(key) for key in batch], "ConsistentRead": True}}
        for attempt in stamina.retry_context(on=Unprocessed, attempts=10, timeout=60):
            with attempt:
                reply = client.batch_get_item(RequestItems=request)
                for item in reply["Responses"].get(table, []):
                    yield from_item(item)
                request = dict(reply.get("UnprocessedKeys", {}))
                if request:
                    raise Unprocessed


def query(
    client: "DynamoDBClient",
    table: str,
    condition: str,
    values: Mapping[str, Any],
    *,
    index: str | None = None,
    newest_first: bool = False,
) -> Iterator[Row]:
    """Yield the items of a partition in the order of their sort key, page by page.

    A table is read consistently, an index as far as it has come.
    """
    request: Row = {
        "TableName": table,
        "KeyConditionExpression": condition,
        "ScanIndexForward": not newest_first,
        **({"IndexName": index} if index else {"ConsistentRead": True}),
        **_expressions(condition, when="", values=values),
    }
    for page in client.get_paginator("query").paginate(**request):
        yield from map(from_item, page["Items"])


def scan(
    client: "DynamoDBClient",
    table: str,
    condition: str = "",
    values: Mapping[str, Any] | None = None,
    *,
    index: str | None = None,
) -> Iterator[Row]:
    """Yield the items of a whole table or index that meet a condition, in no order.

    All of it is read and paid. A table is read consistently, an index as far as it has come.
    """
    request: Row = {
        "TableName": table,
        **({"IndexName": index} if index else {"ConsistentRead": True}),
        **({"FilterExpression": condition} if condition else {}),
        **_expressions(condition, when="", values=values or {}),
    }
    for page in client.get_paginator("scan").paginate(**request):
        yield from map(from_item, page["Items"])


def write_many(client: "DynamoDBClient", table: str, requests: Iterable[Row]) -> None:
    """Put or delete many items without conditions: `{"PutRequest": …}`, `{"DeleteRequest": …}`."""
    for batch in batched(requests, BATCH_WRITES, strict=False):
        left: Row = {table: list(batch)}
        for attempt in stamina.retry_context(on=Unprocessed, attempts=12, timeout=120):
            with attempt:
                left = dict(client.batch_write_item(RequestItems=left).get("UnprocessedItems", {}))
                if left:
                    raise Unprocessed


def put_many(client: "DynamoDBClient", table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put many items without conditions. Two rows must not have the same key."""
    write_many(client, table, ({"PutRequest": {"Item": to_item(row)}} for row in rows))


def delete_many(client: "DynamoDBClient", table: str, keys: Iterable[Mapping[str, str]]) -> None:
    """Delete many items; missing ones are no error."""
    write_many(client, table, ({"DeleteRequest": {"Key": to_item(key)}} for key in keys))


def code_of(error: ClientError) -> str:
    """Name the error of a reply."""
    return error.response.get("Error", {}).get("Code", "")
