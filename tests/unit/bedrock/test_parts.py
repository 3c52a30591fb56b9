"""Clock, states, patterns, token counts and quotas, each alone."""

import asyncio
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.bedrock import shapes
from local.bedrock.clock import Clock
from local.bedrock.errors import ApiError
from local.bedrock.faults import Faults
from local.bedrock.jobs import FOLLOWERS, TERMINAL, Job, Status, new_id
from local.bedrock.records import Record, parse
from local.bedrock.throttle import Meter
from local.bedrock.tokens import TokenCounter
from local.bedrock.wire import Caller

START = datetime(2026, 11, 21, 10, tzinfo=UTC)


def manual_clock() -> Clock:
    return Clock(manual=True, wall=lambda: START)


class TestClock:
    def test_time_stands_until_it_is_moved(self) -> None:
        async def scene() -> None:
            clock = manual_clock()
            assert clock.now() == START
            await clock.advance(90)
            assert clock.now() == START + timedelta(seconds=90)

        asyncio.run(scene())

    def test_sleepers_wake_in_the_order_of_their_hours(self) -> None:
        woken: list[tuple[str, float]] = []

        async def scene() -> None:
            clock = manual_clock()

            async def sleeper(name: str, *naps: float) -> None:
                for nap in naps:
                    await clock.sleep(nap)
                    woken.append((name, (clock.now() - START).total_seconds()))

            clock.spawn(sleeper("a", 10, 10))
            clock.spawn(sleeper("b", 15))
            await clock.advance(19)
            assert woken == [("a", 10), ("b", 15)]
            await clock.advance(1)
            assert woken[2:] == [("a", 20)]

        asyncio.run(scene())

    def test_advance_waits_for_work_in_threads(self) -> None:
        done = []

        async def scene() -> None:
            clock = manual_clock()

            async def worker() -> None:
                await clock.sleep(1)
                await asyncio.to_thread(sum, range(100_000))
                done.append(True)

            clock.spawn(worker())
            await clock.advance(1)
            assert done == [True]

        asyncio.run(scene())

    def test_the_wall_clock_wakes_sleepers_by_itself(self) -> None:
        async def scene() -> None:
            clock = Clock()
            await asyncio.wait_for(clock.spawn(clock.sleep(0.01)), timeout=10)

        asyncio.run(scene())

    def test_close_cancels_what_sleeps(self) -> None:
        async def scene() -> None:
            clock = manual_clock()
            task = clock.spawn(clock.sleep(100))
            await asyncio.sleep(0)
            await clock.close()
            assert task.cancelled()

        asyncio.run(scene())


def job() -> Job:
    request = {
        "jobName": "n",
        "modelId": "amazon.nova-lite-v1:0",
        "roleArn": "r",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://i/x"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://o/x"}},
    }
    caller = Caller("000000000000", "us-east-1")
    return Job("a" * 12, caller, request, "m", Status.SUBMITTED, START, START)


class TestStates:
    def test_the_documented_way_is_open(self) -> None:
        moved = job()
        for status in (Status.VALIDATING, Status.SCHEDULED, Status.IN_PROGRESS, Status.COMPLETED):
            moved = moved.moved(status, START + timedelta(minutes=1))
        assert moved.ended == moved.modified == START + timedelta(minutes=1)

    def test_nothing_leaves_a_terminal_state(self) -> None:
        assert {
            Status.COMPLETED,
            Status.PARTIALLY_COMPLETED,
            Status.FAILED,
            Status.EXPIRED,
            Status.STOPPED,
        } == TERMINAL
        assert not TERMINAL & FOLLOWERS.keys()

    def test_a_leap_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot go from Submitted to Completed"):
            job().moved(Status.COMPLETED, START)

    def test_ids_have_the_form_of_aws(self) -> None:
        made = {new_id(random.Random(seed)) for seed in range(200)}
        assert len(made) == 200
        assert all(re.fullmatch(r"[a-z][a-z0-9]{11}", job_id) for job_id in made)


SMALL = st.text("aZ9-+. _", max_size=9)


@given(text=SMALL)
def test_plain_patterns_accept_what_the_originals_accept(text: str) -> None:
    for original, plain in shapes.PLAIN_PATTERNS.items():
        assert bool(re.fullmatch(original, text)) == bool(re.fullmatch(plain, text))


class TestTokens:
    @pytest.mark.parametrize(
        ("family", "text", "expected"),
        [
            ("claude", "a" * 37, 10),  # 37 / 3.70
            ("claude", "あ" * 92, 100),  # 92 / 0.92
            ("claude", "a" * 37 + "あ" * 46, 60),  # 10 + 50
            ("llama4", "a" * 97, 20),  # 97 / 4.85
            ("nova", "", 0),
            ("nova", "a", 1),
        ],
    )
    def test_counts(self, family: str, text: str, expected: int) -> None:
        assert TokenCounter(family).count(text) == expected

    @given(text=st.text(max_size=60), limit=st.integers(0, 20))
    def test_a_cut_text_is_the_longest_beginning_that_fits(self, text: str, limit: int) -> None:
        counter = TokenCounter("claude")
        kept = counter.cut(text, limit)
        assert text.startswith(kept)
        assert counter.count(kept) <= limit
        if kept != text:
            assert counter.count(text[: len(kept) + 1]) > limit


class TestMeter:
    def meter(self) -> tuple[Meter, list[datetime]]:
        now = [START]
        return Meter(lambda: now[0]), now

    def test_a_request_counts_for_one_minute(self) -> None:
        meter, now = self.meter()
        meter.begin("k", 0, requests_limit=1, tokens_limit=None)
        now[0] = START + timedelta(seconds=59)
        with pytest.raises(ApiError, match="Too many requests"):
            meter.begin("k", 0, requests_limit=1, tokens_limit=None)
        meter.begin("other", 0, requests_limit=1, tokens_limit=None)
        now[0] = START + timedelta(seconds=60)
        meter.begin("k", 0, requests_limit=1, tokens_limit=None)

    def test_a_settled_charge_frees_what_it_did_not_use(self) -> None:
        meter, _ = self.meter()
        charge = meter.begin("k", 90, requests_limit=None, tokens_limit=100)
        with pytest.raises(ApiError, match="Too many tokens"):
            meter.begin("k", 20, requests_limit=None, tokens_limit=100)
        meter.settle(charge, 10)
        meter.begin("k", 90, requests_limit=None, tokens_limit=100)


class TestFaults:
    def test_a_seed_decides_and_another_decides_otherwise(self) -> None:
        ids = [f"R{n}" for n in range(1000)]

        def hit(seed: int) -> set[str]:
            plan = Faults(seed=seed, record_errors=0.25)
            return {record_id for record_id in ids if plan.record_error(record_id)}

        assert hit(1) == hit(1) != hit(2)
        assert 200 < len(hit(1)) < 300

    def test_a_plan_for_other_jobs_does_nothing(self) -> None:
        plan = Faults(only_jobs="bad", fail_jobs="no").for_job("good-1")
        assert plan.fail_jobs is None
        assert plan.records_until_end(10) == 11

    def test_where_a_job_ends(self) -> None:
        assert Faults(complete_only=0.25).records_until_end(80) == 20
        assert Faults(fail_jobs="no").records_until_end(80) == 40


def test_a_made_up_record_id_is_the_same_on_every_reading() -> None:
    def read(number: int) -> Record:
        return parse(b'{"modelInput": {}}', job_id="j", file="a.jsonl", number=number)

    assert read(1) == read(1)
    assert read(1) != read(2)
