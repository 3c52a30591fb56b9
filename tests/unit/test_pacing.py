"""The pace of calls on a virtual clock."""

from dataclasses import dataclass

from batchline import pacing
from batchline.pacing import Governor
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Made:
    at: float
    tokens: int


def most_in_a_minute(made: list[Made], count: str) -> int:
    """The largest sum over a minute; such a minute begins with a call."""
    return max(
        (
            sum(getattr(other, count) if count else 1 for other in made if one.at <= other.at < one.at + 60)
            for one in made
        ),
        default=0,
    )


calls = st.lists(
    st.tuples(st.integers(1, 400), st.floats(0, 1), st.floats(0, 40), st.booleans()), min_size=1, max_size=60
)


@given(calls, st.integers(1, 20) | st.none(), st.integers(400, 2_000) | st.none())
def test_no_minute_has_more_than_the_quota(
    wanted: list[tuple[int, float, float, bool]], requests: int | None, tokens: int | None
) -> None:
    """Whatever calls use of what was kept for them, however they come, and also when some are refused."""
    governor, now, made = Governor(8, requests, tokens), 0.0, []
    for most, used, after, refused in wanted:
        now += after
        now += governor.delay(now, most)
        assert governor.delay(now, most) == 0
        ticket = governor.admit(now, most)
        really = int(most * used)
        governor.settle(ticket, really)
        if refused:
            governor.refused(now)
        made.append(Made(now, really))
    assert requests is None or most_in_a_minute(made, "") <= requests
    assert tokens is None or most_in_a_minute(made, "tokens") <= tokens


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(400, 2_000))
def test_nobody_waits_longer_than_the_quota_asks(wanted: list[int], tokens: int) -> None:
    """Full use: just before a call starts, the minute before it had no room."""
    governor, now, made = Governor(8, None, tokens), 0.0, []
    for most in wanted:
        delay = governor.delay(now, most)
        if delay:
            last = now + delay - 1e-6
            assert sum(one.tokens for one in made if one.at > last - 60) + most > tokens
        now += delay
        governor.admit(now, most)
        made.append(Made(now, most))


def test_a_quota_of_requests() -> None:
    governor = Governor(8, requests_per_minute=2)
    for now in (0.0, 10.0):
        assert governor.delay(now, 1) == 0
        governor.admit(now, 1)
    assert governor.delay(20.0, 1) == 40.0
    assert governor.delay(60.0, 1) == 0
    governor.admit(60.0, 1)
    assert governor.delay(60.0, 1) == 10.0


def test_what_was_kept_and_not_used_is_free_again() -> None:
    governor = Governor(8, tokens_per_minute=100)
    ticket = governor.admit(0.0, 90)
    assert governor.delay(1.0, 50) == 59.0
    governor.settle(ticket, 10)
    assert governor.delay(1.0, 50) == 0


def test_an_answer_that_comes_after_its_minute_changes_nothing() -> None:
    governor = Governor(8, tokens_per_minute=100)
    ticket = governor.admit(0.0, 90)
    assert governor.delay(61.0, 100) == 0
    governor.settle(ticket, 40)
    assert governor.delay(61.0, 100) == 0


def test_a_call_larger_than_the_quota_starts_alone() -> None:
    governor = Governor(8, tokens_per_minute=100)
    assert governor.delay(0.0, 500) == 0
    governor.admit(0.0, 500)
    assert governor.delay(5.0, 1) == 55.0
    assert governor.delay(60.0, 500) == 0


def test_without_a_quota_nothing_waits() -> None:
    governor = Governor(8)
    for _ in range(1_000):
        assert governor.delay(0.0, 10**6) == 0
        governor.admit(0.0, 10**6)


def test_a_refusal_halves_the_pace_and_a_minute_brings_it_back() -> None:
    governor = Governor(16, requests_per_minute=100)
    assert (governor.room(0.0), governor.share(0.0)) == (16, 1.0)
    governor.refused(0.0)
    assert (governor.room(0.0), governor.share(0.0)) == (8, 0.5)
    assert governor.share(15.0) == 0.75
    assert (governor.room(30.0), governor.share(30.0)) == (16, 1.0)
    for now in range(50):
        governor.admit(100.0 + now / 100, 1)
    governor.refused(101.0)
    assert governor.delay(101.0, 1) == 59.0  # 50 of 50 have been made


def test_calls_that_are_refused_together_are_one_refusal() -> None:
    governor = Governor(16)
    for now in (0.0, 0.1, 4.9):
        governor.refused(now)
    assert governor.share(0.0) == 0.5
    governor.refused(5.0)
    assert round(governor.share(5.0), 4) == round((0.5 + 5 / 60) / 2, 4)


def test_there_is_always_room_for_one() -> None:
    governor = Governor(16)
    for n in range(100):
        governor.refused(n * 5.0)
    assert governor.room(500.0) >= 1
    assert governor.share(495.0) >= pacing.SLOWEST


@given(st.integers(1, 20), st.floats(0, 1))
def test_a_backoff_is_spread_over_all_it_may_be(attempt: int, chance: float) -> None:
    assert 0 <= pacing.backoff(attempt, chance) <= min(60.0, 2.0 ** (attempt - 1))


def test_backoffs_double_up_to_a_minute() -> None:
    assert [pacing.backoff(n, 1.0) for n in (1, 2, 3, 7, 8, 20)] == [1, 2, 4, 60, 60, 60]
