"""Retry: records that have failed for good are asked once more, because somebody says so.

The document moves back to QUEUED in the transaction that registers its records as new shards, under the
number of the next attempt, so no answer of before is taken for one of now. What it has answered stays.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Final
from urllib.parse import quote_plus

import orjson

from batchline import audit, ids, records
from batchline.aws import dynamo
from batchline.aws.control import Control
from batchline.aws.document_budgets import DocumentBudgets
from batchline.aws.documents import Documents
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.results import Results
from batchline.aws.retries import Growing
from batchline.aws.shards import Shards
from batchline.errors import BatchlineError, LostRace
from batchline.ids import MAX_ATTEMPTS, RecordId
from batchline.models import DocumentStatus, Shard, timestamp
from batchline.money import budgets

# Whoever collected a job of the document may still be at it for so long after another has closed it.
QUIET: Final = timedelta(minutes=15)
RETRIABLE: Final = frozenset({DocumentStatus.PARTIAL, DocumentStatus.FAILED, DocumentStatus.CANCELLED})
MAX_SHARDS: Final = dynamo.TRANSACTION_WRITES - 1


class NotRetriable(BatchlineError):
    """A document whose records cannot be asked again now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Retrier:
    """Asks records again that have failed for good."""

    documents: Documents
    results: Results
    jobs: Jobs
    control: Control
    work: Work
    shards: Shards
    pipelines: Pipelines
    uploads_queue: Queue
    wake_queue: Queue
    clock: Callable[[], datetime]

    def retry(
        self, row: Row, *, codes: frozenset[str] = frozenset(), records: frozenset[str] = frozenset()
    ) -> int:
        """Ask a document's failed records again, or those with these codes or names.

        Returns how many; 0 for an upload that is read again as a whole. Raises NotRetriable, or LostRace
        when somebody else has just done so.
        """
        status, name = DocumentStatus(row["status"]), row["source"]["key"]
        if status not in RETRIABLE:
            raise NotRetriable(f"{name} is {status}; only what has ended without all answers is asked again.")
        if not row["records"]:
            return self._read_again(row)
        left = datetime.fromisoformat(row["finished_at"]) + QUIET - self.clock()
        if left > timedelta():
            raise NotRetriable(
                f"{name} ended less than {QUIET // timedelta(minutes=1)} minutes ago, and its jobs may still "
                f"be at work: try again in {ceil(left / timedelta(minutes=1))} min."
            )
        failed = [
            one
            for one in self.results.of(row["document_id"], ids.stage(row["stage"]))
            if "error" in one
            and (not codes or one["error"]["code"] in codes)
            and (not records or one["record"] in records)
        ]
        if not failed:
            raise NotRetriable(_nothing(name, row, selected=bool(codes or records)))
        self._register(row, failed)
        return len(failed)

    def _read_again(self, row: Row) -> int:
        """Have an upload chunked again that was refused: as if S3 told of it once more."""
        source = row["source"]
        self.documents.ending.forget(row["document_id"])
        item = {
            "key": quote_plus(source["key"], safe="/"),
            "size": source["size"],
            "versionId": source.get("version_id"),
            "sequencer": source["sequencer"],
        }
        self.uploads_queue.ring({"Records": [{"s3": {"bucket": {"name": source["bucket"]}, "object": item}}]})
        return 0

    def _register(self, row: Row, failed: list[Row]) -> None:
        document_id = row["document_id"]
        shards = [
            self._write(row, number, growing)
            for number, growing in enumerate(self._grown(document_id, failed))
        ]
        if len(shards) > MAX_SHARDS:
            raise NotRetriable(
                f"{row['source']['key']} has {len(failed)} failed records, which are more than can be asked "
                "again at once: choose some of them with --code or --record."
            )
        most = sum((usd for one in shards for usd in one.most_usd), Decimal(0))
        for model in sorted({one.model for one in shards}):
            if lack := DocumentBudgets(self.control, self.pipelines).lack(row, most, model):
                today = timestamp(self.clock())[:10]
                said = budgets.said(lack, model=model, document_id=document_id, day=today)
                raise NotRetriable(f"{row['source']['key']} is not asked again. {said}")
        self.control.marks.forget_cancel(document_id)  # first, or a crash would have them cancelled again
        again = self.documents.progress.retry(row, len(failed), most)
        try:
            self.shards.register_all(shards, again)
        except dynamo.Cancelled as cancelled:
            raise LostRace(document_id) from cancelled
        # A result that is being asked for again is none. Repeated by the answer, which takes its place.
        self.results.forget(document_id, [one["record"] for one in failed])
        self.wake_queue.ring({"hop": 0})

    def _write(self, row: Row, number: int, growing: Growing) -> Shard:
        generation = int(row.get("generation", 0)) + 1
        return self.shards.write(
            f"{row['document_id']}-again{generation}-{number:05d}",
            growing.contents,
            name=row["pipeline"],
            pipeline=self.pipelines.get(row["pipeline"], row["pipeline_version"]),
            version=row["pipeline_version"],
            now=self.clock(),
            model=growing.model,
        )

    def _grown(self, document_id: str, failed: Iterable[Row]) -> Iterator[Growing]:
        """Yield the records in shards, by the model that was asked last."""
        growing: dict[str, Growing] = {}
        for record, body, shard in self._asked(document_id, failed):
            line = orjson.dumps({"recordId": str(record), "modelInput": body}) + b"\n"
            if shard.model in growing and not growing[shard.model].takes(line):
                yield growing.pop(shard.model)
            one = growing.setdefault(shard.model, Growing(shard.model, shard.first_at, None))
            demand = records.demand(body, shard.model)
            pipeline = self.pipelines.asking(shard.pipeline, shard.version, record.stage)
            most = budgets.dearest(demand, pipeline, shard.model)
            one.add(record, line, demand, shard, most_usd=most)
        yield from growing.values()

    def _asked(
        self, document_id: str, failed: Iterable[Row]
    ) -> Iterator[tuple[RecordId, dict[str, object], Shard]]:
        """Find what was asked, and number the attempt that comes next."""
        by_job: dict[str, set[str]] = {}
        for one in failed:
            record = RecordId(document_id, one["record"][0], int(one["record"][1:]), int(one["attempt"]))
            if record.attempt == MAX_ATTEMPTS:
                raise NotRetriable(
                    f"Record {one['record']} was asked {MAX_ATTEMPTS} times, which is all that its id can "
                    "count. Upload the document under another key."
                )
            by_job.setdefault(one["job_id"], set()).add(str(record))
        for job_id, wanted in sorted(by_job.items()):
            for shard in self.work.plan(job_id):
                if document_id in audit.touched([shard]):
                    yield from self._of(shard, wanted)

    def _of(self, shard: Shard, wanted: set[str]) -> Iterator[tuple[RecordId, dict[str, object], Shard]]:
        for line in self.work.lines(shard.key):
            asked = orjson.loads(line)
            record = RecordId.parse(asked["recordId"])
            if record is not None and asked["recordId"] in wanted:
                again = RecordId(record.document_id, record.stage, record.index, record.attempt + 1)
                yield again, asked["modelInput"], shard


def _nothing(name: str, row: Row, *, selected: bool) -> str:
    if selected:
        return f"{name} has no failed record of these codes or names: see `batchline results` of it."
    if row["stage"]:
        return (
            f"{name} was put together without its failed parts, which cannot be added now: change the "
            "pipeline or the document and upload it again."
        )
    return f"{name} has no failed record: it is {row['status']} because {row['error']['message']}"
