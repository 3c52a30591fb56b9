"""Zip archives: what is in them, by its right name, and bombs that are not unpacked."""

import io
import zipfile
from collections.abc import Mapping

import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Member, archive


def packed(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return data.getvalue()


def members(data: bytes) -> list[Member]:
    return list(archive.read(io.BytesIO(data), "a.zip", size=len(data), rows=False).members)


def refusal(data: bytes) -> Refused:
    def unpack() -> None:
        for member in members(data):
            member.open().read()

    with pytest.raises(Refused) as caught:
        unpack()
    return caught.value


def test_members_are_documents_by_themselves() -> None:
    data = packed(
        {
            "a.txt": b"hello",
            "folder/": b"",
            "folder/b.csv": b"x\n1\n",
            "__MACOSX/._a.txt": b"noise",
            "folder/.DS_Store": b"noise",
        }
    )
    content = formats.read(io.BytesIO(data), "set.zip", size=len(data), rows=False)
    assert isinstance(content, formats.Archive)
    found = {(one.name, one.size): one.open().read() for one in content.members}
    assert found == {("a.txt", 5): b"hello", ("folder/b.csv", 4): b"x\n1\n"}


def test_a_member_is_read_as_an_upload_is() -> None:
    [member] = members(packed({"note.txt": "こんにちは".encode()}))
    content = formats.read(member.open(), member.name, size=member.size, rows=False)
    assert isinstance(content, formats.Text)
    assert "".join(section.text for section in content.sections) == "こんにちは"


def test_a_name_in_shift_jis_or_undeclared_utf_8_is_read_right() -> None:
    for encoding in ("cp932", "utf-8"):
        raw = "契約書.txt".encode(encoding)
        plain = b"n" * len(raw)
        data = packed({plain.decode(): b"x"}).replace(plain, raw)
        assert [one.name for one in members(data)] == ["契約書.txt"]


def test_a_zip_in_a_zip_is_refused_and_its_neighbours_are_not() -> None:
    inner, text = members(packed({"in.zip": packed({"a": b"a"}), "b.txt": b"b"}))
    with pytest.raises(Refused) as caught:
        inner.open()
    assert caught.value.code is Code.FORMAT_UNSUPPORTED
    assert "in.zip is a zip archive in a zip archive" in caught.value.message
    assert text.open().read() == b"b"


def test_an_encrypted_member_says_what_to_do() -> None:
    data = bytearray(packed({"a.txt": b"secret"}))
    data[6] |= 1  # general purpose flag of the local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    refused = refusal(bytes(data))
    assert refused.code is Code.FILE_ENCRYPTED
    assert "remove the password" in refused.message


def test_a_bomb_is_not_unpacked() -> None:
    refused = refusal(packed({"bomb.txt": bytes(50_000_000)}))
    assert refused.code is Code.FILE_TOO_COMPLEX
    assert "to 50,000,000 bytes" in refused.message


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    refused = refusal(packed(dict.fromkeys("abc", b"x")))
    assert refused.code is Code.FILE_TOO_COMPLEX
    assert "3 files of 3 bytes" in refused.message


def test_a_directory_too_large_to_hold_is_refused() -> None:
    data = bytearray(packed({"a": b"x"}))
    end = data.index(b"PK\x05\x06")
    data[end + 12 : end + 16] = (500_000_000).to_bytes(4, "little")
    assert "a directory of 500,000,000 bytes" in refusal(bytes(data)).message


def test_damage_in_a_member_is_that_members() -> None:
    data = packed({"a.txt": b"hello", "b.txt": b"world"}, method=zipfile.ZIP_STORED).replace(
        b"hello", b"hellO"
    )
    first, second = members(data)
    with pytest.raises(Refused) as caught:
        first.open().read()
    assert caught.value.code is Code.FILE_DAMAGED
    assert "a.txt" in caught.value.message
    assert second.open().read() == b"world"


def test_overlapping_members_are_refused() -> None:
    """Many entries that share one compressed block: small files that unpack to petabytes."""
    data = bytearray(packed({"a": b"x" * 100, "b": b"y" * 100}))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = (0).to_bytes(4, "little")  # the second lies where the first does
    assert refusal(bytes(data)).code is Code.FILE_DAMAGED


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_truncated_archive_is_refused(cut: int) -> None:
    refused = refusal(packed({"a.txt": b"hello", "b.txt": b"world"})[:-cut])
    assert refused.code is Code.FILE_DAMAGED


def test_an_empty_archive_is_refused() -> None:
    assert refusal(packed({"folder/": b""})).code is Code.TEXT_MISSING
