"""What the pipeline itself costs: work worked out by hand, and shares that add up."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from batchline.aws import meter
from batchline.money import overhead
from batchline.money.overhead import Rates, Work
from hypothesis import given
from hypothesis import strategies as st

RATES = Rates("us-east-1", "arm64", "2026-11-22")


def test_work_is_priced_to_the_last_digit() -> None:
    work = Work(
        gb_seconds=Decimal("2.5"),
        invocations=3,
        s3_writes=4,
        s3_reads=10,
        sqs_requests=7,
        write_units=11,
        read_units=Decimal("1.5"),
        events=2,
        log_bytes=3_000,
    )
    # 2.5 x 0.0000133334 = 0.0000333335; 3 x 0.0000002 = 0.0000006; 4 x 0.000005 = 0.00002
    # 10 x 0.0000004 = 0.000004; 7 x 0.0000004 = 0.0000028; 11 x 0.000000625 = 0.000006875
    # 1.5 x 0.000000125 = 0.0000001875; 2 x 0.000001 = 0.000002; 3,000 x 0.5 / 10^9 = 0.0000015
    assert RATES.usd(work) == Decimal("0.000071296")
    assert overhead.booked(RATES.usd(work)) == Decimal("0.000071296")
    assert overhead.booked(Decimal("0.0000000015")) == Decimal("0.000000002")


@pytest.mark.parametrize(
    ("region", "architecture", "usd"),
    [
        ("us-east-1", "arm64", "0.0000133334"),
        ("us-east-1", "x86_64", "0.0000166667"),
        ("af-south-1", "x86_64", "0.0000221"),
        ("eu-central-1", "arm64", "0.0000133334"),  # not named: as in us-east-1
    ],
)
def test_lambda_costs_by_region_and_processor(region: str, architecture: str, usd: str) -> None:
    assert Rates(region, architecture, "2026-11-22").usd(Work(gb_seconds=1)) == Decimal(usd)


def test_logs_cost_more_in_tokyo() -> None:
    gigabyte = Work(log_bytes=10**9)
    assert Rates("ap-northeast-1", "arm64", "2026-11-22").usd(gigabyte) == Decimal("0.76")
    assert RATES.usd(gigabyte) == Decimal("0.5")


def test_the_oldest_price_also_holds_before() -> None:
    assert Rates("us-east-1", "arm64", "2020-01-01").usd(Work(write_units=1)) == Decimal("0.000000625")


def test_every_price_says_where_and_when_it_was_read() -> None:
    items = {one.item for one in overhead.price_list().entries if one.region == overhead.REGION}
    named = set(overhead.COUNTED) - {"gb_seconds", "log_bytes"}
    assert items == named | {"gb_seconds_arm64", "gb_seconds_x86_64", "log_gb"}
    for one in overhead.price_list().entries:
        assert one.source.startswith("https://")
        assert one.since <= one.read


def test_lambda_charges_milliseconds_that_have_begun() -> None:
    # 1.2345 s is 1,235 ms; 1,769 of 1,024 MB
    assert overhead.seconds(1.2345, 1_769) == Work(gb_seconds=Decimal("1.235") * 1_769 / 1_024)
    assert overhead.seconds(0.1, 1_024) == Work(gb_seconds=Decimal("0.1"))


def test_work_adds_up() -> None:
    one, two = Work(s3_reads=1, write_units=4), Work(s3_reads=2, events=1)
    assert one + two == Work(s3_reads=3, write_units=4, events=1)
    assert one + two - two == one
    assert one * 3 == one + one + one


@given(nanodollars=st.integers(0, 10**12), cuts=st.lists(st.integers(0, 10_000)), of=st.integers(1, 10_000))
def test_shares_add_up_to_the_whole_whichever_way_it_is_cut(
    nanodollars: int, cuts: list[int], of: int
) -> None:
    usd = nanodollars * overhead.NANODOLLAR
    at = sorted({0, of, *(one for one in cuts if one < of)})
    shares = [overhead.share(usd, a, b, of) for a, b in pairwise(at)]
    assert sum(shares) == usd
    assert min(shares) >= 0


@given(nanodollars=st.integers(0, 10**9), of=st.integers(1, 500))
def test_equal_shares_differ_by_a_nanodollar_at_most(nanodollars: int, of: int) -> None:
    usd = nanodollars * overhead.NANODOLLAR
    shares = [overhead.share(usd, n, n + 1, of) for n in range(of)]
    assert max(shares) - min(shares) <= overhead.NANODOLLAR


# DynamoDB's units

KB: Any = {"S": "x" * 1_024}
ID: Any = {"S": "d" * 16}


@pytest.mark.parametrize(
    ("operation", "asked", "reply", "write_units", "read_units"),
    [
        # 8 + 16 + 4 + 1,024 bytes are more than one unit
        ("PutItem", {"Item": {"entry_id": ID, "text": KB}}, {}, 2, 0),
        ("PutItem", {"Item": {"entry_id": ID}}, {}, 1, 0),
        # a new document has one entry in the index by day, one with a problem has two
        ("PutItem", {"Item": {"document_id": ID, "day_key": ID}}, {}, 2, 0),
        ("PutItem", {"Item": {"document_id": ID, "day_key": ID, "problem": ID}}, {}, 3, 0),
        (
            "PutItem",
            {"Item": {"document_id": ID, "day_key": ID}},
            {"Error": {"Code": "ConditionalCheckFailedException"}},
            1,
            0,
        ),
        ("UpdateItem", {"Key": {"pk": ID}, "UpdateExpression": "SET #a = :a"}, {}, 1, 0),
        (
            "UpdateItem",
            {"Key": {"pk": ID}, "UpdateExpression": "SET #a = :a"},
            {"Attributes": {"pk": ID, "a": KB}},
            2,
            0,
        ),
        # a job's status is in an index: the older entry goes, another comes
        ("UpdateItem", {"Key": {"job_id": ID}, "UpdateExpression": "SET #status = :to"}, {}, 3, 0),
        ("UpdateItem", {"Key": {"document_id": ID}, "UpdateExpression": "SET #status = :to"}, {}, 1, 0),
        ("UpdateItem", {"Key": {"document_id": ID}, "UpdateExpression": "SET #problem = :p"}, {}, 2, 0),
        ("UpdateItem", {"Key": {"document_id": ID}, "UpdateExpression": "REMOVE #error, #problem"}, {}, 1, 0),
        ("DeleteItem", {"Key": {"pk": ID}}, {}, 1, 0),
        # twice in a transaction: 2 x 2 for the put, 2 x 1 for the update
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"Item": {"pk": ID, "a": KB}}},
                    {"Update": {"Key": {"pk": ID}, "UpdateExpression": "SET #a = :a"}},
                ]
            },
            {},
            6,
            0,
        ),
        (
            "BatchWriteItem",
            {
                "RequestItems": {
                    "t": [
                        {"PutRequest": {"Item": {"pk": ID, "a": KB}}},
                        {"DeleteRequest": {"Key": {"pk": ID}}},
                        {"DeleteRequest": {"Key": {"pk": ID}}},
                    ]
                }
            },
            {"UnprocessedItems": {"t": [{"DeleteRequest": {"Key": {"pk": ID}}}]}},
            3,
            0,
        ),
        ("GetItem", {"ConsistentRead": True}, {"Item": {"pk": ID, "a": {"S": "x" * 5_000}}}, 0, 2),
        ("GetItem", {"ConsistentRead": True}, {}, 0, 1),
        ("GetItem", {}, {}, 0, Decimal("0.5")),
        # one of 18 bytes, one of 5,018, and one that is not there
        (
            "BatchGetItem",
            {"RequestItems": {"t": {"Keys": [{"pk": ID}] * 3}}},
            {"Responses": {"t": [{"pk": ID}, {"pk": ID, "a": {"S": "x" * 5_000}}]}},
            0,
            4,
        ),
        # 5 x 1,043 bytes are read together
        ("Query", {"ConsistentRead": True}, {"Items": [{"pk": ID, "a": KB}] * 5}, 0, 2),
        ("Query", {}, {"Items": [{"pk": ID, "a": KB}] * 5}, 0, Decimal(1)),
        ("DescribeTable", {}, {}, 0, 0),
    ],
)
def test_units_of_a_call(
    operation: str, asked: Any, reply: Any, write_units: int, read_units: Decimal
) -> None:
    expected = Work(write_units=write_units, read_units=read_units)
    assert meter.units(operation, asked, reply) == expected
