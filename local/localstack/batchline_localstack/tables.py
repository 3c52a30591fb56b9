"""moto's DynamoDB backend, made to behave like DynamoDB where it differs and programs notice.

- A write that fails leaves no trace (moto may keep half of an update, or a new item's bare key).
- A transaction undoes its own items (moto copies whole tables, which takes seconds on full ones).
- Index keys must have the type of the table's definition; sets may not be empty.
- A query looks at one partition (moto sorts the whole table first).
- Numbers lose their exponent (moto fails to add to `1E-7`).
- `size()` of a missing attribute makes a condition false (moto answers 500).
"""

import contextlib
import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, override

from localstack.utils.patch import patch
from moto.dynamodb import responses
from moto.dynamodb.comparisons import FuncSize, get_filter_expression
from moto.dynamodb.exceptions import (
    ConditionalCheckFailed,
    DynamodbException,
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend, Table, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from . import item_rules
from .item_rules import IndexKey, InvalidItemError

type Attributes = dict[str, Any]
type Reason = tuple[str | None, str | None, Attributes | None]
NO_REASON: Reason = (None, None, None)


def install() -> None:
    """Make moto use this backend. To be called before its first use."""
    dynamodb_backends.backend = Tables
    responses.TRANSACTION_MAX_ITEMS = item_rules.MAX_TRANSACTION_ITEMS

    @patch(DynamoType.__init__)
    def with_canonical_number(init: Callable[..., None], self: DynamoType, value: Any) -> None:
        init(self, value)
        if self.type == "N" and isinstance(self.value, str):
            with contextlib.suppress(ArithmeticError):  # moto refuses what is no number
                self.value = item_rules.canonical_number(self.value)

    @patch(FuncSize.expr)
    def size_of_what_is_there(
        expr: Callable[..., int], self: FuncSize, item: Item | None
    ) -> int | None:
        return None if self.attr.get_type(item) is None else expr(self, item)


class Tables(DynamoDBBackend):
    """The tables of one account and region. Callers must hold a lock: nothing here does."""

    # moto looks for the service's URLs in a module named after the one of the backend's class.
    __module__ = DynamoDBBackend.__module__

    @override
    def put_item(self, table_name: str, item_attrs: Attributes, *args: Any, **kwargs: Any) -> Item:
        check(self.get_table(table_name), item_attrs)
        return super().put_item(table_name, item_attrs, *args, **kwargs)

    @override
    def update_item(self, table_name: str, key: Attributes, *args: Any, **kwargs: Any) -> Item:
        table = self.get_table(table_name)
        with undone_on_error([(table, self.get_keys_value(table, key))]):
            item = super().update_item(table_name, key, *args, **kwargs)
            check(table, item.to_json()["Attributes"])
            return item

    @override
    def query(
        self, table_name: str, hash_key_dict: Attributes, *args: Any, **kwargs: Any
    ) -> tuple[list[Item], int, Attributes | None]:
        table = self.get_table(table_name)
        if _index_name(args, kwargs) is None:
            hash_key = DynamoType(hash_key_dict)
            partition = copy.copy(table)
            partition.items = defaultdict(dict)
            if hash_key in table.items:
                partition.items[hash_key] = table.items[hash_key]
            self = copy.copy(self)  # noqa: PLW0642 - a view that knows this one partition
            self.tables = {table.name: partition}
        return DynamoDBBackend.query(self, table.name, hash_key_dict, *args, **kwargs)

    @override
    def transact_write_items(self, transact_items: list[dict[str, Attributes]]) -> None:
        """All or nothing. Conditions are judged on the state before the transaction.

        Raises TransactionCanceledException with a reason for each item.
        """
        if len(transact_items) > item_rules.MAX_TRANSACTION_ITEMS:
            raise TooManyTransactionsException
        operations = [_operation(item) for item in transact_items]
        keys = [(self.get_table(op["TableName"]), self._key(kind, op)) for kind, op in operations]
        if len({(table.name, *key) for table, key in keys}) < len(keys):
            raise MultipleTransactionsException
        reasons = [
            self._objection(op, table.get_item(*key))
            for (_, op), (table, key) in zip(operations, keys, strict=True)
        ]
        _cancel_if_any(reasons)
        with undone_on_error(keys):
            reasons = [self._write(kind, op) for kind, op in operations]
            _cancel_if_any(reasons)

    def _key(self, kind: str, operation: Attributes) -> tuple[DynamoType, DynamoType | None]:
        attributes = operation["Item" if kind == "Put" else "Key"]
        return self.get_keys_value(self.get_table(operation["TableName"]), attributes)

    def _objection(self, operation: Attributes, current: Item | None) -> Reason:
        """Why the operation's condition does not hold, if it does not."""
        condition = get_filter_expression(
            operation.get("ConditionExpression"),
            operation.get("ExpressionAttributeNames"),
            operation.get("ExpressionAttributeValues"),
        )
        if condition.expr(current):
            return NO_REASON
        wanted = operation.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        old = current.to_json()["Attributes"] if wanted and current else None
        return "ConditionalCheckFailed", ConditionalCheckFailed().message, old

    def _write(self, kind: str, operation: Attributes) -> Reason:
        """Carry out one operation; the reason if the item's present state forbids it."""
        table_name = operation["TableName"]
        try:
            if kind == "Put":
                self.put_item(table_name, operation["Item"], overwrite=True)
            elif kind == "Delete":
                self.delete_item(table_name, operation["Key"])
            elif kind == "Update":
                self.update_item(
                    table_name,
                    operation["Key"],
                    update_expression=operation["UpdateExpression"],
                    expression_attribute_names=operation.get("ExpressionAttributeNames", {}),
                    expression_attribute_values=operation.get("ExpressionAttributeValues", {}),
                )
        except MockValidationException as error:
            return "ValidationError", error.message, None
        return NO_REASON


def check(table: Table, attributes: Attributes) -> None:
    """Refuse what DynamoDB refuses about an item. Raises MockValidationException."""
    types = {one["AttributeName"]: one["AttributeType"] for one in table.attr}
    keys = [
        IndexKey(index.name, attribute, types[attribute])
        for index in table.all_indexes()
        for attribute in index.schema_key_attrs
    ]
    try:
        item_rules.check_item(attributes, keys)
    except InvalidItemError as error:
        raise MockValidationException(str(error)) from error


@contextlib.contextmanager
def undone_on_error(
    keys: list[tuple[Table, tuple[DynamoType, DynamoType | None]]],
) -> Iterator[None]:
    """Put the items back as they were, and their streams, if the block raises an error of moto's."""
    before = [(table, key, copy.deepcopy(table.get_item(*key))) for table, key in keys]
    records = {id(table): len(table.stream_shard.items) for table, _ in keys if table.stream_shard}
    try:
        yield
    except (DynamodbException, TypeError, ValueError):
        for table, (hash_key, range_key), item in before:
            _restore(table, hash_key, range_key, item)
            if table.stream_shard:
                del table.stream_shard.items[records[id(table)] :]
        raise


def _restore(
    table: Table, hash_key: DynamoType, range_key: DynamoType | None, item: Item | None
) -> None:
    if range_key is None:
        holder, key = table.items, hash_key
    else:
        holder, key = table.items[hash_key], range_key
    if item is None:
        holder.pop(key, None)
    else:
        holder[key] = item


def _operation(transact_item: dict[str, Attributes]) -> tuple[str, Attributes]:
    if len(transact_item) != 1:
        raise TransactWriteSingleOpException
    return next(iter(transact_item.items()))


def _cancel_if_any(reasons: list[Reason]) -> None:
    if any(code for code, _, _ in reasons):
        raise TransactionCanceledException(reasons)


def _index_name(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The argument `index_name` of DynamoDBBackend.query, the eighth after the partition's key."""
    position = 6
    return args[position] if len(args) > position else kwargs.get("index_name")
