"""The input of a job is its shards, byte by byte and in their order, in bounded memory."""

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from batchline import submit
from batchline.aws import clients, inputs, objects
from batchline.aws.objects import Work
from batchline.cancel import Cancels
from batchline.models import Shard

from tests.integration.world import WORK, World
from tests.unit.test_pack import shard

DOCUMENTS = ["a" * 16, "b" * 16]


def line(document: str, index: int, size: int) -> bytes:
    name = f"{document}m{index:07d}1"
    return json.dumps({"recordId": name, "modelInput": {"text": "x" * size}}).encode() + b"\n"


def store(number: int, lines: list[bytes], ranges: tuple[str, ...]) -> Shard:
    data = b"".join(lines)
    made = shard(number, len(lines), bytes=len(data)).model_copy(update={"ranges": ranges})
    clients.s3().put_object(Bucket=WORK, Key=made.key, Body=data)
    return made


def mixed(number: int, count: int, size: int) -> Shard:
    """Store a shard whose records are of two documents in turn."""
    lines = [line(DOCUMENTS[n % 2], number * 1000 + n // 2, size) for n in range(count)]
    ranges = tuple(f"{name} m {number * 1000} {count // 2} 1" for name in DOCUMENTS)
    return store(number, lines, ranges)


def kept(blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield from blocks


def write(shards: list[Shard], cancels: Cancels, limit: int = 10**9) -> inputs.Written:
    chosen = submit.select(shards, cancels)
    work = Work(clients.s3(), WORK)
    *_, last = inputs.write(work, "jobs/j/input/", chosen, max_file_bytes=limit, keep=kept)
    return last


def test_a_file_is_its_shards_whatever_their_sizes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PIECE_BYTES", 1_000)
    monkeypatch.setattr(objects, "AHEAD_BYTES", 2_500)
    shards = [mixed(number, 2 * number, 50 + 400 * (number % 3)) for number in range(1, 12)]
    assert min(one.bytes for one in shards) < 1_000 < max(one.bytes for one in shards)
    written = write(shards, Cancels())
    expected = b"".join(world.object(one.key) for one in shards)
    assert world.object("jobs/j/input/0000.jsonl") == expected
    assert written == inputs.Written(1, len(expected))


def test_files_hold_whole_shards(world: World) -> None:
    shards = [mixed(number, 4, 100) for number in range(3)]
    written = write(shards, Cancels(), limit=shards[0].bytes + shards[1].bytes)
    first, second = (world.object(f"jobs/j/input/{number:04d}.jsonl") for number in range(2))
    assert first == world.object(shards[0].key) + world.object(shards[1].key)
    assert second == world.object(shards[2].key)
    assert written == inputs.Written(2, len(first) + len(second))


def test_cancelled_records_are_left_out_line_by_line(world: World) -> None:
    whole = store(9, [line("c" * 16, n, 10) for n in range(3)], (f"{'c' * 16} m 0 3 1",))
    shards = [mixed(1, 6, 100), whole, mixed(2, 2, 100)]
    written = write(shards, Cancels(frozenset(DOCUMENTS[:1])))
    data = world.object("jobs/j/input/0000.jsonl")
    names = [json.loads(one)["recordId"][:16] for one in data.splitlines()]
    assert names == [DOCUMENTS[1]] * 3 + ["c" * 16] * 3 + [DOCUMENTS[1]]
    assert written == inputs.Written(1, len(data))


def test_what_is_read_ahead_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched and not yet taken: never more bytes than allowed, though there are threads for more."""
    monkeypatch.setattr(objects, "PIECE_BYTES", 1_000)
    monkeypatch.setattr(objects, "AHEAD_BYTES", 3_000)
    fetched, most, lock = 0, 0, threading.Lock()
    original = Work._piece

    def counted(work: Work, *piece: Any) -> bytes:
        nonlocal fetched
        data = original(work, *piece)
        with lock:
            fetched += len(data)
        return data

    monkeypatch.setattr(Work, "_piece", counted)
    for number in range(20):
        clients.s3().put_object(Bucket=WORK, Key=f"shards/{number}", Body=bytes([number]) * 900)
    taken = bytearray()
    for block in Work(clients.s3(), WORK).read_ahead((f"shards/{n}", 900) for n in range(20)):
        with lock:
            most = max(most, fetched - len(taken))
        taken += block
    assert bytes(taken) == b"".join(bytes([number]) * 900 for number in range(20))
    assert 900 <= most <= 3_000


def test_a_shard_that_is_gone_ends_the_build(world: World) -> None:
    shards = [mixed(number, 2, 10) for number in range(30)]
    clients.s3().delete_object(Bucket=WORK, Key=shards[20].key)
    with pytest.raises(clients.s3().exceptions.NoSuchKey):
        write(shards, Cancels())
    assert list(world.keys("jobs/j/input/")) == []
