"""S3 as a batch job sees it: list the input, stream its lines, stream the output back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_CHUNK: Final = 1 << 20
_PART: Final = 8 << 20
_URI = re.compile(r"s3://([^/]+)(?:/(.*))?")
_DENIED = frozenset({"403", "AccessDenied", "Forbidden", "AllAccessDisabled"})
_MISSING = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NotFound"})


class StorageError(Exception):
    """S3 refused or could not be reached; the message is fit for a job's `message`."""


@dataclass(frozen=True)
class Location:
    """A bucket and a key or key prefix in it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "Location":
        """Read an s3Uri that has passed the service model's pattern."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise ValueError(f"not an S3 URI: {uri}")
        return cls(match[1], match[2] or "")

    def below(self, *parts: str) -> "Location":
        """Return the location of an object below this one."""
        base = self.key.rstrip("/")
        return Location(self.bucket, "/".join([*([base] if base else []), *parts]))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class InputFile:
    """One .jsonl object of a job; `name` is its key relative to the job's input location."""

    location: Location
    name: str
    size: int


class Storage:
    """The S3 calls of the emulator; rights are checked as far as the endpoint checks them."""

    def __init__(self, endpoint: str, region: str) -> None:
        self._s3: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the local cloud's well-known key
            config=Config(
                s3={"addressing_style": "path"},
                retries={"mode": "standard", "total_max_attempts": 3},
                max_pool_connections=32,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def require_bucket(self, location: Location) -> None:
        """Raise StorageError where the bucket is missing or may not be used."""
        try:
            self._s3.head_bucket(Bucket=location.bucket)
        except (ClientError, BotoCoreError) as error:
            raise _explained(error, location) from error

    def input_files(self, uri: str) -> list[InputFile]:
        """Return the .jsonl objects at `uri`, a file or a folder, in the order of their keys."""
        location = Location.parse(uri)
        if location.key.endswith(".jsonl"):
            file = self._single(location)
            if file is not None:
                return [file]
        folder = location.key if not location.key or location.key.endswith("/") else f"{location.key}/"
        return [
            InputFile(Location(location.bucket, key), key.removeprefix(folder), size)
            for key, size in self._listed(location.bucket, folder)
            if key.endswith(".jsonl")
        ]

    def _single(self, location: Location) -> InputFile | None:
        try:
            head = self._s3.head_object(Bucket=location.bucket, Key=location.key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise _explained(error, location) from error
        except BotoCoreError as error:
            raise _explained(error, location) from error
        return InputFile(location, location.key.rsplit("/", 1)[-1], head["ContentLength"])

    def _listed(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"], item["Size"]
        except (ClientError, BotoCoreError) as error:
            raise _explained(error, Location(bucket, prefix)) from error

    def lines(self, location: Location) -> Iterator[bytes]:
        """Stream an object's lines without their line ends; a final empty line does not count."""
        rest = b""
        try:
            body = self._s3.get_object(Bucket=location.bucket, Key=location.key)["Body"]
            try:
                while chunk := body.read(_CHUNK):
                    lines = (rest + chunk).split(b"\n")
                    rest = lines.pop()
                    yield from lines
            finally:
                body.close()
        except (ClientError, BotoCoreError) as error:
            raise _explained(error, location) from error
        if rest:
            yield rest

    def put(self, location: Location, content: bytes, *, kms_key: str | None) -> None:
        try:
            self._s3.put_object(
                Bucket=location.bucket, Key=location.key, Body=content, **_encryption(kms_key)
            )
        except (ClientError, BotoCoreError) as error:
            raise _explained(error, location) from error

    def upload(self, location: Location, *, kms_key: str | None) -> "Upload":
        return Upload(self, self._s3, location, kms_key)


class Upload:
    """An object written piece by piece; nothing is visible before `close`."""

    def __init__(self, storage: Storage, s3: "S3Client", location: Location, kms_key: str | None) -> None:
        self._storage = storage
        self._s3 = s3
        self._location = location
        self._kms_key = kms_key
        self._pending: list[bytes] = []
        self._size = 0
        self._id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def write(self, line: bytes) -> None:
        self._pending.append(line)
        self._size += len(line)
        if self._size >= _PART:
            self._send_part()

    def close(self) -> None:
        """Make the object visible."""
        if self._id is None:
            self._storage.put(self._location, b"".join(self._pending), kms_key=self._kms_key)
            return
        if self._pending:
            self._send_part()
        try:
            self._s3.complete_multipart_upload(
                **self._where(), UploadId=self._id, MultipartUpload={"Parts": self._parts}
            )
        except (ClientError, BotoCoreError) as error:
            raise _explained(error, self._location) from error

    def abort(self) -> None:
        """Give up without a visible object."""
        if self._id is not None:
            try:
                self._s3.abort_multipart_upload(**self._where(), UploadId=self._id)
            except (ClientError, BotoCoreError) as error:
                raise _explained(error, self._location) from error

    def _send_part(self) -> None:
        body = b"".join(self._pending)
        self._pending, self._size = [], 0
        try:
            if self._id is None:
                begun = self._s3.create_multipart_upload(**self._where(), **_encryption(self._kms_key))
                self._id = begun["UploadId"]
            number = len(self._parts) + 1
            sent = self._s3.upload_part(**self._where(), UploadId=self._id, PartNumber=number, Body=body)
        except (ClientError, BotoCoreError) as error:
            raise _explained(error, self._location) from error
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _where(self) -> Any:
        return {"Bucket": self._location.bucket, "Key": self._location.key}


def _encryption(kms_key: str | None) -> Any:
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def denied(location: Location) -> StorageError:
    """Return the refusal that a role without rights on a bucket gets."""
    return StorageError(
        f"Access denied to {location}. Check that the service role may read, list and write the bucket."
    )


def _explained(error: ClientError | BotoCoreError, location: Location) -> StorageError:
    code = _code(error) if isinstance(error, ClientError) else ""
    if code in _DENIED:
        return denied(location)
    if code in _MISSING:
        return StorageError(f"The S3 location {location} does not exist or cannot be accessed.")
    return StorageError(f"S3 could not serve {location}: {error}")
