from batchline import submit
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
