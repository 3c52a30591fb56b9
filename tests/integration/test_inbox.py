"""Uploads are read as files: by ranges of the version that S3 told of, in constant memory."""

import io
import random
from typing import Any

import pytest
from batchline.aws import clients, inbox
from batchline.aws.inbox import Inbox, Source
from batchline.chunk import Upload
from batchline.errors import Code, Refused
from botocore.exceptions import ResponseStreamingError

from tests.integration.world import INBOX, World

KEY = "inbox/notes/a.bin"
DATA = random.Random(4).randbytes(10_000)


@pytest.fixture
def world(moto_world: World) -> World:
    """Checksums, metadata and tags of S3 are asked for."""
    return moto_world


@pytest.fixture
def box(world: World, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    monkeypatch.setattr(inbox, "BLOCK_BYTES", 64)
    world.calls.begin("chunk")
    return Inbox(clients.s3())


def put(data: bytes = DATA) -> Upload:
    reply = clients.s3().put_object(Bucket=INBOX, Key=KEY, Body=data)
    return Upload(INBOX, KEY, reply["VersionId"], len(data), "01")


def opened(box: Inbox) -> tuple[Source, Any]:
    source = box.find(put())
    return source, box.open(source)


def test_a_whole_file_is_read_once_and_ahead(world: World, box: Inbox) -> None:
    _, file = opened(box)
    world.calls.made.clear()
    assert file.read() == DATA
    ranges = [call.parameters["Range"] for call in world.calls.of("s3.GetObject")]
    # 157 blocks: the first alone, then eight at a time.
    assert ranges[:3] == ["bytes=0-63", "bytes=64-575", "bytes=576-1087"]
    assert len(ranges) == 1 + -(-156 // 8)


def test_any_place_can_be_read(box: Inbox) -> None:
    _, file = opened(box)
    plain = io.BytesIO(DATA)
    chance = random.Random(5)
    for _ in range(300):
        offset, size = chance.randrange(11_000), chance.randrange(300)
        assert file.seek(offset) == plain.seek(offset)
        assert file.read(size) == plain.read(size)
        assert file.tell() == plain.tell()
    assert file.seek(-10, io.SEEK_END) == 9_990
    assert file.read() == DATA[-10:]


def test_what_is_kept_does_not_grow(box: Inbox) -> None:
    source, _ = opened(box)
    ranges = inbox.Ranges(clients.s3(), source)
    for offset in range(0, 10_000, 50):
        ranges.seek(offset)
        ranges.readinto(bytearray(10))
        assert len(ranges._blocks) <= inbox.KEPT_BLOCKS


def test_a_later_upload_at_the_same_key_is_not_read(box: Inbox) -> None:
    _, file = opened(box)
    put(b"another")
    assert file.read() == DATA


def test_what_is_deleted_while_it_is_read_is_gone(box: Inbox) -> None:
    source, file = opened(box)
    assert file.read(10) == DATA[:10]
    clients.s3().delete_object(Bucket=INBOX, Key=KEY, VersionId=source.upload.version_id)
    with pytest.raises(Refused) as caught:
        file.read()
    assert caught.value.code == Code.UPLOAD_GONE


def test_a_connection_that_breaks_is_made_again(world: World, box: Inbox) -> None:
    _, file = opened(box)
    left = [2]

    class Broken:
        def read(self) -> bytes:
            raise ResponseStreamingError(error="cut off")

    def cut_off(name: str, _parameters: Any, reply: Any) -> Any:
        if name == "s3.GetObject" and left[0]:
            left[0] -= 1
            return {**reply, "Body": Broken()}
        return reply

    world.calls.change = cut_off
    assert file.read() == DATA
    assert left == [0]


def test_an_empty_file_is_read_without_a_request(world: World, box: Inbox) -> None:
    source = box.find(put(b""))
    world.calls.made.clear()
    assert box.open(source).read() == b""
    assert world.calls.made == []


def test_s3_tells_about_an_upload(box: Inbox) -> None:
    clients.s3().put_object(
        Bucket=INBOX, Key=KEY, Body=b"x", Metadata={"a": "b"}, ContentType="text/x", Tagging="k=v"
    )
    source = box.find(Upload(INBOX, KEY, None, 1, "01"))
    assert (source.size, source.metadata, source.content_type) == (1, {"a": "b"}, "text/x")
    assert source.uploaded_at.endswith("Z")
    assert box.tags(source.upload) == {"k": "v"}
