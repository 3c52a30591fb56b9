"""Zip archives: a set of documents, each of which is read as if it had been uploaded by itself."""

import io
import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, Final, cast

from batchline.errors import Code, Refused
from batchline.formats import zipped
from batchline.formats.content import Archive, Member

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_MEMBERS: Final = 10_000
MAX_UNPACKED_BYTES: Final = 20_000_000_000
UTF8: Final = 0x800
# The end record and its larger sister: where they say how many bytes the directory has, and how far from
# the end they may lie.
END_MARK: Final = b"PK\x05\x06"
END_BYTES: Final = 200 + 65_535
END_SIZE: Final = struct.Struct("<12xI")
END_MARK_64: Final = b"PK\x06\x06"
END_SIZE_64: Final = struct.Struct("<40xQ")
NOT_HERE: Final = 0xFFFFFFFF
MAX_DIRECTORY_BYTES: Final = 10_000_000
# What systems add by themselves.
NOISE: Final = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Archive:  # noqa: ARG001
    """List the documents of a zip; the stream is seekable. Raises Refused before anything is unpacked."""
    _refuse_directory(stream, size)
    try:
        archive = zipfile.ZipFile(stream)
    except zipped.DAMAGED as error:
        raise _damaged(str(error)) from error
    documents = [info for info in archive.infolist() if _is_document(info)]
    if not documents:
        raise Refused(Code.TEXT_MISSING, "The zip archive holds no files. Upload one that has some.")
    total = sum(info.file_size for info in documents)
    if len(documents) > MAX_MEMBERS or total > MAX_UNPACKED_BYTES:
        raise Refused(
            Code.FILE_TOO_COMPLEX,
            f"The zip archive holds {len(documents):,} files of {total:,} bytes together; up to "
            f"{MAX_MEMBERS:,} files and {MAX_UNPACKED_BYTES:,} bytes are read. Split it.",
        )
    return Archive(_members(archive, documents))


def _members(archive: zipfile.ZipFile, documents: list[zipfile.ZipInfo]) -> Iterator[Member]:
    for info in documents:
        yield Member(_name(info), partial(_opened, archive, info), info.file_size)


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    name = _name(info)
    if zipped.is_encrypted(info):
        raise Refused(
            Code.FILE_ENCRYPTED,
            f"{name} is encrypted in the zip archive. Please remove the password: pack it again without one.",
        )
    if zipped.is_bomb(info):
        raise Refused(
            Code.FILE_TOO_COMPLEX,
            f"{name} unpacks from {info.compress_size:,} to {info.file_size:,} bytes. Upload it by itself.",
        )
    try:
        member = archive.open(info)
        head = member.read(4)
        member.seek(0)
    except zipped.DAMAGED as error:
        raise _damaged(f"{name}: {error}") from error
    if head == b"PK\x03\x04" and PurePosixPath(name).suffix.lower() == ".zip":
        raise Refused(
            Code.FORMAT_UNSUPPORTED,
            f"{name} is a zip archive in a zip archive, which is not read. Upload it by itself.",
        )
    return cast("BinaryIO", _Checked(member, name))


class _Checked(io.RawIOBase):
    """The bytes of a member; what turns out to be damaged in it is refused."""

    def __init__(self, member: IO[bytes], name: str) -> None:
        self._member = member
        self._name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._member.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._member.seek(offset, whence)

    def tell(self) -> int:
        return self._member.tell()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._member.read(size)
        except zipped.DAMAGED as error:
            raise _damaged(f"{self._name}: {error}") from error

    def close(self) -> None:
        self._member.close()
        super().close()


def _refuse_directory(stream: BinaryIO, size: int) -> None:
    """Look at how large the directory claims to be, before all of it is read into memory."""
    stream.seek(max(0, size - END_BYTES))
    tail = stream.read()
    stream.seek(0)
    end = tail.rfind(END_MARK)
    if end < 0 or len(tail) - end < END_SIZE.size:
        raise _damaged("its end is missing, as if the upload had been cut off")
    (directory,) = END_SIZE.unpack_from(tail, end)
    large = tail.rfind(END_MARK_64, 0, end)
    if directory == NOT_HERE and 0 <= large <= len(tail) - END_SIZE_64.size:
        (directory,) = END_SIZE_64.unpack_from(tail, large)
    if directory > MAX_DIRECTORY_BYTES:
        raise Refused(
            Code.FILE_TOO_COMPLEX,
            f"The zip archive has a directory of {directory:,} bytes; {MAX_DIRECTORY_BYTES:,} are read. "
            "Split it into smaller archives.",
        )


def _is_document(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(_name(info))
    return not info.is_dir() and path.name not in NOISE and "__MACOSX" not in path.parts


def _name(info: zipfile.ZipInfo) -> str:
    """Give the name as its maker meant it: zip programs in Japan write Shift_JIS and do not say so."""
    if info.flag_bits & UTF8:
        return info.filename
    raw = info.filename.encode("cp437")  # how zipfile decoded it
    for encoding in ("utf-8", "cp932"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _damaged(how: str) -> Refused:
    return Refused(
        Code.FILE_DAMAGED, f"The zip archive is damaged ({how}). Pack the documents again and upload that."
    )
