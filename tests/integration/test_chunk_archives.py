"""An archive is a set of documents: each of its members is one of its own."""

import io
import json
import zipfile
from typing import Any

import pytest
from batchline import chunk

from tests.faults.audit import check_end
from tests.integration.calls import Fault
from tests.integration.test_chunk import ready
from tests.integration.test_chunk_runs import asked, run_out, table
from tests.integration.world import World

KEY = "inbox/notes/set.zip"
WHEN = (2026, 11, 22, 9, 0, 0)


def archive(**members: str | bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(zipfile.ZipInfo(name.replace("_", "."), WHEN), data)
    return file.getvalue()


def members(world: World) -> dict[str, dict[str, Any]]:
    return {one["source"]["member"]: one for one in world.documents() if "member" in one["source"]}


def whole(world: World) -> dict[str, Any]:
    (row,) = [one for one in world.documents() if "member" not in one["source"]]
    return row


def test_each_member_is_a_document(world: World) -> None:
    ready(world, prompt="{{ document.name }} {{ document.key }} {{ document.size }} {{ text }}")
    world.upload(KEY, archive(a_txt="First.", b_md="Second."))
    world.run()
    found = members(world)
    assert {name: one["status"] for name, one in found.items()} == {"a.txt": "COMPLETED", "b.md": "COMPLETED"}
    assert {one["source"]["key"] for one in found.values()} == {KEY}
    row = whole(world)
    assert (row["status"], row["documents"], row["records"], row["sealed"]) == ("COMPLETED", 2, 0, True)
    assert "problem" not in row
    assert {one["result"] for one in found.values()} == {
        f"answer to a.txt {KEY} 6 First.",
        f"answer to b.md {KEY} 7 Second.",
    }
    check_end(world)


def test_the_same_member_in_another_version_of_the_archive_is_the_same_document(world: World) -> None:
    ready(world)
    world.upload(KEY, archive(a_txt="First.", b_txt="Second."))
    world.deliver_all()
    before = {name: one["document_id"] for name, one in members(world).items()}
    world.upload(KEY, archive(a_txt="First.", b_txt="Changed."))
    world.deliver_all()
    rows = [one for one in world.documents() if "member" in one["source"]]
    assert len(rows) == 3
    assert before["a.txt"] in {one["document_id"] for one in rows}
    assert asked(world) == sorted(asked(world), key=asked(world).index)
    assert sorted(asked(world)) == ["Say Changed.", "Say First.", "Say Second."]


def test_a_broken_member_does_not_take_its_neighbours(world: World) -> None:
    ready(world)
    data = bytearray(archive(a_txt="First.", b_txt="Second. " * 50, c_pdf=b"%PDF-1.7 cut", d_txt="Last."))
    at = data.index(b"b.txt") + 5
    data[at : at + 8] = b"\xff" * 8  # its compressed bytes
    world.upload(KEY, bytes(data))
    world.deliver_all()
    found = members(world)
    assert {name: one["status"] for name, one in found.items()} == {
        "a.txt": "QUEUED",
        "b.txt": "FAILED",
        "c.pdf": "FAILED",
        "d.txt": "QUEUED",
    }
    assert found["b.txt"]["error"]["code"] == found["c.pdf"]["error"]["code"] == "FILE_DAMAGED"
    assert (whole(world)["status"], whole(world)["documents"]) == ("COMPLETED", 4)


def test_an_archive_in_an_archive_is_refused_alone(world: World) -> None:
    ready(world)
    world.upload(KEY, archive(a_txt="First.", b_zip=archive(c_txt="Inner.")))
    world.deliver_all()
    found = members(world)
    assert found["a.txt"]["status"] == "QUEUED"
    assert found["b.zip"]["error"]["code"] == "FORMAT_UNSUPPORTED"


def test_a_damaged_archive_has_a_row(world: World) -> None:
    ready(world)
    world.upload(KEY, archive(a_txt="First.")[:-30])
    world.deliver_all()
    row = world.document()
    assert (row["status"], row["error"]["code"]) == ("FAILED", "FILE_DAMAGED")


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_the_time_may_run_out_between_members(
    world: World, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    monkeypatch.setattr(chunk, "SMALL_RECORDS", 2)
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 4)
    ready(world, chunk={"by": "row"}, prompt="Say {{ row.a }}")
    run_out(world, monkeypatch, looks)
    world.upload(KEY, archive(a_csv=table(9), b_csv=table(1), c_csv=table(6), d_csv=table(2)))
    world.deliver_all()
    found = members(world)
    assert {name: int(one["records"]) for name, one in found.items()} == {
        "a.csv": 9,
        "b.csv": 1,
        "c.csv": 6,
        "d.csv": 2,
    }
    assert {one["status"] for one in found.values()} == {"QUEUED"}
    assert sorted(asked(world)) == sorted(f"Say {n}" for count in (9, 1, 6, 2) for n in range(count))
    assert (whole(world)["status"], whole(world)["documents"]) == ("COMPLETED", 4)


def test_each_call_may_be_the_last(world: World) -> None:
    ready(world)
    world.fatal = False
    world.upload(KEY, archive(a_txt="First.", b_txt="Second.", c_txt="Third."))
    messages = world.receive("UploadsQueue")
    for number in range(1, 25):
        world.calls.arm(Fault.DIED_BEFORE, number + 1)
        world.handle("UploadsQueue", messages)
    world.calls.disarm()
    world.fatal = True
    world.handle("UploadsQueue", messages)
    assert {one["status"] for one in members(world).values()} == {"QUEUED"}
    assert sorted(asked(world)) == ["Say First.", "Say Second.", "Say Third."]
    assert whole(world)["status"] == "COMPLETED"


def test_rows_of_a_table_in_an_archive(world: World) -> None:
    ready(world, chunk={"by": "row"}, prompt="Say {{ row.a }}")
    lines = "".join(json.dumps({"a": n}) + "\n" for n in range(3))
    world.upload(KEY, archive(a_jsonl=lines, b_csv=table(2), c_txt="no table"))
    world.deliver_all()
    assert sorted(asked(world)) == ["Say 0", "Say 0", "Say 1", "Say 1", "Say 2"]
    assert members(world)["c.txt"]["error"]["code"] == "FORMAT_UNSUPPORTED"
