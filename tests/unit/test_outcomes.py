import random
from collections.abc import Iterator
from typing import Any

import pytest
from batchline import collect
from batchline.ids import RecordId
from batchline.models import Range, Shard, Usage
from batchline.outcomes import FOREIGN, Expected, Outcome, Outcomes, Summaries, Summary, Tally
from hypothesis import given
from hypothesis import strategies as st

N, S, F, R = Outcome.NONE, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RETRY
A, B, C = "a" * 16, "b" * 16, "bbbbbbbbbbbbbbbc"


def shard(*ranges: Range, name: str = "s", **changes: Any) -> Shard:
    fixed: dict[str, Any] = {
        "shard_id": name,
        "lane": "m#Converse",
        "key": f"shards/{name}.jsonl",
        "pipeline": "p",
        "version": "v",
        "model": "m",
        "too_few": "wait",
        "records": sum(one.count for one in ranges),
        "bytes": 1,
        "input_tokens": 1,
        "output_tokens": 1,
        "created_at": "2026-11-22T09:00:00.000Z",
        "first_at": "2026-11-22T09:00:00.000Z",
        "urgent_at": "2026-11-22T09:00:00.000Z",
        "ranges": tuple(map(str, ranges)),
    }
    return Shard(**(fixed | changes))


# positions


def test_every_expected_record_has_a_position_beside_its_document() -> None:
    one = shard(Range(B, "m", 0, 2, 1), Range(A, "m", 5, 1, 2), name="one")
    two = shard(Range(A, "m", 3, 2, 2), Range(C, "r", 0, 1, 1), name="two")
    expected = Expected([one, two])
    assert len(expected) == 6
    names = [
        f"{A}m00000032",
        f"{A}m00000042",
        f"{A}m00000052",
        f"{B}m00000001",
        f"{B}m00000011",
        f"{C}r00000001",
    ]
    assert [expected.find(name) for name in names] == [0, 1, 2, 3, 4, 5]
    assert [str(expected.record(n)) for n in range(6)] == names
    assert [expected.shard(n).shard_id for n in range(6)] == ["two", "two", "one", "one", "one", "two"]
    found = [(s.document_id, s.attempt, s.shard.shard_id, s.start, s.stop) for s in expected.stretches()]
    assert found == [
        (A, 2, "two", 0, 2),
        (A, 2, "one", 2, 3),
        (B, 1, "one", 3, 5),
        (C, 1, "two", 5, 6),
    ]
    assert [s.start for s in expected.stretches(3)] == [3, 5]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "CALL0000001",
        f"{A}m00000012",  # another attempt
        f"{A}r00000011",  # another stage
        f"{A}m00000031",  # beyond the range
        f"{B}m00000011",
        f"{A}m+000011"[:25],
        f"{A}m0000 011"[:25],
        f"{A}m000001１",
        f"{A}m000000111",
        "z" * 25,
        "\u0000" * 25,
    ],
)
def test_a_foreign_id_has_no_position(name: str) -> None:
    assert Expected([shard(Range(A, "m", 0, 3, 1))]).find(name) is None


def test_a_job_of_nothing_expects_nothing() -> None:
    expected = Expected([])
    assert (len(expected), list(expected.stretches()), expected.find(f"{A}m00000001")) == (0, [], None)


DOCUMENTS = st.dictionaries(
    st.text("ab234567", min_size=16, max_size=16),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=3),
    max_size=6,
)


def ranges(documents: dict[str, list[tuple[int, int]]]) -> Iterator[Range]:
    """Lay out gaps and lengths of ranges one after the other."""
    for name, spans in documents.items():
        at = 0
        for gap, count in spans:
            yield Range(name, "m", at + gap, count, 1)
            at += gap + count


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_positions_are_a_numbering_of_the_records(
    documents: dict[str, list[tuple[int, int]]], chance: random.Random
) -> None:
    laid = list(ranges(documents))
    chance.shuffle(laid)
    expected = Expected([shard(*laid[:3], name="1"), shard(*laid[3:], name="2")])
    names = sorted(
        str(RecordId(one.document_id, "m", one.first + n, 1)) for one in laid for n in range(one.count)
    )
    assert [expected.find(name) for name in names] == list(range(len(names)))
    assert [str(expected.record(n)) for n in range(len(expected))] == names
    borders = [(one.start, one.stop) for one in expected.stretches()]
    assert [n for start, stop in borders for n in range(start, stop)] == list(range(len(names)))


# summaries

