"""One document is read and cut: its records wait with those of others, or are written shard by shard."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from batchline import chunk, ids, units
from batchline.aws.documents import Documents
from batchline.aws.documents.arriving import Arrival
from batchline.aws.dynamo import Row
from batchline.aws.inbox import Inbox, Source
from batchline.aws.large import LargeDocuments, progress
from batchline.aws.parts import Chosen
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.small import SmallDocuments
from batchline.chunk import OutOfTime, Part
from batchline.errors import Code, Refused
from batchline.formats import Archive, Content, Member
from batchline.models import DocumentStatus, Failure, timestamp
from batchline.pipelines import Pipeline

HASHED_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """What this run of the function may do: `until` when, and the `hop`-th time of how many."""

    until: datetime
    hop: int = 0


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts documents."""

    documents: Documents
    inbox: Inbox
    pipelines: Pipelines
    small: SmallDocuments
    large: LargeDocuments
    documents_queue: Queue
    clock: Callable[[], datetime]

    def cut(self, arrival: Arrival, version: str, run: Run, *, row: Row | None) -> None:
        """Make a document's records. `row` is its row where an earlier run has begun it."""
        chosen = Chosen(arrival.pipeline, version, self.pipelines.get(arrival.pipeline, version))
        if row is None and arrival.upload.size > chunk.LARGE_BYTES:
            # It gets a message of its own, so that those that came with it need not wait.
            if begun := self.large.begin(arrival, version):
                self.large.go_on_later(begun, cursor=0, hop=run.hop)
            return
        try:
            source = self.inbox.find(arrival.upload)
            content = self._content(source, chosen.pipeline)
        except Refused as refusal:
            self._refuse(arrival, refusal, version, row)
            return
        if isinstance(content, Archive) and arrival.upload.member is None:
            self._unpack(arrival, chosen, run, content, source, row=row)
        else:
            self._cut(arrival, chosen, run, content, source, row=row)

    def refuse(self, arrival: Arrival, failure: Failure, version: str) -> None:
        """End a document on arrival, and have its end published."""
        self.documents.arriving.refuse(arrival, failure, version)
        self.documents_queue.ring({"document_id": arrival.document_id})

    def _cut(
        self,
        arrival: Arrival,
        chosen: Chosen,
        run: Run,
        content: Content,
        source: Source,
        *,
        row: Row | None,
    ) -> None:
        """Cut a document that is no archive, on from where `row` says."""
        document_id = arrival.document_id
        begun: list[Part] = []
        whole = False  # whether these are all parts
        try:
            found = chunk.parts(
                document_id,
                units.cut(content, chosen.pipeline),
                chosen.pipeline,
                self._described(arrival, source, chosen.pipeline),
                done=progress(row) if row else chunk.Progress(),
                out_of_time=lambda: self.clock() >= run.until,
            )
            if row is None:
                # Two parts tell whether it is large; what is refused by then has never begun.
                begun += islice(found, 2)
                whole = len(begun) < 2  # noqa: PLR2004
        except OutOfTime:
            found = _out_of_time()
        except Refused as refusal:
            self._refuse(arrival, refusal, chosen.version, row)
            return
        if whole and len(begun[0].records) <= chunk.SMALL_RECORDS:
            self.small.add(arrival, chosen, begun[0])
        elif row := row or self.large.begin(arrival, chosen.version):
            self.large.write(row, chosen, chain(_taken(begun), found), hop=run.hop)

    def _refuse(self, arrival: Arrival, refusal: Refused, version: str, row: Row | None) -> None:
        failure = Failure(refusal.code, refusal.message)
        if row is None:
            self.refuse(arrival, failure, version)
        else:  # it has begun: what came before is settled all the same
            self.large.seal(arrival.document_id, int(row["cursor"]), failure)

    # reading

    def _content(self, source: Source, pipeline: Pipeline) -> Content:
        """Read an upload, or one member of an archive."""
        name = PurePosixPath(source.upload.key).name
        path = source.upload.member
        content = units.read(self.inbox.open(source), name, pipeline, size=source.size)
        if path is None:
            return content
        members = content.members if isinstance(content, Archive) else ()
        for member in members:
            if member.name == path:
                return units.read(member.open(), path, pipeline, size=member.size)
        raise Refused(Code.UPLOAD_GONE, f"The archive holds no {path} any more. Upload it again.")

    def _described(self, arrival: Arrival, source: Source, pipeline: Pipeline) -> Mapping[str, Any]:
        """Say what prompts may know of a document."""
        upload = arrival.upload
        return chunk.described(
            upload,
            pipeline=arrival.pipeline,
            content_type=source.content_type,
            uploaded_at=source.uploaded_at,
        ) | {
            "metadata": dict(source.metadata),
            "tags": self.inbox.tags(upload) if pipeline.uses_tags else {},
        }

    # archives

    def _unpack(
        self,
        arrival: Arrival,
        chosen: Chosen,
        run: Run,
        archive: Archive,
        source: Source,
        *,
        row: Row | None,
    ) -> None:
        """Make a document of each member of an archive, on from where `row` says."""
        row = row or self.large.begin(arrival, chosen.version)
        if row is None:
            return
        done, number, failure = int(row["cursor"]), 0, None
        try:
            for number, member in enumerate(archive.members, start=1):
                if number <= done:
                    continue
                if number > done + 1 and self.clock() >= run.until:
                    self.small.write()
                    self.documents.arriving.advance(arrival.document_id, cursor=number - 1)
                    self.large.go_on_later(row, cursor=number - 1, hop=run.hop)
                    return
                self._take_member(arrival, chosen, run, member, source)
        except Refused as refusal:
            failure = Failure(refusal.code, refusal.message)
        self.small.write()  # once the archive is done nobody looks at its members again
        self.documents.ending.unpacked(
            arrival.document_id,
            arrival.pipeline,
            documents=number,
            finished_at=timestamp(self.clock()),
            failure=failure,
        )
        self.documents_queue.ring({"document_id": arrival.document_id})

    def _take_member(
        self, archive: Arrival, chosen: Chosen, run: Run, member: Member, source: Source
    ) -> None:
        """Make a document of a member. Its own bytes name it, whatever else the archive holds."""
        key = f"{archive.upload.key}/{member.name}"
        upload = replace(archive.upload, member=member.name, size=member.size)
        try:
            content = _digest(member.open())
        except Refused as refusal:
            name = ids.document_id(key=key, content=source.content, version=chosen.version)
            self._refuse(replace(archive, document_id=name, upload=upload), refusal, chosen.version, None)
            return
        name = ids.document_id(key=key, content=content, version=chosen.version)
        arrival = replace(archive, document_id=name, upload=upload)
        row = self.documents.get(name)
        if row is None or row["status"] == DocumentStatus.CHUNKING:
            self._cut_member(arrival, chosen, run, member, source, row)

    def _cut_member(
        self,
        arrival: Arrival,
        chosen: Chosen,
        run: Run,
        member: Member,
        source: Source,
        row: Row | None,
    ) -> None:
        try:
            content = units.read(member.open(), member.name, chosen.pipeline, size=member.size)
        except Refused as refusal:
            self._refuse(arrival, refusal, chosen.version, row)
            return
        self._cut(arrival, chosen, run, content, source, row=row)


def _taken(parts: list[Part]) -> Iterator[Part]:
    """Take parts out of a list: nobody keeps the records of those that are written."""
    while parts:
        yield parts.pop(0)


def _out_of_time() -> Iterator[Part]:
    raise OutOfTime
    yield


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    with closing(file):
        while block := file.read(HASHED_BYTES):
            digest.update(block)
    return digest.hexdigest()
