"""Chunk: uploads become document rows and shards."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Self
from urllib.parse import unquote_plus

from batchline import chunk, ids, pipelines, settings
from batchline.aws import clients, dynamo
from batchline.aws.control import Control
from batchline.aws.cutting import Cutter, Run
from batchline.aws.documents import Documents
from batchline.aws.documents.arriving import Arrival
from batchline.aws.documents.progress import settled
from batchline.aws.earlier import EarlierAnswers
from batchline.aws.inbox import Inbox
from batchline.aws.large import MAX_HOPS, LargeDocuments
from batchline.aws.objects import Work
from batchline.aws.parts import Parts
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.shards import Shards
from batchline.aws.small import SmallDocuments
from batchline.chunk import DocumentFile, PipelineFile, Upload
from batchline.errors import Code, Held, Refused
from batchline.models import DocumentStatus, Failure, timestamp

NO_VERSION: Final = "-"  # names a document that arrived before its pipeline
# An upload is begun only while so much time is left; its first shard must come out of it.
START_TIME: Final = timedelta(minutes=4)
# S3 may tell of an upload again for as long as its message may live.
REPEATED_DAYS: Final = 15


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
            created_on=record.get("eventTime", "")[:10] or None,
        )


@dataclass(frozen=True, slots=True)
class Chunker:
    """Takes messages one by one and writes small documents together when told to `flush`."""

    documents: Documents
    control: Control
    inbox: Inbox
    pipelines: Pipelines
    small: SmallDocuments
    cutter: Cutter
    uploads_queue: Queue
    documents_queue: Queue
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Chunk, clock: Callable[[], datetime]) -> Self:
        control = Control(clients.dynamodb(), env.control_table)
        documents = Documents(clients.dynamodb(), env.documents_table)
        work, inbox = Work(clients.s3(), env.work_bucket), Inbox(clients.s3())
        versions = Pipelines(control, work)
        uploads_queue = Queue(clients.sqs(), env.uploads_queue)
        documents_queue = Queue(clients.sqs(), env.documents_queue)
        parts = Parts(
            Shards(control, work),
            EarlierAnswers(documents, clock),
            Queue(clients.sqs(), env.wake_queue),
            clock,
        )
        small = SmallDocuments(documents, parts)
        large = LargeDocuments(documents, control, parts, uploads_queue, documents_queue)
        cutter = Cutter(documents, inbox, versions, small, large, documents_queue, clock)
        return cls(documents, control, inbox, versions, small, cutter, uploads_queue, documents_queue, clock)

    def take(self, body: Mapping[str, Any], *, until: datetime, receives: int = 1, messages: int = 1) -> None:
        """Take a message: S3's of uploads, or the doorbell of a document. Taking it again changes nothing.

        `until` is when the function must have ended. A message that was delivered before may have
        killed the function then, so it waits for no others and no others wait for it. `messages` is how
        many came together, and share what the run itself takes.
        """
        clients.meter().begin(self.clock, messages=messages)
        run = Run(until, int(body.get("hop", 0)))
        if self.clock() + START_TIME > until and run.hop < MAX_HOPS:
            self.uploads_queue.ring({**body, "hop": run.hop + 1})
            return
        if receives > 1:
            self.flush()
        if "document_id" in body:
            self.go_on(body["document_id"], run)
        for upload in uploads(body):
            self.accept(upload, run)
        if receives > 1:
            self.flush()

    def accept(self, upload: Upload, run: Run) -> None:
        """Take one upload as far as it goes now."""
        try:
            target = chunk.destination(upload.key)
        except Refused as refusal:
            self._refuse_unread(upload, NO_VERSION, refusal)
            return
        match target:
            case PipelineFile(name):
                self._publish(upload, name)
            case DocumentFile(name):
                self._receive(upload, name, run)
            case None:
                return

    def go_on(self, document_id: str, run: Run) -> None:
        """Go on with a document that waited for its pipeline, is large, or whose chunking broke off."""
        row = self.documents.get(document_id)
        if row and isinstance(chunk.destination(row["source"]["key"]), DocumentFile):
            self._go_on(row, _arrived(row), run)

    def flush(self) -> None:
        """Write the small documents taken so far, many to a shard."""
        self.small.write()

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

    def _receive(self, upload: Upload, pipeline: str, run: Run) -> None:
        """Find out which document an upload is, and whether it has come before."""
        if begun := self._begun(upload):
            self._go_on(begun, _arrived(begun), run)
            return
        try:
            chunk.refuse_size(upload.size)
            content = self.inbox.find(upload).content
        except Refused as refusal:
            if refusal.code != Code.UPLOAD_GONE or not self._is_known(upload, pipeline):
                self._refuse_unread(upload, pipeline, refusal)
            return
        version = self.pipelines.current(pipeline)
        waiting_id = ids.document_id(key=upload.key, content=content, version=NO_VERSION)
        names = {waiting_id}
        if version:
            names.add(ids.document_id(key=upload.key, content=content, version=version))
        rows = {row["document_id"]: row for row in self.documents.get_many(names)}
        arrival = self._arrival(waiting_id, pipeline, upload)
        if (row := rows.get(waiting_id)) and self._is_same(row, upload, version):
            self._go_on(row, arrival, run)
        elif version is None:
            self._hold(arrival)
        else:
            document_id = ids.document_id(key=upload.key, content=content, version=version)
            arrival = self._arrival(document_id, pipeline, upload)
            if row := rows.get(document_id):
                self._go_on(row, arrival, run)
            else:
                self.cutter.cut(arrival, version, run, row=None)

    def _begun(self, upload: Upload) -> dynamo.Row | None:
        """Find the large document that this upload has become, whichever pipeline is in force now."""
        document_id = self.control.uploads.document(upload.name)
        return self.documents.get(document_id) if document_id else None

    def _is_known(self, upload: Upload, pipeline: str) -> bool:
        """Tell whether an upload that is gone had been taken before. S3 tells of some twice."""
        today = self.clock().date()
        first = date.fromisoformat(upload.created_on) if upload.created_on else today
        for back in range(min((today - first).days, REPEATED_DAYS) + 1):
            day = (today - timedelta(days=back)).isoformat()
            found = (document_id for _, document_id in self.documents.of_day(pipeline, day))
            for row in self.documents.get_many(found):
                if _arrived(row).upload.name == upload.name:
                    return True
        return False

    def _go_on(self, row: dynamo.Row, arrival: Arrival, run: Run) -> None:
        """Do what is left to do here for a document that has a row; mostly nothing."""
        if _waits_for_pipeline(row):
            if version := self.pipelines.current(arrival.pipeline):
                self.cutter.cut(arrival, version, run, row=None)
        elif row["status"] == DocumentStatus.CHUNKING:
            # In the version that it began with, whatever is in force by now.
            self.cutter.cut(arrival, row["pipeline_version"], run, row=row)
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
        self.documents.arriving.hold(arrival, Failure(held.code, held.message))
        self.documents_queue.ring({"document_id": arrival.document_id})  # aggregate tells the world
        # The pipeline may have arrived between our look and our row, and then it did not see the row.
        if self.pipelines.current(arrival.pipeline):
            self.uploads_queue.ring({"document_id": arrival.document_id})

    def _arrival(self, document_id: str, pipeline: str, upload: Upload) -> Arrival:
        return Arrival(document_id, pipeline, upload, timestamp(self.clock()))

    def _refuse_unread(self, upload: Upload, pipeline: str, refusal: Refused) -> None:
        """Write the row of an upload that was refused before its content was known."""
        content = upload.version_id or upload.sequencer
        name = ids.document_id(key=upload.key, content=content, version=NO_VERSION)
        arrival = self._arrival(name, pipeline, upload)
        self.cutter.refuse(arrival, Failure(refusal.code, refusal.message), NO_VERSION)


def _arrived(row: dynamo.Row) -> Arrival:
    """Read from its row how a document arrived."""
    source = row["source"]
    upload = Upload(
        source["bucket"],
        source["key"],
        source.get("version_id"),
        source["size"],
        source["sequencer"],
        member=source.get("member"),
    )
    return Arrival(row["document_id"], row["pipeline"], upload, row["received_at"])


def _waits_for_pipeline(row: dynamo.Row) -> bool:
    error = row.get("error") or {}
    return row["status"] == DocumentStatus.HELD and error.get("code") == Code.PIPELINE_UNKNOWN
