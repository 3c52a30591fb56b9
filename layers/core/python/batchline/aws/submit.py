"""Submit: an open batch job gets its input file and is created at Bedrock, once.

Before Create the row says that Create is about to be called. After a crash the job is looked for by
its name before anybody creates it again: how long Bedrock remembers a request token is not documented.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from batchline import catalog, ids, settings, submit
from batchline.aws import bedrock, clients, objects
from batchline.aws.bedrock import BatchJob, Bedrock
from batchline.aws.control import Control
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.queues import Queue
from batchline.errors import LostRace
from batchline.models import Engine, JobStatus, timestamp

SUBMITTABLE: Final = frozenset({JobStatus.OPEN, JobStatus.WAITING, JobStatus.BUILDING, JobStatus.READY})
# A job that was created is in Bedrock's list by then.
LISTED_AFTER: Final = timedelta(minutes=2)
CLOCK_SKEW: Final = timedelta(minutes=5)
RETRY_SECONDS: Final = (60, 600)


@dataclass(frozen=True, slots=True)
class Submitter:
    """Creates batch jobs at Bedrock."""

    jobs: Jobs
    control: Control
    work: Work
    bedrock: Bedrock
    job_events_queue: Queue
    role_arn: str
    job_prefix: str
    slot_share: int
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Submit, clock: Callable[[], datetime]) -> Self:
        return cls(
            jobs=Jobs(clients.dynamodb(), env.jobs_table),
            control=Control(clients.dynamodb(), env.control_table),
            work=Work(clients.s3(), env.work_bucket),
            bedrock=Bedrock(clients.bedrock()),
            job_events_queue=Queue(clients.sqs(), env.job_events_queue),
            role_arn=env.bedrock_role_arn,
            job_prefix=env.job_prefix,
            slot_share=env.slot_share,
            clock=clock,
        )

    def run(self, job_id: str, owner: str) -> JobStatus | None:
        """Bring a job as far as Bedrock lets it and return its status. None: nothing to do here."""
        lease = JobLease(self.jobs, job_id, owner, self.clock)
        row = lease.take()
        if row is None:
            return None
        try:
            if row["status"] not in SUBMITTABLE or row["engine"] != Engine.BATCH:
                return None
            row = self._build(row, lease)
            row = self._create(row, owner)
        except LostRace:
            return None
        finally:
            lease.give_back()
        status = JobStatus(row["status"])
        if status is JobStatus.REFUSED:  # rung only now: collect needs the lease
            self.job_events_queue.ring({"job_id": job_id})
        return status

    def _build(self, row: Row, lease: JobLease) -> Row:
        """Write the job's input from its shards, and move it to READY."""
        job_id, owner = row["job_id"], lease.owner
        if row["status"] == JobStatus.READY:
            return row
        if "input" in row:
            return self._move(row, JobStatus.READY, owner)
        if row["status"] != JobStatus.BUILDING:
            row = self._move(row, JobStatus.BUILDING, owner)
        shards = self.work.get_plan(job_id)
        limit = catalog.limits(row["model"]).max_file_bytes
        count = 0
        for number, group in enumerate(submit.files(shards, max_file_bytes=limit)):
            blocks = self.work.copy_blocks(one.key for one in group)
            key = f"{objects.input_prefix(job_id)}{number:04d}.jsonl"
            self.work.write_stream(key, lease.keeping(blocks))
            count = number + 1
        written = {"files": count, "bytes": row["bytes"], "records": row["records"]}
        return self._move(row, JobStatus.READY, owner, input=written)

    def _create(self, row: Row, owner: str) -> Row:
        """Have Bedrock run the job, or find that it does already."""
        now = self.clock()
        name = ids.job_name(self.job_prefix, row["job_id"])
        if started := row.get("create_started_at"):
            begun = datetime.fromisoformat(started)
            if arn := self.bedrock.find(name, after=begun - CLOCK_SKEW):
                return self._running(row, owner, arn)
            if now - begun < LISTED_AFTER:
                return row
        self.jobs.note(row["job_id"], owner=owner, create_started_at=timestamp(now))
        try:
            arn = self.bedrock.create(self._job(row, name))
        except bedrock.QuotaFull as full:
            return self._wait(row, owner, str(full))
        except bedrock.NotAccepted as refusal:
            return self._move(row, JobStatus.REFUSED, owner, str(refusal), message=str(refusal))
        except bedrock.Unanswered:
            return row  # reconcile rings again, and the look by name decides
        return self._running(row, owner, arn)

    def _job(self, row: Row, name: str) -> BatchJob:
        job_id = row["job_id"]
        prefix = objects.input_prefix(job_id)
        only_file = row.get("input", {}).get("files", 1) == 1
        return BatchJob(
            name=name,
            token=job_id,
            model=row["model"],
            role_arn=self.role_arn,
            input_uri=self.work.uri(f"{prefix}0000.jsonl" if only_file else prefix),
            output_uri=self.work.uri(objects.output_prefix(job_id)),
            job_id=job_id,
        )

    def _running(self, row: Row, owner: str, arn: str) -> Row:
        cap = catalog.limits(row["model"]).slots(self.slot_share)
        self.control.slots_accepted(row["base_model"], cap=cap)
        return self._move(row, JobStatus.RUNNING, owner, arn=arn)

    def _wait(self, row: Row, owner: str, message: str) -> Row:
        """Let the job wait outside of any queue, and learn that the account has fewer slots."""
        base = row["base_model"]
        retry_at = int(self.clock().timestamp()) + random.randint(*RETRY_SECONDS)  # noqa: S311
        cap = max(1, len(self.control.slots(base).holders) - 1)
        self.control.slots_refused(base, cap=cap, retry_at=retry_at)
        return self._move(
            row, JobStatus.WAITING, owner, message, clear=("create_started_at",), retry_at=retry_at
        )

    def _move(
        self,
        row: Row,
        to: JobStatus,
        owner: str,
        note: str = "",
        clear: tuple[str, ...] = (),
        **attributes: object,
    ) -> Row:
        at = timestamp(self.clock())
        return self.jobs.move(row, to, owner=owner, at=at, note=note, clear=clear, **attributes)
