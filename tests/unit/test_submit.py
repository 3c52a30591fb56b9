from batchline import submit
from batchline.cache import Decision, Fate
from batchline.cancel import Cancels
from batchline.models import Shard
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_pack import shard


def sized(*sizes: int) -> list[Shard]:
    return [shard(number, 1, bytes=size) for number, size in enumerate(sizes)]


def bytes_of(shards: list[Shard], limit: int) -> list[list[int]]:
    return [[one.bytes for one in file] for file in submit.files(shards, max_file_bytes=limit)]


def test_files_are_filled_to_the_limit() -> None:
    assert bytes_of(sized(4, 6, 1, 9, 2), 10) == [[4, 6], [1, 9], [2]]
    assert bytes_of(sized(), 10) == []


def test_a_shard_is_never_divided() -> None:
    assert bytes_of(sized(3, 11, 3), 10) == [[3], [11], [3]]


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 20))
def test_files_hold_every_shard_once_and_in_order(sizes: list[int], limit: int) -> None:
    shards = sized(*sizes)
    files = list(submit.files(shards, max_file_bytes=limit))
    assert [one for file in files for one in file] == shards
    assert all(sum(one.bytes for one in file) <= limit or len(file) == 1 for file in files)


A, B, C = ("a" * 16, "b" * 16, "c" * 16)


def of(number: int, *parts: tuple[str, int], **more: str) -> Shard:
    """Make a shard of so many records of each of some documents."""
    ranges = tuple(f"{name} m 0 {count} 1" for name, count in parts)
    made = shard(number, sum(count for _, count in parts))
    return made.model_copy(update={"ranges": ranges} | more)


def test_all_is_sent_when_nothing_is_cancelled() -> None:
    shards = [of(1, (A, 10), (B, 5)), of(2, (C, 7))]
    chosen = submit.select(shards, Cancels())
    assert (chosen.shards, chosen.left_out, chosen.records, chosen.cancelled) == (tuple(shards), {}, 22, 0)


def test_records_of_cancelled_documents_are_not_sent() -> None:
    shards = [of(1, (A, 10), (B, 5)), of(2, (B, 7)), of(3, (C, 2), (B, 1), (C, 3))]
    chosen = submit.select(shards, Cancels(frozenset({B})))
    assert chosen.shards == (shards[0], shards[2])  # nothing is left of the second
    assert chosen.left_out == {one.shard_id: {B} for one in shards}
    assert (chosen.records, chosen.cancelled) == (15, 13)


def test_what_the_cache_spares_is_not_sent_either() -> None:
    shards = [of(1, (A, 3), (B, 2)), of(2, (C, 2)), of(3, (C, 1)), of(4, (B, 1), (A, 1))]
    names = [one.shard_id for one in shards]
    decisions = [
        Decision("a0", Fate.SENT, "x", names[0]),
        Decision("a1", Fate.SAME, "x", names[0]),
        Decision("c0", Fate.KNOWN, "y", names[1]),
        Decision("c1", Fate.ELSEWHERE, "z", names[1]),
        Decision("a9", Fate.SAME, "x", names[3]),
    ]
    chosen = submit.select(shards, Cancels(frozenset({B}))).sparing_those(decisions)
    # Of 10 records 3 are cancelled and 4 spared. Nothing is left of the second and the fourth shard.
    assert chosen.shards == (shards[0], shards[2])
    assert chosen.spared == {"a1", "c0", "c1", "a9"}
    assert (chosen.records, chosen.cancelled) == (3, 3)
    assert [chosen.whole(one) for one in shards] == [False, False, True, False]
    assert chosen.too_few(100) == (
        "3 of its records were cancelled and 4 of its records need not be sent; 3 are left and a batch "
        "needs 100"
    )


def test_why_too_few_are_left_names_what_was_left_out() -> None:
    chosen = submit.select([of(1, (A, 3))], Cancels(frozenset({A})))
    assert chosen.too_few(100) == "3 of its records were cancelled; 0 are left and a batch needs 100"
    spared = submit.select([of(1, (A, 3))], Cancels()).sparing_those([Decision("a", Fate.SAME, "x", "s")])
    assert spared.too_few(9) == "1 of its records need not be sent; 2 are left and a batch needs 9"


def test_a_cancelled_pipeline_means_what_was_registered_until_then() -> None:
    before, after = "2026-11-22T09:00:00.000Z", "2026-11-22T09:00:00.001Z"
    shards = [
        of(1, (A, 10), pipeline="p", first_at=before),
        of(2, (B, 5), pipeline="p", first_at=after),
        of(3, (C, 2), pipeline="q", first_at=before),
    ]
    chosen = submit.select(shards, Cancels(pipelines={"p": before}))
    assert chosen.shards == (shards[1], shards[2])
    assert (chosen.records, chosen.cancelled) == (7, 10)


def test_nothing_is_left_of_a_job_that_is_cancelled_whole() -> None:
    chosen = submit.select([of(1, (A, 10)), of(2, (B, 5))], Cancels(frozenset({A, B})))
    assert (chosen.shards, chosen.records, chosen.cancelled) == ((), 0, 15)


def test_a_job_has_the_tags_that_all_its_pipelines_have_alike() -> None:
    legal, tax = {"team": "legal", "env": "prod"}, {"team": "tax", "env": "prod", "year": "2026"}
    assert submit.common([legal]) == legal
    assert submit.common([legal, tax]) == {"env": "prod"}
    assert submit.common([legal, {}]) == {}
