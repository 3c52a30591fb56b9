"""Chunk: uploads become document rows and shards."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Final, Self
from urllib.parse import unquote_plus

from batchline import chunk, ids, pipelines, prices, settings
from batchline.aws import clients, dynamo
from batchline.aws.control import Control
from batchline.aws.documents import Arrival, Documents, settled
from batchline.aws.objects import Inbox, Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import MAX_DELAY_SECONDS, Queue
from batchline.aws.shards import Contents, Shards
from batchline.chunk import DocumentFile, Part, PipelineFile, Upload
from batchline.errors import Code, Held, Refused
from batchline.models import DocumentStatus, Engine, Failure, Usage, timestamp
from batchline.pipelines import Pipeline

NO_VERSION: Final = "-"  # names a document that arrived before its pipeline
SHARD_DOCUMENTS: Final = dynamo.TRANSACTION_WRITES - 1


def uploads(body: Mapping[str, Any]) -> Iterator[Upload]:
    """Read an S3 notification. S3's test message has no records."""
    for record in body.get("Records", ()):
        item = record["s3"]["object"]
        yield Upload(
            bucket=record["s3"]["bucket"]["name"],
            key=unquote_plus(item["key"]),  # AWS writes a space as `+`, LocalStack as `%20`
            version_id=item.get("versionId"),
            size=int(item.get("size", 0)),
            sequencer=item.get("sequencer", ""),
        )


@dataclass(frozen=True, slots=True)
class Small:
    """A document whose records all go into one shard, waiting for the shard to be written."""

    arrival: Arrival
    part: Part


