"""Collect: the output of an ended job is read in parts, then the job is closed once.

Reading a part has no effect but result rows of settled records, which are the same every time. All
that must happen once (retries, money, the documents' counts) happens when the job is closed, each
behind a guard of its own, so that a function that dies anywhere is simply run again.

A small output is read and closed in one go. A larger one is shared out by messages, a part each;
whoever reads the last one rings for the close.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from batchline import settings
from batchline.aws import clients, objects, output
from batchline.aws.afford import Affording
from batchline.aws.bedrock import Bedrock
from batchline.aws.cache import Cache
from batchline.aws.close import Closed, Closer
from batchline.aws.control import Control
from batchline.aws.costs import Costs
from batchline.aws.documents import Documents
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.output import OutputReader
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.results import Results
from batchline.aws.retries import Retries
from batchline.aws.reuse import Reuse
from batchline.aws.shards import Shards
from batchline.collect import NOT_SENT, REFUSED
from batchline.errors import LostRace
from batchline.models import Engine, JobStatus, timestamp
from batchline.money import overhead
from batchline.outcomes import Expected

# Longer than a function reads a part and its message stays hidden: by then it was lost.
PART_LOST: Final = timedelta(minutes=35)
# What one more step may take.
MARGIN: Final = timedelta(seconds=90)


@dataclass(slots=True)
class _Run:
    """One doorbell's work on a job: the lease, the time it has, and what to ring once it is done."""

    lease: JobLease
    until: datetime
    rings: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Collector:
    """Settles the records of ended jobs."""

    jobs: Jobs
    control: Control
    work: Work
    bedrock: Bedrock
    output: OutputReader
    reuse: Reuse
    closer: Closer
    job_events_queue: Queue
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Collect, clock: Callable[[], datetime]) -> Self:
        control = Control(clients.dynamodb(), env.control_table)
        jobs = Jobs(clients.dynamodb(), env.jobs_table)
        results = Results(clients.dynamodb(), env.results_table)
        work = Work(clients.s3(), env.work_bucket)
        pipelines = Pipelines(control, work)
        documents = Documents(clients.dynamodb(), env.documents_table)
        retries = Retries(
            jobs=jobs,
            work=work,
            shards=Shards(control, work),
            pipelines=pipelines,
            wake_queue=Queue(clients.sqs(), env.wake_queue),
            clock=clock,
        )
        cache = Cache(clients.dynamodb(), env.control_table)
        reader = OutputReader(results, work, pipelines, cache, clock, env.retention_days)
        return cls(
            jobs=jobs,
            control=control,
            work=work,
            bedrock=Bedrock(clients.bedrock()),
            output=reader,
            reuse=Reuse(cache, jobs, work, clock),
            closer=Closer(
                jobs=jobs,
                documents=documents,
                results=results,
                costs=Costs(clients.dynamodb(), env.costs_table),
                control=control,
                work=work,
                pipelines=pipelines,
                output=reader,
                retries=retries,
                affording=Affording(documents, jobs, control, work, pipelines, retries),
                documents_queue=Queue(clients.sqs(), env.documents_queue),
                clock=clock,
            ),
            job_events_queue=Queue(clients.sqs(), env.job_events_queue),
            clock=clock,
        )

    def run(self, job_id: str, owner: str, *, until: datetime) -> Closed | None:
        """Collect a job if it has ended.

        None: it has not, it is not ours, or others go on with it. `until` is when this invocation ends.
        """
        run = _Run(JobLease(self.jobs, job_id, owner, self.clock), until - MARGIN)
        row = run.lease.take()
        if row is None:
            return None
        try:
            return self._collect(row, run)
        except LostRace:
            return None
        finally:
            run.lease.give_back()
            # Only now: whoever hears it needs the lease.
            self.job_events_queue.ring_all(run.rings)

    def read_part(self, job_id: str, number: int) -> bool:
        """Read one part of a job's output; tell whether that was still wanted.

        Takes no lease: several parts of a job are read at once, and one that is read twice is the same.
        """
        meter = clients.meter()
        meter.begin(self.clock)
        row = self.jobs.get(job_id)
        if row is None or row["status"] != JobStatus.COLLECTING or str(number) in row.get("parts_done", ()):
            return False
        self.output.read(row, number, self._expected(row), lambda: None)
        spent = meter.lap() + meter.usd(overhead.LAST_CALLS)
        row = self.jobs.part_done(job_id, number, overhead.booked(spent))
        if row and len(row["parts_done"]) == row["parts"]:
            self.job_events_queue.ring({"job_id": job_id})
        return True

    def _collect(self, row: Row, run: _Run) -> Closed | None:
        nobody = row["status"] == JobStatus.OPEN and row["engine"] == Engine.NOBODY
        if nobody or row["status"] in {JobStatus.RUNNING, JobStatus.REFUSED}:
            begun = self._begin(row, run.lease)
            if begun is None:
                return None
            row = begun
        if row["status"] not in {JobStatus.COLLECTING, JobStatus.CLOSING}:
            return None
        shared_out = row["parts"] > 1 and not output.is_small(row)
        if row["status"] == JobStatus.COLLECTING and shared_out and not self._all_read(row, run):
            return None
        expected = self._expected(row)
        if row["status"] == JobStatus.COLLECTING:
            for number in range(0 if shared_out else row["parts"]):
                self.output.read(row, number, expected, run.lease.keep)
            row = self.closer.begin(row, expected, run.lease)
        closed = self.closer.close(row, expected, run.lease, run.until)
        if closed is None:
            run.rings.append({"job_id": row["job_id"]})
        return closed

    def _begin(self, row: Row, lease: JobLease) -> Row | None:
        """Pin the output of a job that has ended. None: it has not."""
        ended = self._ended(row)
        if ended is None:
            return None
        status, message = ended
        if row["engine"] == Engine.BATCH:
            self.control.slots.free(row["base_model"], row["job_id"])
        found = self.work.find(objects.output_prefix(row["job_id"]))
        written = [one for one in found if one.key.endswith(".jsonl.out")]
        if "reuse" in row:
            written += self.reuse.answers(row, self._expected(row), lease)
        pinned = output.pinned(written)
        at = timestamp(self.clock())
        return self.jobs.move(
            row,
            JobStatus.COLLECTING,
            owner=lease.owner,
            at=at,
            note=status,
            ended=status,
            ended_message=message,
            **pinned,
        )

    def _ended(self, row: Row) -> tuple[str, str] | None:
        """Say how a job has ended, in Bedrock's words and sentence. None: it has not."""
        if row["status"] == JobStatus.REFUSED:
            return REFUSED, row["message"]
        if row["engine"] == Engine.NOBODY:
            return NOT_SENT, ""
        if row["engine"] == Engine.BATCH:
            state = self.bedrock.state(row["arn"])
            return (state.status, state.message) if state.terminal else None
        if row.get("answered"):
            return "Stopped" if "stop" in row else "Completed", ""
        return None

    def _all_read(self, row: Row, run: _Run) -> bool:
        """Tell whether every part has been read; ring for those that nobody reads."""
        left = {str(number) for number in range(row["parts"])} - set(row.get("parts_done", ()))
        if not left:
            return True
        now = self.clock()
        rung = row.get("parts_rung_at")
        if rung is None or datetime.fromisoformat(rung) + PART_LOST < now:
            self.jobs.note(row["job_id"], owner=run.lease.owner, parts_rung_at=timestamp(now))
            run.rings += [{"job_id": row["job_id"], "part": int(number)} for number in sorted(left, key=int)]
        return False

    def _expected(self, row: Row) -> Expected:
        return Expected(self.work.plan(row["job_id"]), self.reuse.decisions(row))
