"""DynamoDB's rules about items that moto does not check.

Pure: an item is a dict of typed values as in DynamoDB's JSON (`{"pk": {"S": "a"}}`).
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

type Value = Mapping[str, Any]
type Item = Mapping[str, Value]

MAX_BATCH_WRITES = 25
MAX_TRANSACTION_ITEMS = 100
SET_NAMES = {"SS": "string", "NS": "number", "BS": "binary"}
NUMBERS = Context(prec=38)


class InvalidItemError(ValueError):
    """The request breaks a rule; the message is for the caller, who must change the request."""


@dataclass(frozen=True)
class IndexKey:
    """An attribute that is a key of the index `index` and must have type S, N or B."""

    index: str
    attribute: str
    type: str


@dataclass(frozen=True)
class Write:
    """One entry of a BatchWriteItem request, by the key of the item that it puts or deletes."""

    table: str
    key: Item


def check_item(item: Item, index_keys: Sequence[IndexKey]) -> None:
    """Refuse empty sets, and index keys that are empty or of another type than the table says.

    Raises InvalidItemError.
    """
    for kind in _empty_sets(item):
        raise InvalidItemError(
            f"One or more parameter values were invalid: An {SET_NAMES[kind]} set  may not be empty"
        )
    for key in index_keys:
        if key.attribute not in item:
            continue
        actual, content = next(iter(item[key.attribute].items()))
        if actual == key.type and not content:
            raise InvalidItemError(
                "One or more parameter values are not valid. A value specified for a secondary index "
                "key is not supported. The AttributeValue for a key attribute cannot contain an empty "
                f"string value. IndexName: {key.index}, IndexKey: {key.attribute}"
            )
        if actual != key.type:
            raise InvalidItemError(
                "One or more parameter values were invalid: Type mismatch for Index Key "
                f"{key.attribute} Expected: {key.type} Actual: {actual} IndexName: {key.index}"
            )


def check_batch(writes: Sequence[Write]) -> None:
    """Refuse more writes than BatchWriteItem takes, and two writes of one item.

    Raises InvalidItemError.
    """
    if not 1 <= len(writes) <= MAX_BATCH_WRITES:
        raise InvalidItemError(
            "1 validation error detected: Value at 'requestItems' failed to satisfy constraint: "
            "Map value must satisfy constraint: [Member must have length less than or equal to "
            f"{MAX_BATCH_WRITES}, Member must have length greater than or equal to 1]"
        )
    if len({identity(write.table, write.key) for write in writes}) < len(writes):
        raise InvalidItemError("Provided list of item keys contains duplicates")


def identity(table: str, key: Item) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Tell an item from all others, whatever the order of its key's attributes."""
    return table, tuple(sorted((name, repr(dict(value))) for name, value in key.items()))


def canonical_number(text: str) -> str:
    """Write a number as DynamoDB does: no exponent, no needless zeros, at most 38 digits.

    Raises decimal.InvalidOperation where the text is no number.
    """
    number = Decimal(text).normalize(NUMBERS)
    return f"{number:f}" if number else "0"


def _empty_sets(values: Mapping[str, Any]) -> Iterator[str]:
    """Find the type of each empty set at any depth."""
    for value in values.values():
        kind, content = next(iter(value.items()))
        if kind in SET_NAMES and not content:
            yield kind
        elif kind == "M":
            yield from _empty_sets(content)
        elif kind == "L":
            yield from _empty_sets(dict(enumerate(content)))
