"""Submit: an open batch job gets its input file and is created at Bedrock, once.

Before Create the row says that Create is about to be called. After a crash the job is looked for by
its name before anybody creates it again: how long Bedrock remembers a request token is not documented.

A job that is to be stopped, or of which too few records are left, is given to nobody as long as Bedrock
has not been asked for it. From then on it is created, found or refused first, and then stopped.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from batchline import catalog, ids, settings, submit
from batchline.aws import bedrock, clients, dynamo, inputs, objects
from batchline.aws.bedrock import BatchJob, Bedrock
from batchline.aws.cache import Cache
from batchline.aws.control import Control
from batchline.aws.dynamo import Row
from batchline.aws.inputs import Written
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.reuse import Reuse
from batchline.errors import LostRace
from batchline.models import Engine, JobStatus, timestamp
from batchline.submit import Selection

SUBMITTABLE: Final = frozenset({JobStatus.OPEN, JobStatus.WAITING, JobStatus.BUILDING, JobStatus.READY})
# A job that was created is in Bedrock's list by then.
LISTED_AFTER: Final = timedelta(minutes=2)
CLOCK_SKEW: Final = timedelta(minutes=5)
RETRY_SECONDS: Final = (60, 600)
# One more input file of a gigabyte is written and noted within this time.
FILE_TIME: Final = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Submitter:
    """Creates batch jobs at Bedrock."""

    jobs: Jobs
    control: Control
    work: Work
    pipelines: Pipelines
    reuse: Reuse
    bedrock: Bedrock
    job_events_queue: Queue
    role_arn: str
    job_prefix: str
    slot_share: int
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Submit, clock: Callable[[], datetime]) -> Self:
        control = Control(clients.dynamodb(), env.control_table)
        work = Work(clients.s3(), env.work_bucket)
        jobs = Jobs(clients.dynamodb(), env.jobs_table)
        return cls(
            jobs=jobs,
            control=control,
            work=work,
            pipelines=Pipelines(control, work),
            reuse=Reuse(Cache(clients.dynamodb(), env.control_table), jobs, work, clock),
            bedrock=Bedrock(clients.bedrock()),
            job_events_queue=Queue(clients.sqs(), env.job_events_queue),
            role_arn=env.bedrock_role_arn,
            job_prefix=env.job_prefix,
            slot_share=env.slot_share,
            clock=clock,
        )

    def run(self, job_id: str, owner: str, *, until: datetime) -> JobStatus | None:
        """Bring a job as far as Bedrock and the time let it and return its status. None: nothing to do.

        A job that is still BUILDING goes on where it is when reconcile rings for it.
        """
        lease = JobLease(self.jobs, job_id, owner, self.clock)
        row = lease.take()
        if row is None:
            return None
        try:
            if row["engine"] == Engine.BATCH:
                row = self._advance(row, lease, until)
        except LostRace:
            return None
        finally:
            lease.give_back()
        if _concerns_collect(row):  # rung only now: collect needs the lease
            self.job_events_queue.ring({"job_id": job_id})
        return JobStatus(row["status"])

    def _advance(self, row: Row, lease: JobLease, until: datetime) -> Row:
        """Take a batch job's next steps, and stop it if that was asked for."""
        if row["status"] in SUBMITTABLE:
            if "create_started_at" not in row:  # Bedrock knows nothing of it yet
                row = self._build(row, lease, until)
            if row["engine"] == Engine.BATCH and row["status"] == JobStatus.READY:
                row = self._create(row, lease.owner)
        if row["status"] == JobStatus.RUNNING and "stop" in row and "stop_sent_at" not in row:
            row = self._stop(row, lease.owner)
        return row

    def _build(self, row: Row, lease: JobLease, until: datetime) -> Row:
        """Write the job's input from its shards, and move it to READY, or to nobody.

        It stays BUILDING when the time is up. What is cancelled later begins another build.
        """
        if "stop" in row:
            return self._nobody(row, lease.owner, f"stopped: {row['stop']}")
        limits = catalog.limits(row["model"])
        chosen = submit.select(self.work.get_plan(row["job_id"]), self.control.marks.cancels())
        if chosen.records >= limits.min_records:
            if row.get("reuse", {}).get("cancelled") != chosen.cancelled:
                row = self.reuse.choose(row, chosen, lease)
            chosen = chosen.sparing_those(self.reuse.decisions(row))
        if chosen.records < limits.min_records:
            return self._nobody(row, lease.owner, chosen.too_few(limits.min_records))
        if "input" not in row or row["input"]["left_out"] < chosen.cancelled:
            row = self._write_input(row, chosen, lease, until, limits.max_file_bytes)
        elif row["status"] != JobStatus.READY:
            row = self._move(row, JobStatus.READY, lease.owner)
        if "stop" in row:
            return self._nobody(row, lease.owner, f"stopped: {row['stop']}")
        return row

    def _write_input(
        self, row: Row, chosen: Selection, lease: JobLease, until: datetime, max_file_bytes: int
    ) -> Row:
        """Write the chosen records into files, from where a run with the same choice has stopped.

        Every choice has a folder of its own, so a build that thaws after a later one adds nothing to what
        Bedrock reads. Within a folder each file is always the same.
        """
        left_out, done = chosen.cancelled, row.get("building", {})
        if row["status"] != JobStatus.BUILDING or done.get("left_out") != left_out:
            done = {"files": 0, "bytes": 0, "left_out": left_out}
            builds = row.get("builds", 0) + 1
            row = self._move(
                row, JobStatus.BUILDING, lease.owner, clear=("input",), builds=builds, building=done
            )
        for written in inputs.write(
            self.work,
            objects.input_prefix(row["job_id"], row["builds"]),
            chosen,
            max_file_bytes=max_file_bytes,
            keep=lease.keeping,
            done=Written(done["files"], done["bytes"]),
        ):
            done = {"files": written.files, "bytes": written.bytes, "left_out": left_out}
            row = self.jobs.note(row["job_id"], owner=lease.owner, building=done)
            if self.clock() + FILE_TIME > until:
                return row
        return self._move(
            row,
            JobStatus.READY,
            lease.owner,
            clear=("building",),
            input=done | {"records": chosen.records},
        )

    def _nobody(self, row: Row, owner: str, why: str) -> Row:
        """Give the job to nobody and its slot back, at once.

        Close then settles what is cancelled or known and registers the rest again at the same attempt, so
        that pack plans it as each pipeline's `too_few` and budget say.
        """
        moved = self.jobs.moved(
            row,
            JobStatus.OPEN,
            owner=owner,
            at=timestamp(self.clock()),
            note=why,
            clear=("retry_at", "building"),
            attributes={"engine": Engine.NOBODY, "instead_of": row["engine"], "message": why},
        )
        freed = self.control.slots.freed(row["base_model"], row["job_id"])
        try:
            dynamo.transact(self.control.client, [moved, freed])
        except dynamo.Cancelled as cancelled:
            raise LostRace(row["job_id"]) from cancelled
        return row | {"engine": Engine.NOBODY, "status": JobStatus.OPEN}

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

    def _stop(self, row: Row, owner: str) -> Row:
        """Have Bedrock end the job. Collect takes what was answered until then."""
        try:
            self.bedrock.stop(row["arn"])
        except bedrock.Unanswered:
            return row  # reconcile rings again
        return self.jobs.note(row["job_id"], owner=owner, stop_sent_at=timestamp(self.clock()))

    def _job(self, row: Row, name: str) -> BatchJob:
        job_id = row["job_id"]
        prefix = objects.input_prefix(job_id, row["builds"])
        only_file = row["input"]["files"] == 1
        return BatchJob(
            name=name,
            token=job_id,
            model=row["model"],
            invocation_type=row["lane"].rpartition("#")[2],
            role_arn=self.role_arn,
            input_uri=self.work.uri(f"{prefix}0000.jsonl" if only_file else prefix),
            output_uri=self.work.uri(objects.output_prefix(job_id)),
            job_id=job_id,
            timeout_hours=row.get("timeout_hours"),
            tags=submit.common(self._tags(job_id)),
        )

    def _tags(self, job_id: str) -> list[Mapping[str, str]]:
        """Read the tags of the pipelines whose records a job has."""
        versions = {(one.pipeline, one.version) for one in self.work.get_plan(job_id)}
        return [self.pipelines.get(*one).tags for one in sorted(versions)]

    def _running(self, row: Row, owner: str, arn: str) -> Row:
        cap = catalog.limits(row["model"]).slots(self.slot_share)
        self.control.slots.accepted(row["base_model"], cap=cap)
        return self._move(row, JobStatus.RUNNING, owner, arn=arn)

    def _wait(self, row: Row, owner: str, message: str) -> Row:
        """Let the job wait outside of any queue, and learn that the account has fewer slots."""
        base = row["base_model"]
        retry_at = int(self.clock().timestamp()) + random.randint(*RETRY_SECONDS)  # noqa: S311
        cap = max(1, len(self.control.slots.get(base).holders) - 1)
        self.control.slots.refused(base, cap=cap, retry_at=retry_at)
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


def _concerns_collect(row: Row) -> bool:
    """Tell whether collect should look at a job now: nobody or Bedrock will answer (the rest of) it."""
    return (
        row["status"] == JobStatus.REFUSED
        or (row["status"] == JobStatus.OPEN and row["engine"] == Engine.NOBODY)
        or (row["status"] == JobStatus.RUNNING and "stop_sent_at" in row)
    )