SUMMARIES = st.builds(
    Summary,
    st.integers(0, 3) | st.just(FOREIGN),
    st.sampled_from([N, S, F, R]),
    st.sampled_from(["", "MODEL_ERROR", "ANSWER_UNREADABLE"]),
    st.builds(Usage, *[st.integers(0, 2**31 - 1)] * 5),
)


@given(st.lists(SUMMARIES))
def test_summaries_are_read_back(given_: list[Summary]) -> None:
    stored = Summaries()
    for one in given_:
        stored.add(one)
    assert list(Summaries.load(stored.dump())) == given_


# merging


def outcomes(count: int = 4) -> Outcomes:
    return Outcomes(Expected([shard(Range(A, "m", 0, count, 1))]))


def test_the_first_line_that_settles_a_record_counts() -> None:
    found = outcomes()
    found.merge(
        0,
        [
            Summary(0, S, "", Usage(1, 2)),
            Summary(1, R, "ANSWER_EMPTY", Usage(3, 4)),
            Summary(0, N, "", Usage(5, 6)),
        ],
    )
    found.merge(
        1,
        [
            Summary(0, F, "MODEL_ERROR", Usage(7, 8)),
            Summary(1, S, "", Usage(9, 10)),
            Summary(FOREIGN, N, "", Usage(11, 12)),
        ],
    )
    assert list(found.outcome) == [S, S, N, N]
    assert (found.usage(0), found.usage(1)) == (Usage(1, 2), Usage(9, 10))
    assert (found.duplicates, found.foreign, found.missing) == (3, 1, 2)
    # what belongs to nobody: 5 + 7 + 3 + 11 in, 6 + 8 + 4 + 12 out
    assert found.unowned == Usage(26, 30)
    # Part 1 has written a row for record 0 as well; that of record 1 is right.
    assert found.rewritten() == {0: {0}}
    assert found.codes() == {}


def test_a_tally_says_what_was_spent_without_settling_a_record() -> None:
    found = outcomes()
    found.merge(0, [Summary(n, outcome, "", Usage(10 * n, n)) for n, outcome in ((0, R), (1, S), (2, R))])
    first, later = found.tally(0, 2), found.tally(2, 3, attempt=2)
    assert first == Tally(1, 0, 1, Usage(10, 1), unsettled=Usage(0, 0))
    assert later == Tally(0, 0, 1, Usage(20, 2), unsettled=Usage(20, 2), further=1)
    first += later
    assert first == Tally(1, 0, 2, Usage(30, 3), unsettled=Usage(20, 2), further=1)


def test_each_record_has_a_short_prompt_or_a_long_one() -> None:
    found = Outcomes(Expected([shard(Range(A, "m", 0, 4, 1))]), long_above=100)
    lines = [
        Summary(0, S, "", Usage(100, 1)),
        Summary(1, R, "ANSWER_EMPTY", Usage(40, 2, cache_read_tokens=61)),
        Summary(2, S, "", Usage(300, 3), reused=True),
        Summary(0, N, "", Usage(101, 4)),
        Summary(FOREIGN, N, "", Usage(100, 5)),
    ]
    found.merge(0, lines)
    tally = found.tally(0, 4)
    assert tally.usage == Usage(140, 3, 61, 0, 0, 40, 2, 61, 0)
    assert tally.unsettled == found.usage(1) == Usage(40, 2, 61, 0, 0, 40, 2, 61, 0)
    assert (tally.cached, tally.spared) == (1, Usage(300, 3, long_input_tokens=300, long_output_tokens=3))
    assert found.unowned == Usage(201, 9, long_input_tokens=101, long_output_tokens=4)


def test_what_was_reused_is_charged_to_nobody() -> None:
    found = outcomes(5)
    lines = [
        Summary(0, S, "", Usage(1, 2)),
        Summary(1, S, "", Usage(1, 2), reused=True),
        Summary(2, S, "", Usage(10, 20), reused=True),
        Summary(3, F, "MODEL_ERROR", Usage(3, 4), reused=True),
        Summary(FOREIGN, N, "", Usage(5, 6), reused=True),
    ]
    found.merge(0, lines)
    found.merge(1, [Summary(1, S, "", Usage(7, 8), reused=True)])
    tally = found.tally(0, 5)
    assert (tally.succeeded, tally.failed, tally.cached) == (3, 1, 2)
    assert (tally.usage, tally.spared, found.unowned) == (Usage(1, 2), Usage(11, 22), Usage())
    assert (found.usage(0), found.usage(1)) == (Usage(1, 2), Usage())
    assert (found.tally(2, 4).cached, found.tally(3, 5).spared) == (1, Usage())
    assert (found.duplicates, found.missing) == (0, 1)
    tally += found.tally(2, 3)
    assert (tally.cached, tally.spared) == (3, Usage(21, 42))