@dataclass(frozen=True, slots=True)
class Chunker:
    """Takes uploads one by one and writes the small ones together when told to `flush`."""

    documents: Documents
    inbox: Inbox
    pipelines: Pipelines
    shards: Shards
    uploads_queue: Queue
    wake_queue: Queue
    documents_queue: Queue
    clock: Callable[[], datetime]
    _small: dict[tuple[str, str], dict[str, Small]] = field(default_factory=dict)

    @classmethod
    def connect(cls, env: settings.Chunk, clock: Callable[[], datetime]) -> Self:
        control = Control(clients.dynamodb(), env.control_table)
        work = Work(clients.s3(), env.work_bucket)
        return cls(
            documents=Documents(clients.dynamodb(), env.documents_table),
            inbox=Inbox(clients.s3()),
            pipelines=Pipelines(control, work),
            shards=Shards(control, work),
            uploads_queue=Queue(clients.sqs(), env.uploads_queue),
            wake_queue=Queue(clients.sqs(), env.wake_queue),
            documents_queue=Queue(clients.sqs(), env.documents_queue),
            clock=clock,
        )

    def accept(self, upload: Upload) -> None:
        """Take one upload as far as it goes now. Taking it again changes nothing."""
        try:
            target = chunk.destination(upload.key)
        except Refused as refusal:
            self._refuse_unread(upload, NO_VERSION, refusal)
            return
        match target:
            case PipelineFile(name):
                self._publish(upload, name)
            case DocumentFile():
                self._receive(upload, target)
            case None:
                return

    def go_on(self, document_id: str) -> None:
        """Go on with a document that waited for its pipeline, or whose chunking broke off."""
        row = self.documents.get(document_id)
        target = chunk.destination(row["source"]["key"]) if row else None
        if row and isinstance(target, DocumentFile):
            self._go_on(row, _arrived(row), target)

    def flush(self) -> None:
        """Write the small documents taken so far, many to a shard."""
        taken = dict(self._small)
        self._small.clear()  # what fails is delivered again, to whichever process
        for (name, version), found in taken.items():
            pipeline = self.pipelines.get(name, version)
            for group in _groups(found.values()):
                self._write_small(name, version, pipeline, group)

    # pipelines

    def _publish(self, upload: Upload, name: str) -> None:
        try:
            pipeline = pipelines.parse(self.inbox.read(upload))
        except Refused as refusal:
            self._refuse_unread(upload, name, refusal)
            return
        at = timestamp(self.clock())
        if self.pipelines.publish(name, pipeline, sequencer=upload.sequencer, at=at):
            waiting = self.documents.with_problem(name, Code.PIPELINE_UNKNOWN)
            self.uploads_queue.ring_all({"document_id": one} for one in waiting)

    # documents

    def _receive(self, upload: Upload, target: DocumentFile) -> None:
        try:
            chunk.refuse_size(upload.size)
            content = self.inbox.content(upload)
        except Refused as refusal:
            self._refuse_unread(upload, target.pipeline, refusal)
            return
        version = self.pipelines.current(target.pipeline)
        waiting_id = ids.document_id(key=upload.key, content=content, version=NO_VERSION)
        names = {waiting_id}
        if version:
            names.add(ids.document_id(key=upload.key, content=content, version=version))
        rows = {row["document_id"]: row for row in self.documents.get_many(names)}
        arrival = self._arrival(waiting_id, target.pipeline, upload)
        if (row := rows.get(waiting_id)) and self._is_same(row, upload, version):
            self._go_on(row, arrival, target)
        elif version is None:
            self._hold(arrival)
        else:
            document_id = ids.document_id(key=upload.key, content=content, version=version)
            arrival = self._arrival(document_id, target.pipeline, upload)
            if row := rows.get(document_id):
                self._go_on(row, arrival, target)
            else:
                self._chunk(arrival, target, version)

    def _go_on(self, row: dynamo.Row, arrival: Arrival, target: DocumentFile) -> None:
        """Do what is left to do here for a document that has a row; mostly nothing."""
        if _waits_for_pipeline(row):
            if version := self.pipelines.current(target.pipeline):
                self._chunk(arrival, target, version)
        elif row["status"] == DocumentStatus.CHUNKING:
            self._chunk(arrival, target, row["pipeline_version"])  # whatever is in force by now
        elif settled(row) and not DocumentStatus(row["status"]).terminal:
            # Whoever sealed it may have died before it rang.
            self.documents_queue.ring({"document_id": arrival.document_id})

    @staticmethod
    def _is_same(row: dynamo.Row, upload: Upload, version: str | None) -> bool:
        """Tell whether a document that came before its pipeline is what this upload would become."""
        return (
            _waits_for_pipeline(row)
            or row["source"].get("version_id") == upload.version_id
            or row["pipeline_version"] == version
        )

    def _hold(self, arrival: Arrival) -> None:
        held = Held(
            Code.PIPELINE_UNKNOWN,
            f"There is no pipeline {arrival.pipeline!r} yet. Upload pipelines/{arrival.pipeline}.yaml "
            "and the document goes on by itself.",
        )
        self.documents.hold(arrival, Failure(held.code, held.message))
        # The pipeline may have arrived between our look and our row, and then it did not see the row.
        if self.pipelines.current(arrival.pipeline):
            self.uploads_queue.ring({"document_id": arrival.document_id})

    def _chunk(self, arrival: Arrival, target: DocumentFile, version: str) -> None:
        """Make a document's records: small documents wait for `flush`, large ones are written."""
        pipeline = self.pipelines.get(target.pipeline, version)
        try:
            data = self.inbox.read(arrival.upload)
            found = chunk.records(target, arrival.upload.key, data, pipeline)
            parts = chunk.parts(arrival.document_id, found)
            first, second = next(parts), next(parts, None)
        except Refused as refusal:
            failure = Failure(refusal.code, refusal.message)
            row = self._refuse(arrival, failure, version)
            if row is not None and row["status"] == DocumentStatus.CHUNKING:
                # It was readable when its first shards were written; they are settled as they are.
                self._seal(arrival.document_id, int(row["cursor"]), failure)
            return
        if second is None and len(first.records) <= chunk.SMALL_RECORDS:
            waiting = self._small.setdefault((target.pipeline, version), {})
            waiting[arrival.document_id] = Small(arrival, first)
        else:
            start = [first] if second is None else [first, second]
            self._write_large(arrival, target.pipeline, version, chain(start, parts))

    def _write_small(self, name: str, version: str, pipeline: Pipeline, group: Mapping[str, Small]) -> None:
        """Write documents and their shard in one transaction; leave out those that exist already."""
        left = dict(group)
        while left:
            members = list(left.values())
            shard = self.shards.write(
                ids.shard_id(),
                _contents(pipeline, [one.part for one in members]),
                name=name,
                pipeline=pipeline,
                version=version,
                now=self.clock(),
            )
            owners = [
                self.documents.queued(
                    one.arrival,
                    version,
                    records=len(one.part.records),
                    estimate_usd=_estimate(pipeline, one.part),
                )
                for one in members
            ]
            try:
                self.shards.register(shard, owners)
            except dynamo.Cancelled as cancelled:
                for position, one in enumerate(members, start=1):
                    if cancelled.failed(position):
                        del left[one.arrival.document_id]
            else:
                self._wake(pipeline)
                return

    def _write_large(self, arrival: Arrival, name: str, version: str, parts: Iterable[Part]) -> None:
        """Register a document's shards one by one, from where an earlier run has stopped."""
        pipeline = self.pipelines.get(name, version)
        begun = self.documents.begin(arrival, version)
        cursor = 0 if begun.done else self._cursor(arrival.document_id)
        failure = None
        number = -1
        try:
            for number, part in enumerate(parts):
                if cursor is None:
                    return
                if number >= cursor:
                    cursor = self._register(arrival.document_id, number, part, name, version, pipeline)
        except Refused as refusal:
            failure = Failure(refusal.code, refusal.message)
        if cursor is None:
            return
        self._seal(arrival.document_id, cursor, failure)

    def _seal(self, document_id: str, cursor: int, failure: Failure | None) -> None:
        """Seal a large document. Its records may all be settled already: then nobody else rings."""
        sealed = self.documents.seal(document_id, cursor=cursor, failure=failure)
        if settled(sealed.row):
            self.documents_queue.ring({"document_id": document_id})

    def _register(
        self, document_id: str, number: int, part: Part, name: str, version: str, pipeline: Pipeline
    ) -> int | None:
        """Register one shard of a large document and return the cursor after it.

        None: the document has left CHUNKING, another run has finished it.
        """
        shard = self.shards.write(
            ids.document_shard_id(document_id, number),
            _contents(pipeline, [part]),
            name=name,
            pipeline=pipeline,
            version=version,
            now=self.clock(),
        )
        owner = self.documents.register(
            document_id,
            cursor=number,
            records=len(part.records),
            estimate_usd=_estimate(pipeline, part),
        )
        try:
            self.shards.register(shard, [owner])
        except dynamo.Cancelled:
            return self._cursor(document_id)
        self._wake(pipeline)
        return number + 1

    def _cursor(self, document_id: str) -> int | None:
        """Read how many shards of a document are registered. None: it needs no more."""
        row = self.documents.get(document_id)
        if row is None or row["status"] != DocumentStatus.CHUNKING:
            return None
        return int(row["cursor"])

    # shared

    def _arrival(self, document_id: str, pipeline: str, upload: Upload) -> Arrival:
        return Arrival(document_id, pipeline, upload, timestamp(self.clock()))

    def _refuse_unread(self, upload: Upload, pipeline: str, refusal: Refused) -> None:
        """Write the row of an upload that was refused before its content was known."""
        content = upload.version_id or upload.sequencer
        name = ids.document_id(key=upload.key, content=content, version=NO_VERSION)
        arrival = self._arrival(name, pipeline, upload)
        self._refuse(arrival, Failure(refusal.code, refusal.message), NO_VERSION)

    def _refuse(self, arrival: Arrival, failure: Failure, version: str) -> dynamo.Row | None:
        """End a document on arrival, and have its end published. Returns the row that stood against it."""
        row = self.documents.refuse(arrival, failure, version).row
        self.documents_queue.ring({"document_id": arrival.document_id})
        return row

    def _wake(self, pipeline: Pipeline) -> None:
        """Have pack look the moment the records become urgent; the schedule is up to a minute late."""
        if pipeline.max_wait <= MAX_DELAY_SECONDS:
            self.wake_queue.ring({"hop": 0}, delay_seconds=pipeline.max_wait)


