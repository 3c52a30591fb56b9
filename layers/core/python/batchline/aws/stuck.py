"""Documents that nobody moves any more: a slow walk over all that came lately, a bounded step a run.

A document whose records are all settled is rung for again. One that takes very long must have its records
in a shard that waits or in a job that runs. If they are in neither twice in a row, and nothing has
happened to it in between, its row says STUCK: looking twice rules out records on their way from one to
the other, and an index that lags behind.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched, islice
from typing import Final

from batchline import reconcile
from batchline.aws.control import Control
from batchline.aws.documents import Documents
from batchline.aws.dynamo import BATCH_READS, Row
from batchline.aws.jobs import Jobs
from batchline.aws.objects import Work
from batchline.aws.queues import Queue
from batchline.cancel import documents_of
from batchline.errors import Code
from batchline.models import Failure, JobStatus, Shard, timestamp
from batchline.reconcile import Look

BOOKMARK: Final = "documents"
DOCUMENTS_PER_RUN: Final = 2_000
SUSPECTS: Final = 200
WATCHED_DAYS: Final = 30
# A walk that is through begins again after this time.
REST: Final = timedelta(hours=1)
UNFINISHED: Final = tuple(one for one in JobStatus if one is not JobStatus.CLOSED)


@dataclass(frozen=True, slots=True)
class Found:
    """How many documents were rung for, and how many are stuck."""

    rung: int = 0
    stuck: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """Finds documents that have stopped moving."""

    documents: Documents
    jobs: Jobs
    control: Control
    work: Work
    documents_queue: Queue
    clock: Callable[[], datetime]

    def run(self) -> Found:
        """Walk on from where the last run has stopped, and look again at what it had doubts about."""
        mark = self.control.bookmarks.get(BOOKMARK)
        pipelines = sorted(self.control.versions.pipelines())
        doubtful: dict[str, str] = mark.get("suspects", {})
        flagged = {
            name
            for pipeline in pipelines
            for name in islice(self.documents.with_problem(pipeline, Code.STUCK), SUSPECTS)
        }
        suspects = {
            row["document_id"]: row
            for row in self.documents.get_many(flagged | set(doubtful))
            if reconcile.look(row, now=self.clock()) is Look.SUSPECT
        }
        rung, position = self._walk(pipelines, mark, suspects)
        missing = self._missing(suspects)
        for name in flagged - set(missing):
            self.documents.waiting.unstuck(name)
        still = {name for name in missing if doubtful.get(name) == reconcile.fingerprint(missing[name])}
        stuck = sum(self._flag(missing[name]) for name in still - flagged) + len(flagged & set(missing))
        marks = {name: reconcile.fingerprint(row) for name, row in missing.items() if name not in flagged}
        self.control.bookmarks.set(BOOKMARK, position | {"suspects": marks})
        return Found(rung, stuck)

    def _walk(self, pipelines: list[str], mark: Row, suspects: dict[str, Row]) -> tuple[int, Row]:
        """Look at the next documents; return how many were rung for, and where the walk has come to."""
        now = self.clock()
        if mark.get("rest_until", "") > timestamp(now):
            return 0, {"rest_until": mark["rest_until"]}
        left, rung = DOCUMENTS_PER_RUN, 0
        for day, pipeline, after in _places(pipelines, mark, now):
            position = after
            for batch in batched(
                islice(self.documents.received(pipeline, day, after), left), BATCH_READS, strict=False
            ):
                position, left = batch[-1][0], left - len(batch)
                rung += self._look([name for _, name in batch], suspects)
            if left == 0:
                return rung, {"day": day, "pipeline": pipeline, "after": position}
        return rung, {"rest_until": timestamp(now + REST)}

    def _look(self, document_ids: list[str], suspects: dict[str, Row]) -> int:
        settled = []
        for row in self.documents.get_many(document_ids):
            found = reconcile.look(row, now=self.clock())
            if found is Look.SETTLED:
                settled.append(row["document_id"])
            elif found is Look.SUSPECT and len(suspects) < SUSPECTS:
                suspects[row["document_id"]] = row
        self.documents_queue.ring_all({"document_id": one} for one in settled)
        return len(settled)

    def _missing(self, suspects: Mapping[str, Row]) -> dict[str, Row]:
        """Name those of the documents of which no record waits anywhere."""
        missing = dict(suspects)
        pipelines = {row["pipeline"] for row in missing.values()}
        for shard in self._shards(pipelines) if missing else ():
            for name in documents_of(shard):
                missing.pop(name, None)
            if not missing:
                break
        return missing

    def _shards(self, pipelines: set[str]) -> Iterator[Shard]:
        """Yield the shards of pipelines that wait for a job or are in one that is not closed."""
        for lane in self.control.lanes.all():
            for pipeline in pipelines & lane.pipelines:
                yield from self.control.pending.of(lane.name, pipeline)
        for status in UNFINISHED:
            found = (job_id for _, job_id in self.jobs.created(status, since=" "))
            for row in self.jobs.get_many(found):
                if pipelines & set(row["pipelines"]):
                    yield from self.work.get_plan(row["job_id"])

    def _flag(self, row: Row) -> bool:
        message = (
            f"{row['open']} of its records are in no shard that waits and in no job that runs, so nothing "
            "will answer them. Upload the document again under another key, and report this: it should "
            "not happen."
        )
        return self.documents.waiting.stuck(row, Failure(Code.STUCK, message)).done


def _places(pipelines: list[str], mark: Row, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Yield each day and pipeline that is still to be walked over, and from where on, oldest first."""
    days = [timestamp(now - timedelta(days=back))[:10] for back in range(WATCHED_DAYS, -1, -1)]
    begin = (mark.get("day", ""), mark.get("pipeline", ""))
    for day in days:
        for pipeline in pipelines:
            if (day, pipeline) >= begin:
                yield day, pipeline, mark["after"] if (day, pipeline) == begin else ""
