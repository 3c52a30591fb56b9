"""The inbox: what people upload, read as a stream and always the version that S3 has told of."""

import io
import mimetypes
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast, override

import stamina
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ResponseStreamingError

from batchline.aws.dynamo import code_of
from batchline.chunk import Upload
from batchline.errors import Code, Refused
from batchline.models import timestamp

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GONE: Final = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound", "405", "MethodNotAllowed"})
BLOCK_BYTES: Final = 1 << 19
KEPT_BLOCKS: Final = 16  # 8 MB, whatever is read
AHEAD_BLOCKS: Final = 8  # asked for at once when the reading goes straight on
BROKEN: Final = (HTTPClientError, IncompleteReadError, ResponseStreamingError)


@dataclass(frozen=True, slots=True)
class Source:
    """An upload as S3 knows it.

    `content` identifies its bytes, `etag` pins them where a bucket keeps no versions. `uploaded_at` is
    ISO-8601 in UTC.
    """

    upload: Upload
    size: int
    content: str
    etag: str
    content_type: str
    uploaded_at: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inbox:
    """The bucket that people write to."""

    client: "S3Client"

    def find(self, upload: Upload) -> Source:
        """Ask S3 about an upload. Raises Refused(UPLOAD_GONE) when it has been deleted."""
        try:
            head: Any = self.client.head_object(**_version(upload), ChecksumMode="ENABLED")
        except ClientError as error:
            raise _gone(error) from error
        return Source(
            upload,
            head["ContentLength"],
            _content(head),
            head["ETag"],
            head.get("ContentType", ""),
            timestamp(head["LastModified"]),
            head.get("Metadata", {}),
        )

    def below(self, bucket: str, prefix: str) -> Iterator[Upload]:
        """Yield the objects whose key begins so, as they are now, by their keys; folders are left out."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for one in page.get("Contents", ()):
                if not one["Key"].endswith("/"):
                    yield Upload(bucket, one["Key"], None, one["Size"], sequencer="")

    def tags(self, upload: Upload) -> dict[str, str]:
        """Read the tags of an upload as they are now. Raises Refused(UPLOAD_GONE)."""
        try:
            reply = self.client.get_object_tagging(**_version(upload))
        except ClientError as error:
            raise _gone(error) from error
        return {one["Key"]: one["Value"] for one in reply["TagSet"]}

    def open(self, source: Source) -> BinaryIO:
        """Open an upload as a file: seekable, in constant memory. Reading raises Refused(UPLOAD_GONE)."""
        return cast("BinaryIO", io.BufferedReader(Ranges(self.client, source), BLOCK_BYTES))

    def read(self, upload: Upload) -> bytes:
        """Read the whole of a small upload. Raises Refused(UPLOAD_GONE)."""
        try:
            return self.client.get_object(**_version(upload))["Body"].read()
        except ClientError as error:
            raise _gone(error) from error

    def send(self, bucket: str, key: str, path: Path) -> Upload:
        """Upload a file as people do, in one request, so that S3 knows a checksum of the whole."""
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        with path.open("rb") as body:
            reply = self.client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)
        return Upload(bucket, key, reply.get("VersionId"), path.stat().st_size, sequencer="")


class Ranges(io.RawIOBase):
    """An object as a seekable file. Blocks that were read last are kept; straight reading reads ahead."""

    def __init__(self, client: "S3Client", source: Source) -> None:
        self._client = client
        self._source = source
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._last = -1

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._position

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if start + offset < 0:
            raise ValueError("the file begins at 0")
        self._position = start + offset
        return self._position

    @override
    def readinto(self, buffer: Any, /) -> int:
        if self._position >= self._source.size:
            return 0
        number, skipped = divmod(self._position, BLOCK_BYTES)
        data = memoryview(self._block(number))[skipped : skipped + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            straight = number == self._last + 1 and number > 0
            data = self._get(number, AHEAD_BLOCKS if straight else 1)
            for at in range(0, len(data), BLOCK_BYTES):
                self._blocks[number + at // BLOCK_BYTES] = data[at : at + BLOCK_BYTES]
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        self._last = number
        return self._blocks[number]

    @stamina.retry(on=BROKEN, attempts=4, timeout=120)
    def _get(self, number: int, count: int) -> bytes:
        start = number * BLOCK_BYTES
        stop = min(start + count * BLOCK_BYTES, self._source.size)
        named = _version(self._source.upload) | {"IfMatch": self._source.etag}
        try:
            reply = self._client.get_object(**named, Range=f"bytes={start}-{stop - 1}")
        except ClientError as error:
            raise _gone(error) from error
        return reply["Body"].read()


def _content(head: Mapping[str, Any]) -> str:
    """Identify the bytes of an upload by a hash of the whole object and its size.

    The ETag comes first: for an upload in one request it is the MD5, whoever uploads. Which checksum
    an object has depends on the client, and the ETag of a multipart upload on the size of its parts.
    """
    etag = head["ETag"]
    if "-" not in etag and head.get("ServerSideEncryption", "AES256") == "AES256":
        return f"{etag} {head['ContentLength']}"
    whole = head.get("ChecksumType") != "COMPOSITE"
    sums = ("ChecksumSHA256", "ChecksumCRC64NVME", "ChecksumCRC32C", "ChecksumCRC32")
    found = next((str(head[name]) for name in sums if name in head), None) if whole else None
    return f"{found or etag} {head['ContentLength']}"


def _version(upload: Upload) -> Any:
    named = {"Bucket": upload.bucket, "Key": upload.key}
    return named | ({"VersionId": upload.version_id} if upload.version_id else {})


def _gone(error: ClientError) -> Exception:
    # Where a bucket keeps no versions, another object may stand there by now.
    if code_of(error) not in GONE | {"PreconditionFailed", "412"}:
        return error
    return Refused(
        Code.UPLOAD_GONE,
        "The object was deleted before it was read. Upload it again if it is still wanted.",
    )