def _arrived(row: dynamo.Row) -> Arrival:
    """Read from its row how a document arrived."""
    source = row["source"]
    upload = Upload(
        source["bucket"], source["key"], source.get("version_id"), source["size"], source["sequencer"]
    )
    return Arrival(row["document_id"], row["pipeline"], upload, row["received_at"])


def _waits_for_pipeline(row: dynamo.Row) -> bool:
    error = row.get("error") or {}
    return row["status"] == DocumentStatus.HELD and error.get("code") == Code.PIPELINE_UNKNOWN


def _groups(found: Iterable[Small]) -> Iterator[dict[str, Small]]:
    """Group small documents by what one shard and one transaction hold."""
    group: dict[str, Small] = {}
    records = size = 0
    for one in found:
        bytes_of = sum(len(record.model_input) for record in one.part.records)
        full = (
            len(group) >= SHARD_DOCUMENTS
            or records + len(one.part.records) > chunk.SHARD_RECORDS
            or size + bytes_of > chunk.SHARD_BYTES
        )
        if group and full:
            yield group
            group, records, size = {}, 0, 0
        group[one.arrival.document_id] = one
        records += len(one.part.records)
        size += bytes_of
    if group:
        yield group


def _contents(pipeline: Pipeline, parts: Iterable[Part]) -> Contents:
    parts = list(parts)
    lines = [line for part in parts for line in part.lines()]
    return Contents(
        ranges=[part.range for part in parts],
        lines=lines,
        input_tokens=sum(one.input_tokens for part in parts for one in part.records),
        output_tokens=len(lines) * pipeline.inference.max_tokens,
    )


def _estimate(pipeline: Pipeline, part: Part) -> Decimal:
    """Estimate the most that a part may cost in a batch, in USD."""
    usage = Usage(
        sum(one.input_tokens for one in part.records),
        len(part.records) * pipeline.inference.max_tokens,
    )
    return prices.price(pipeline.model, Engine.BATCH).cost(usage)
