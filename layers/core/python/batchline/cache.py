"""Cache: which requests are the same, and what a job does about each, decided from values alone.

Two requests are the same if they go to the same model, in the same kind of call, for the same pipeline and
with the same bytes: parameters, system text, prompt and schema. Those of a job fall into groups. A group is
answered from the cache, or left to another job that asks the same right now, or one record of it is sent
and its answer counts for all of them.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from batchline.models import Shard


class Fate(StrEnum):
    """What a job does about a record."""

    SENT = "sent"
    KNOWN = "known"  # its request was answered before
    SAME = "same"  # another record of the job that asks the same is sent
    ELSEWHERE = "elsewhere"  # another job asks the same


class Decision(msgspec.Struct, array_like=True, frozen=True):
    """The fate of a record, which came in a shard."""

    record: str
    fate: Fate
    digest: str
    shard: str


class _Asked(msgspec.Struct):
    """A line of a shard."""

    recordId: str  # noqa: N815 - Bedrock's names
    modelInput: msgspec.Raw  # noqa: N815


class _Answered(msgspec.Struct):
    """A line of a job's output, as far as it can be used again."""

    modelOutput: msgspec.Raw  # noqa: N815


_read_asked = msgspec.json.Decoder(_Asked).decode
_read_answered = msgspec.json.Decoder(_Answered).decode
_read_decisions = msgspec.json.Decoder(Decision).decode_lines
_write_decisions = msgspec.json.Encoder().encode_lines


def read(line: bytes) -> tuple[str, bytes]:
    """Read a line of a shard: the record's id, and its request as it stands."""
    found = _read_asked(line)
    return found.recordId, bytes(found.modelInput)


def output(line: bytes) -> bytes:
    """Read what the model has answered in a line of a job's output."""
    return bytes(_read_answered(line).modelOutput)


def line(record_id: str, answered: bytes) -> bytes:
    """Write what was answered before as a line of output for another record."""
    return b'{"recordId":"%b","modelOutput":%b}\n' % (record_id.encode(), answered)


def digest(lane: str, pipeline: str, request: bytes) -> str:
    """Name a request. A lane is the model and the kind of call."""
    found = hashlib.sha256(f"{lane}\n{pipeline}\n".encode())
    found.update(request)
    return found.hexdigest()


def usable(row: Mapping[str, Any], *, now: int, ttl: int) -> bool:
    """Tell whether a row of the cache holds an answer that is young enough, in seconds."""
    return "at" in row and now < row["expires_at"] and now - row["at"] < ttl


def claimant(row: Mapping[str, Any], *, now: int) -> str | None:
    """Name the job that has said it would ask a request. None: the row says no such thing."""
    return row["job_id"] if "at" not in row and now < row["expires_at"] else None


@dataclass(slots=True)
class Group:
    """Records with the same request, each with its shard's id.

    An answer may be `ttl` seconds old. `patient`: none of them is past its deadline, so that they may wait
    for another job.
    """

    pipeline: str
    ttl: int
    patient: bool = True
    records: list[tuple[str, str]] = field(default_factory=list)

    def add(self, record_id: str, shard: Shard, now: str) -> None:
        self.records.append((record_id, shard.shard_id))
        self.patient = self.patient and (shard.deadline_at is None or shard.deadline_at > now)


def decide(
    groups: Mapping[str, Group], known: Collection[str], elsewhere: Collection[str]
) -> Iterator[Decision]:
    """Decide the fate of all records of groups by digest, given what is answered and asked elsewhere."""
    for name, group in groups.items():
        if name in known:
            fates = [Fate.KNOWN] * len(group.records)
        elif name in elsewhere:
            fates = [Fate.ELSEWHERE] * len(group.records)
        else:
            fates = [Fate.SENT] + [Fate.SAME] * (len(group.records) - 1)
        for (record, shard), fate in zip(group.records, fates, strict=True):
            yield Decision(record, fate, name, shard)


def dump(decisions: Iterable[Decision]) -> bytes:
    return _write_decisions(decisions)


def load(data: bytes) -> list[Decision]:
    return _read_decisions(data)


def leaders(decisions: Sequence[Decision]) -> frozenset[str]:
    """Name the records whose answers count for others as well."""
    shared = {one.digest for one in decisions if one.fate is Fate.SAME}
    return frozenset(one.record for one in decisions if one.fate is Fate.SENT and one.digest in shared)


def counts(decisions: Iterable[Decision]) -> dict[str, int]:
    """Count records by their fate."""
    found = Counter(one.fate for one in decisions)
    return {fate.value: found[fate] for fate in Fate}


class Fates:
    """The decisions of a job by the position of the record; empty where no pipeline has a cache.

    `digests` are those of records that are sent, `elsewhere` those of records that another job asks.
    `left_out` counts the records that are not sent.
    """

    def __init__(self, decisions: Iterable[Decision], find: Callable[[str], int | None]) -> None:
        self.digests: dict[int, str] = {}
        self.elsewhere: dict[int, str] = {}
        self.left_out = 0
        self._same: dict[str, list[int]] = {}
        self._copies: set[int] = set()
        for one in decisions:
            position = find(one.record)
            if position is None:
                continue
            self.left_out += one.fate is not Fate.SENT
            if one.fate is Fate.SENT:
                self.digests[position] = one.digest
            elif one.fate is Fate.ELSEWHERE:
                self.elsewhere[position] = one.digest
            elif one.fate is Fate.SAME:
                self._same.setdefault(one.digest, []).append(position)
                self._copies.add(position)

    def copies(self, position: int) -> Sequence[int]:
        """Say for which other records the answer to this one counts as well."""
        return self._same.get(self.digests.get(position, ""), ())

    def is_copy(self, position: int) -> bool:
        """Tell whether the answer to another record counts for this one."""
        return position in self._copies
