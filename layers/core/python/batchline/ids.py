"""Identifiers: how documents, records, jobs and shards are named.

All of them are lower-case letters and digits, so that they may stand in S3 keys that Bedrock accepts,
in Bedrock's job names and in its record ids.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

DOCUMENT_LENGTH: Final = 16
JOB_LENGTH: Final = 12
MAX_RECORDS: Final = 10**7  # a record's index has seven digits
MAX_ATTEMPTS: Final = 9  # an attempt has one
MAP: Final = "m"  # the stage of records that are made of an upload's chunks
REDUCE: Final = "rstuvwxyz"  # the stages of records that are made of answers, first to last

_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_RECORD: Final = re.compile(r"([a-z2-7]{16})([a-z])([0-9]{7})([1-9])")
_JOB: Final = re.compile(r"[0-9a-z]{12}")


@dataclass(frozen=True, slots=True)
class RecordId:
    """Says all that an output line must tell: whose answer it is and which attempt it answers."""

    document_id: str
    stage: str
    index: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.document_id}{self.record}{self.attempt}"

    @property
    def record(self) -> str:
        """The sort key of the record's result, e.g. `m0000012`."""
        return f"{self.stage}{self.index:07d}"

    @classmethod
    def parse(cls, text: str) -> "RecordId | None":
        """Read what `str` wrote. None: a foreign id."""
        found = _RECORD.fullmatch(text)
        if not found:
            return None
        document_id, stage, index, attempt = found.groups()
        return cls(document_id, stage, int(index), int(attempt))


def document_id(*, key: str, content: str, version: str) -> str:
    """Name a document by its key, its content and the version of its pipeline.

    The same bytes at the same key for the same pipeline version are one document, however often S3
    tells of them.
    """
    digest = hashlib.sha256("\n".join((key, content, version)).encode()).digest()
    return base64.b32encode(digest)[:DOCUMENT_LENGTH].decode().lower()


def job_id(now: datetime) -> str:
    """Make a new id that sorts by time: milliseconds in base 36, then four random places."""
    number, places = int(now.timestamp() * 1000), ""
    while number:
        number, digit = divmod(number, 36)
        places = _BASE36[digit] + places
    return places.rjust(8, "0") + "".join(secrets.choice(_BASE36) for _ in range(4))


def job_name(prefix: str, job: str) -> str:
    """Name a job at Bedrock; the prefix tells this stack's jobs from all others."""
    return f"{prefix}-{job}"


def job_of(name: str, *, prefix: str) -> str | None:
    """Read the job id from its name at Bedrock. None: somebody else's job."""
    found = name.removeprefix(f"{prefix}-")
    return found if found != name and _JOB.fullmatch(found) else None


def shard_id() -> str:
    """Make a new id for a shard of several documents."""
    return secrets.token_hex(10)


def stage(number: int) -> str:
    """Name a stage of a document's records: 0 is that of its chunks, further ones reduce."""
    return (MAP + REDUCE)[number]


def document_shard_id(document: str, number: int, stage: str = MAP) -> str:
    """Name the n-th shard of a stage of a document: a repeated run writes the same one."""
    return f"{document}-{stage}{number:05d}"
