from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as some

from local.localstack.batchline_localstack import item_rules
from local.localstack.batchline_localstack.item_rules import IndexKey, InvalidItemError, Write

BY_RANK = IndexKey("by_rank", "rank", "N")


def put(table: str, name: str) -> Write:
    return Write(table, {"pk": {"S": name}})


@pytest.mark.parametrize(
    "item",
    [
        {"a": {"SS": []}},
        {"a": {"NS": []}},
        {"a": {"BS": []}},
        {"a": {"M": {"b": {"L": [{"S": "x"}, {"M": {"c": {"SS": []}}}]}}}},
        {"rank": {"S": "1"}},
        {"rank": {"NULL": True}},
    ],
)
def test_items_that_dynamodb_refuses(item: item_rules.Item) -> None:
    with pytest.raises(InvalidItemError):
        item_rules.check_item(item, [BY_RANK])


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"a": {"SS": ["x"]}, "b": {"L": []}, "c": {"M": {}}, "d": {"S": ""}, "e": {"NULL": True}},
        {"rank": {"N": "0"}},
    ],
)
def test_items_that_dynamodb_takes(item: item_rules.Item) -> None:
    item_rules.check_item(item, [BY_RANK])


def test_an_empty_index_key_names_index_and_attribute() -> None:
    with pytest.raises(InvalidItemError, match="IndexName: by_status, IndexKey: status"):
        item_rules.check_item({"status": {"S": ""}}, [IndexKey("by_status", "status", "S")])


@pytest.mark.parametrize("count", [0, 26])
def test_a_batch_has_1_to_25_writes(count: int) -> None:
    with pytest.raises(InvalidItemError, match="less than or equal to 25"):
        item_rules.check_batch([put("t", str(number)) for number in range(count)])


def test_a_batch_names_an_item_once_but_a_key_in_each_table() -> None:
    item_rules.check_batch([put("t", "a"), put("t", "b"), put("other", "a")])
    with pytest.raises(InvalidItemError, match="duplicates"):
        item_rules.check_batch([put("t", "a"), put("t", "b"), put("t", "a")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1E-7", "0.0000001"),
        ("1.50", "1.5"),
        ("1E+3", "1000"),
        ("-0.0", "0"),
        ("+007", "7"),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
    ],
)
def test_numbers_are_written_as_dynamodb_writes_them(text: str, expected: str) -> None:
    assert item_rules.canonical_number(text) == expected


@given(some.decimals(min_value=-(10**30), max_value=10**30, places=8))
def test_a_canonical_number_keeps_its_value(number: Decimal) -> None:
    text = item_rules.canonical_number(str(number))
    assert Decimal(text) == number
    assert "E" not in text
    assert item_rules.canonical_number(text) == text


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidOperation):
        item_rules.canonical_number("seven")