def test_what_another_job_asks_is_not_missing() -> None:
    found = outcomes(2)
    found.decide(0, Outcome.AWAIT, "")
    assert (found.missing, found.tally(0, 2).retried, found.codes()) == (1, 1, {})


def test_lines_of_one_part_need_no_second_look() -> None:
    found = outcomes()
    found.merge(0, [Summary(0, S, "", Usage(1, 2)), Summary(0, N, "", Usage(1, 2))])
    assert found.rewritten() == {}


@given(st.lists(SUMMARIES), st.integers(0, 5))
def test_merging_loses_and_invents_nothing(lines: list[Summary], cut: int) -> None:
    # Only a line after one that has settled its record is not looked at.
    lines = [one._replace(outcome=one.outcome or S) for one in lines]
    found = outcomes()
    found.merge(0, lines[:cut])
    found.merge(1, lines[cut:])
    total = found.tally(0, 4)
    everything = sum((one.usage for one in lines if not one.reused), Usage())
    assert total.usage + found.unowned == everything
    known = {one.position for one in lines if one.position != FOREIGN}
    assert found.missing == 4 - len(known)
    again = len(lines) - len(known) - found.foreign
    assert again - sum(one.reused for one in lines) <= found.duplicates <= again
    assert total.cached == sum(total.spared) == 0 or any(one.reused for one in lines)
    assert found.unreadable == sum(one.code == "ANSWER_UNREADABLE" for one in lines)


def test_what_has_no_line_is_found_and_decided() -> None:
    found = outcomes()
    found.merge(0, [Summary(2, S, "", Usage(1, 1))])
    for position in found.without_line(0, 4):
        found.decide(position, Outcome.REPEAT if position else F, "ANSWER_MISSING")
    assert list(found.outcome) == [F, Outcome.REPEAT, S, Outcome.REPEAT]
    assert found.tally(0, 4) == Tally(1, 1, 2, Usage(1, 1))
    assert found.tally(0, 2) == Tally(0, 1, 1)
    assert found.codes() == {"ANSWER_MISSING": 3}
    assert found.code(2) == ""
    assert found.missing == 3


def test_the_first_five_of_each_code_are_named() -> None:
    found = outcomes(9)
    found.merge(0, [Summary(n, F, "MODEL_ERROR" if n % 4 else "ANSWER_EMPTY", Usage(0, 0)) for n in range(9)])
    assert found.examples() == {
        "ANSWER_EMPTY": [f"{A}m000000{n}1" for n in (0, 4, 8)],
        "MODEL_ERROR": [f"{A}m000000{n}1" for n in (1, 2, 3, 5, 6)],
    }


# conservation


def merged(*lines: Summary) -> Outcomes:
    found = outcomes(2)
    found.merge(0, lines)
    return found


GOOD = (Summary(0, S, "", Usage(10, 1)), Summary(1, S, "", Usage(10, 1)))
BROKEN = Summary(FOREIGN, N, "ANSWER_UNREADABLE", Usage(0, 0))


@pytest.mark.parametrize(
    ("lines", "manifest", "expected"),
    [
        (GOOD, Usage(20, 2), {}),
        (GOOD, None, {}),
        ((*GOOD, GOOD[0]), Usage(30, 3), {}),
        (GOOD, Usage(21, 2), {"input_tokens": 1}),
        (GOOD, Usage(20, 1), {"output_tokens": -1}),
        # Charged, but the line did not arrive, or not whole.
        (GOOD[:1], Usage(20, 2), {}),
        ((GOOD[0], BROKEN), Usage(20, 2), {}),
        # No line can have cost less than nothing.
        (GOOD[:1], Usage(9, 2), {"input_tokens": -1}),
    ],
)
def test_sums_that_do_not_add_up_are_named(
    lines: tuple[Summary, ...], manifest: Usage | None, expected: dict[str, int]
) -> None:
    found = merged(*lines)
    booked = found.tally(0, 2).usage
    assert collect.difference(found, records=2, booked=booked, manifest=manifest) == expected


def test_a_job_that_was_opened_with_other_records_is_a_difference() -> None:
    found = merged(*GOOD)
    assert collect.difference(found, records=3, booked=Usage(20, 2), manifest=Usage(20, 2)) == {"records": 1}
