"""moto's DynamoDB backend, made to behave like DynamoDB where it differs and programs notice.

- A write that fails leaves no trace (moto may keep half of an update, or a new item's bare key).
- A transaction undoes its own items (moto copies whole tables, which takes seconds on full ones).
- Index keys must have the type of the table's definition; sets may not be empty.
- A query looks at one partition (moto sorts the whole table first).
- Numbers lose their exponent (moto fails to add to `1E-7`).
- `size()` of a missing attribute makes a condition false (moto answers 500).
- TransactGetItems takes 100 items (moto 25).
"""

import contextlib
import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, override

from localstack.utils.patch import patch
from moto.dynamodb import responses
from moto.dynamodb.comparisons import FuncSize, get_filter_expression
from moto.dynamodb.exceptions import (
    ConditionalCheckFailed,
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from . import item_rules
from .item_rules import IndexKey, InvalidItemError

type Attributes = dict[str, Any]
type Key = tuple[DynamoType, DynamoType | None]
# Code, message and the item as it was; all None where the operation has no part in a failure.
type Reason = tuple[str | None, str | None, Attributes | None]
NO_REASON: Reason = (None, None, None)


def install() -> None:
    """Make moto use this backend. To be called once, before moto's first use."""
    dynamodb_backends.backend = Tables
    responses.TRANSACTION_MAX_ITEMS = item_rules.MAX_TRANSACTION_ITEMS

    @patch(DynamoType.__init__)
    def with_canonical_number(init: Callable[..., None], self: DynamoType, value: Any) -> None:
        init(self, value)
        if self.type == "N" and isinstance(self.value, str):
            # What is no number is left for moto to refuse.
            with contextlib.suppress(ArithmeticError):
                self.value = item_rules.canonical_number(self.value)

    @patch(FuncSize.expr)
    def size_of_what_is_there(expr: Callable[..., int], self: FuncSize, item: Item | None) -> int | None:
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
        self,
        table_name: str,
        hash_key_dict: Attributes,
        range_comparison: str | None,
        range_value_dicts: list[Attributes],
        limit: int,
        exclusive_start_key: Attributes,
        scan_index_forward: bool,
        projection_expressions: list[list[str]] | None,
        index_name: str | None = None,
        consistent_read: bool = False,
        expr_names: dict[str, str] | None = None,
        expr_values: dict[str, dict[str, str]] | None = None,
        filter_expression: str | None = None,
        **filter_kwargs: Any,
    ) -> tuple[list[Item], int, Attributes | None]:
        table, hash_key = self.get_table(table_name), DynamoType(hash_key_dict)
        if index_name is None:
            table = _partition(table, hash_key)
        return table.query(
            hash_key,
            range_comparison,
            [DynamoType(value) for value in range_value_dicts],
            limit,
            exclusive_start_key,
            scan_index_forward,
            projection_expressions,
            index_name,
            consistent_read,
            get_filter_expression(filter_expression, expr_names, expr_values),
            **filter_kwargs,
        )

    @override
    def transact_write_items(self, transact_items: list[dict[str, Attributes]]) -> None:
        """Write all or nothing. Conditions are judged on the state before the transaction.

        Raises TransactionCanceledException with a reason for each item.
        """
        if len(transact_items) > item_rules.MAX_TRANSACTION_ITEMS:
            raise TooManyTransactionsException
        operations = [_operation(item) for item in transact_items]
        keys = [self._key(kind, operation) for kind, operation in operations]
        if len({(table.name, *key) for table, key in keys}) < len(keys):
            raise MultipleTransactionsException
        _cancel_if_any(
            [
                _objection(operation, table.get_item(*key))
                for (_, operation), (table, key) in zip(operations, keys, strict=True)
            ]
        )
        with undone_on_error(keys):
            _cancel_if_any([self._write(kind, operation) for kind, operation in operations])

    def _key(self, kind: str, operation: Attributes) -> tuple[Table, Key]:
        table = self.get_table(operation["TableName"])
        return table, self.get_keys_value(table, operation["Item" if kind == "Put" else "Key"])

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
def undone_on_error(places: Sequence[tuple[Table, Key]]) -> Iterator[None]:
    """Put items and streams back as they were if the block does not reach its end."""
    items = [(table, key, copy.deepcopy(table.get_item(*key))) for table, key in places]
    streams = [
        (table.stream_shard, len(table.stream_shard.items)) for table, _ in places if table.stream_shard
    ]
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            for table, key, item in items:
                _restore(table, key, item)
            for shard, length in streams:
                del shard.items[length:]


def _restore(table: Table, key: Key, item: Item | None) -> None:
    hash_key, range_key = key
    holder, name = (table.items, hash_key) if range_key is None else (table.items[hash_key], range_key)
    if item is None:
        holder.pop(name, None)
    else:
        holder[name] = item


def _partition(table: Table, hash_key: DynamoType) -> Table:
    """Show the table as if it held this partition only."""
    view = copy.copy(table)
    view.items = defaultdict(dict)
    if hash_key in table.items:
        view.items[hash_key] = table.items[hash_key]
    return view


def _operation(transact_item: dict[str, Attributes]) -> tuple[str, Attributes]:
    if len(transact_item) != 1:
        raise TransactWriteSingleOpException
    return next(iter(transact_item.items()))


def _objection(operation: Attributes, current: Item | None) -> Reason:
    """Say why the operation's condition does not hold, if it does not."""
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


def _cancel_if_any(reasons: list[Reason]) -> None:
    if any(code for code, _, _ in reasons):
        raise TransactionCanceledException(reasons)
