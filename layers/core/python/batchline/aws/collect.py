"""Collect: the output of an ended job is read in parts, then the job is closed once.

Reading a part has no effect but result rows of settled records, which are the same every time. All
that must happen once (retries, money, the documents' counts) happens when the job is closed, each
behind a guard of its own, so that a function that dies anywhere is simply run again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any, Final, Self

import orjson

from batchline import collect, settings
from batchline.aws import clients, objects
from batchline.aws.bedrock import Bedrock
from batchline.aws.close import Closer, Plan
from batchline.aws.control import Control
from batchline.aws.costs import Costs
from batchline.aws.documents import Documents
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.results import Results, result_row
from batchline.aws.shards import Shards
from batchline.collect import Summary
from batchline.errors import LostRace
from batchline.ids import RecordId
from batchline.models import Engine, JobStatus, timestamp

PART_BYTES: Final = 64_000_000
INLINE_BYTES: Final = 4_096  # longer answers stay in the output; the row points to them
ROWS_AT_ONCE: Final = 500
COLLECTABLE: Final = frozenset(
    {JobStatus.RUNNING, JobStatus.REFUSED, JobStatus.COLLECTING, JobStatus.CLOSING}
)


@dataclass(frozen=True, slots=True)
class Collector:
    """Settles the records of ended jobs."""

    jobs: Jobs
    control: Control
    results: Results
    work: Work
    pipelines: Pipelines
    bedrock: Bedrock
    closer: Closer
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Collect, clock: Callable[[], datetime]) -> Self:
        control = Control(clients.dynamodb(), env.control_table)
        jobs = Jobs(clients.dynamodb(), env.jobs_table)
        results = Results(clients.dynamodb(), env.results_table)
        work = Work(clients.s3(), env.work_bucket)
        pipelines = Pipelines(control, work)
        closer = Closer(
            jobs=jobs,
            documents=Documents(clients.dynamodb(), env.documents_table),
            results=results,
            costs=Costs(clients.dynamodb(), env.costs_table),
            control=control,
            work=work,
            pipelines=pipelines,
            shards=Shards(control, work),
            documents_queue=Queue(clients.sqs(), env.documents_queue),
            wake_queue=Queue(clients.sqs(), env.wake_queue),
            clock=clock,
            kept_days=env.retention_days,
        )
        return cls(
            jobs=jobs,
            control=control,
            results=results,
            work=work,
            pipelines=pipelines,
            bedrock=Bedrock(clients.bedrock()),
            closer=closer,
            clock=clock,
        )

    def run(self, job_id: str, owner: str) -> Row | None:
        """Collect a job if it has ended. Returns its closed row, or None: not ended, or not ours."""
        lease = JobLease(self.jobs, job_id, owner, self.clock)
        row = lease.take()
        if row is None:
            return None
        try:
            if row["status"] not in COLLECTABLE:
                return None
            if row["status"] in {JobStatus.RUNNING, JobStatus.REFUSED}:
                row = self._begin(row, owner)
            if row is None:
                return None
            if row["status"] == JobStatus.COLLECTING:
                row = self._read(row, lease)
            return self.closer.close(row, lease)
        except LostRace:
            return None
        finally:
            lease.give_back()

    def _begin(self, row: Row, owner: str) -> Row | None:
        """Pin the output of a job that has ended. None: it has not."""
        job_id = row["job_id"]
        if row["status"] == JobStatus.REFUSED:
            ended, message = "REFUSED", row["message"]
        elif row["engine"] == Engine.BATCH:
            state = self.bedrock.state(row["arn"])
            if not state.terminal:
                return None
            ended, message = state.status, state.message
        elif row.get("answered"):
            ended, message = "Completed", ""
        else:
            return None
        if row["engine"] == Engine.BATCH:
            self.control.free_slot(row["base_model"], job_id)
        parts = [
            {
                "key": one.key,
                "etag": one.etag,
                "start": start,
                "stop": min(start + PART_BYTES, one.size),
                "size": one.size,
            }
            for one in self.work.find(objects.output_prefix(job_id))
            if one.key.endswith(".jsonl.out")
            for start in range(0, one.size, PART_BYTES)
        ]
        return self._move(
            row, JobStatus.COLLECTING, owner, ended, ended=ended, ended_message=message, parts=parts
        )

    def _read(self, row: Row, lease: JobLease) -> Row:
        """Read the parts that are not read yet, in order, and move the job on to CLOSING."""
        plan = self.closer.plan(row)
        done = row.get("parts_done", set())
        seen: set[str] = set()
        for number, part in enumerate(row["parts"]):
            if str(number) in done:
                seen.update(one.record_id for one in self.closer.summaries(row["job_id"], number))
                continue
            self._read_part(row, number, part, plan, seen, lease)
            self.jobs.part_done(row["job_id"], number)
        return self._move(
            row,
            JobStatus.CLOSING,
            lease.owner,
            closed_at=timestamp(self.clock()),
            retry_cursor=0,
        )

    def _read_part(
        self, row: Row, number: int, part: Row, plan: Plan, seen: set[str], lease: JobLease
    ) -> None:
        """Write the rows of a part's settled records, and what close must know of every line.

        `seen` holds the records of lines before; a second line of one counts for nothing.
        """
        start = max(0, part["start"] - 1)
        blocks = self.work.blocks(part["key"], etag=part["etag"], start=start, stop=part["size"])
        located = collect.lines(blocks, start=part["start"], stop=part["stop"])
        summaries: list[bytes] = []
        for batch in batched(lease.keeping(located), ROWS_AT_ONCE, strict=False):
            rows = []
            for line in batch:
                summary, result = self._line(row, part["key"], line, plan, seen)
                summaries.append(summary.dump())
                rows += [result] if result else []
            self.results.put(rows)
        self.work.put(objects.part_key(row["job_id"], number), b"".join(summaries))

    def _line(
        self, job: Row, key: str, line: collect.Located, plan: Plan, seen: set[str]
    ) -> tuple[Summary, Row | None]:
        answer = collect.read(line.data)
        record = RecordId.parse(answer.record_id)
        owner = plan.owner(answer.record_id)
        if record is None or owner is None or answer.record_id in seen:
            return Summary(answer.record_id, collect.FAILED, "", answer.usage), None
        seen.add(answer.record_id)
        verdict = collect.judge(answer, self.pipelines.get(*owner), record.attempt)
        code = verdict.failure.code if verdict.failure else ""
        summary = Summary(answer.record_id, verdict.outcome, code, answer.usage)
        if verdict.outcome == collect.RETRY:
            return summary, None
        row = result_row(
            job,
            record,
            usage=answer.usage,
            days=self.closer.kept_days,
            stop=answer.stop,
            **_stored(verdict, key, line),
        )
        return summary, row

    def _move(self, row: Row, to: JobStatus, owner: str, note: str = "", **attributes: Any) -> Row:
        at = timestamp(self.clock())
        return self.jobs.move(row, to, owner=owner, at=at, note=note, **attributes)


def _stored(verdict: collect.Verdict, key: str, line: collect.Located) -> Row:
    """Say how a row holds its answer: in itself, or by where it lies in the job's output."""
    if verdict.failure:
        return {"error": {"code": verdict.failure.code, "message": verdict.failure.message}}
    size = len(orjson.dumps(verdict.output, default=str))
    if size <= INLINE_BYTES and collect.storable(verdict.output):
        return {"output": verdict.output}
    return {"output_ref": {"key": key, "offset": line.offset, "length": len(line.data)}}
