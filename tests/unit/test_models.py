from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from batchline.models import Charge, DocumentStatus, Frozen, Range, Usage, timestamp
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError


def test_times_are_written_in_utc_with_milliseconds() -> None:
    tokyo = timezone(timedelta(hours=9))
    # 01:02 in Tokyo is 16:02 of the day before; 987,654 µs are 987 whole ms
    at = datetime(2026, 1, 5, 1, 2, 3, 987_654, tokyo)
    assert timestamp(at) == "2026-01-04T16:02:03.987Z"


@given(st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))))  # noqa: DTZ001
def test_times_sort_as_text(times: list[datetime]) -> None:
    assert sorted(map(timestamp, times)) == [timestamp(one) for one in sorted(times)]


def test_usage_and_charges_add_up() -> None:
    assert Usage(10, 2) + Usage(5, 1) == Usage(15, 3)
    assert Usage(15, 3) - Usage(5, 1) == Usage(10, 2)
    assert Usage(10, 2, 3, 4, 1) + Usage(5, 1, 1, 1, 1) == Usage(15, 3, 4, 5, 2)
    assert Usage(15, 3, 4, 5, 2) - Usage(5, 1, 1, 1, 1) == Usage(10, 2, 3, 4, 1)
    assert Charge(Decimal("0.1"), Decimal("0.2")) + Charge(Decimal("0.2")) == Charge(
        Decimal("0.3"), Decimal("0.2")
    )


def test_a_row_names_the_tokens_that_there_are() -> None:
    assert Usage(10, 2).told() == {"input_tokens": 10, "output_tokens": 2}
    assert Usage().told() == {"input_tokens": 0, "output_tokens": 0}
    some = Usage(10, 2, cache_read_tokens=7, reasoning_tokens=1)
    assert some.told() == {
        "input_tokens": 10,
        "output_tokens": 2,
        "cache_read_tokens": 7,
        "reasoning_tokens": 1,
    }
    assert Usage.of(some.told() | {"document_id": "x"}) == some
    assert Usage.of({}) == Usage()
    assert some.counted == Usage(10, 2)


def test_a_prompt_is_long_by_all_its_tokens_and_all_of_them_count() -> None:
    short, long = Usage(60, 5, 30, 10, 2), Usage(60, 5, 30, 11, 2)
    assert (short.parted(100), long.parted(None)) == (short, long)
    told = long.parted(100)
    assert told == Usage(60, 5, 30, 11, 2, 60, 5, 30, 11)
    assert (told.long, told.parted(100), short.long) == (Usage(60, 5, 30, 11), told, Usage())
    assert (short + told).long == told.long
    assert Usage.of(told.told()) == told
    assert short.told().keys() & told.told().keys() == short.told().keys()
    assert not [name for name in short.told() if name.startswith("long_")]


@given(st.integers(0, 9_999_999), st.integers(1, 2_000), st.integers(1, 9))
def test_ranges_are_read_back(first: int, count: int, attempt: int) -> None:
    whole = Range("mfzwizltmfzwizlt", "m", first, count, attempt)
    assert Range.parse(str(whole)) == whole


def test_only_ends_are_terminal() -> None:
    ends = {one.value for one in DocumentStatus if one.terminal}
    assert ends == {"COMPLETED", "PARTIAL", "FAILED", "CANCELLED"}


def test_models_refuse_what_they_do_not_know_and_keep_it_to_themselves() -> None:
    class Point(Frozen):
        x: int

    with pytest.raises(ValidationError) as caught:
        Point.model_validate({"x": "the secret", "y": 1})
    assert "the secret" not in str(caught.value)
    with pytest.raises(ValidationError, match="frozen"):
        Point(x=1).x = 2  # type: ignore[misc]
