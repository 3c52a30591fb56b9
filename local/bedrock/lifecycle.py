"""Takes a job through its states, one task per job, all waiting on the emulator's clock."""

import asyncio
import functools
import logging
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from local.bedrock import catalog, records
from local.bedrock.batch_run import BatchRun
from local.bedrock.bill import Bill
from local.bedrock.clock import Clock
from local.bedrock.events import Publisher
from local.bedrock.faults import FaultBoard, Faults
from local.bedrock.generation import Writer
from local.bedrock.jobs import FOLLOWERS, TERMINAL, Counters, Job, JobStore, Status
from local.bedrock.limits import Limits
from local.bedrock.storage import InputFile, Location, Storage, StorageError, denied

_log = logging.getLogger(__name__)
# Records between two looks at the clock, a stop and the deadline.
_STRIDE: Final = 500
# "While a job is in progress, the counters might be delayed by up to 1 minute."
_COUNTER_LAG: Final = timedelta(minutes=1)
_OUT_OF_TIME: Final = "The job timed out before every record was processed."


@dataclass(frozen=True)
class _Input:
    """What validation found."""

    files: list[InputFile]
    total: int


class Runner:
    """Runs jobs. `limits` and `step_seconds` may be changed while jobs run."""

    def __init__(
        self,
        *,
        store: JobStore,
        clock: Clock,
        storage: Storage,
        publisher: Publisher | None,
        faults: FaultBoard,
        writer: Writer,
        pool: Executor | None,
        bill: Bill,
        limits: Limits,
        step_seconds: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._storage = storage
        self._publisher = publisher
        self._faults = faults
        self._writer = writer
        self._pool = pool
        self._bill = bill
        self.limits = limits
        self.step_seconds = step_seconds

    def start(self, job: Job) -> None:
        """Announce a job that was just stored and begin its life."""
        self._announce(job)
        task = self._clock.spawn(self._live(job.job_id))
        task.add_done_callback(functools.partial(self._ended, job.job_id))

    def stop(self, job: Job) -> None:
        """Mark a job as stopping; its own task brings it to Stopped."""
        self._move(job.job_id, Status.STOPPING)

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        """Fail a job whose task broke: an error of the emulator must not leave it running for ever."""
        job = self._store.get(job_id)
        broke = not task.cancelled() and task.exception() is not None
        if broke and job is not None and Status.FAILED in FOLLOWERS.get(job.status, ()):
            self._move(job_id, Status.FAILED, "An internal error occurred.")

    async def _live(self, job_id: str) -> None:
        try:
            found = await self._reach_start(job_id)
            if found is not None:
                await self._run(job_id, found)
        except (StorageError, records.Rejected) as reason:
            self._go(job_id, Status.FAILED, str(reason))
        if job_id in self._store and self._store[job_id].status is Status.STOPPING:
            await self._clock.sleep(self.step_seconds)
            self._go(job_id, Status.STOPPED, even_if_stopping=True)

    async def _reach_start(self, job_id: str) -> _Input | None:
        """Take a job to InProgress; return None where it ends before that or is being stopped."""
        await self._clock.sleep(self.step_seconds)
        if not self._go(job_id, Status.VALIDATING):
            return None
        try:
            found = await asyncio.to_thread(self._validate, self._store[job_id])
        finally:
            # A verdict takes its time too: a job that fails is seen Validating first.
            await self._clock.sleep(self.step_seconds)
        if not self._go(job_id, Status.SCHEDULED):
            return None
        job = self._store[job_id]
        expiring = self._faults.plan.for_job(job.name).expire_jobs
        wait = (job.expires - self._clock.now()).total_seconds() if expiring else self.step_seconds
        await self._clock.sleep(wait)
        if self._clock.now() >= job.expires:
            self._go(job_id, Status.EXPIRED, "The job timed out before it could begin.")
            return None
        return found if self._go(job_id, Status.IN_PROGRESS) else None

    def _validate(self, job: Job) -> _Input:
        """Check buckets, files and records in a worker thread; raises what the job fails with."""
        source, target = Location.parse(job.input_uri), Location.parse(job.output["s3Uri"])
        refused = self._faults.plan.for_job(job.name).s3_denied
        for side, location in (("input", source), ("output", target)):
            if side in refused:
                raise denied(location)
            self._storage.require_bucket(location)
        files = self._storage.input_files(job.input_uri)
        model = catalog.invocable(job.model_id, batch=True)
        total = records.survey(
            files,
            lambda file: self._storage.lines(file.location),
            self.limits,
            job_id=job.job_id,
            large=model.large_jobs,
        )
        return _Input(files, total)

    async def _run(self, job_id: str, found: _Input) -> None:
        job = self._store[job_id]
        run = BatchRun(
            job,
            found.files,
            total=found.total,
            model=catalog.invocable(job.model_id, batch=True),
            writer=self._writer,
            storage=self._storage,
            faults=self._faults.plan.for_job(job.name),
            pool=self._pool,
            bill=self._bill,
        )
        try:
            end, message = await self._process(job_id, run)
            await asyncio.to_thread(run.finish)
        except (StorageError, records.Rejected):
            await asyncio.to_thread(run.abandon)
            raise
        # A job is seen InProgress before it ends, however few its records are.
        await self._clock.sleep(self.step_seconds)
        if job_id in self._store:
            self._store.save(replace(self._store[job_id], counters=run.counters))
            self._go(job_id, end, message)

    async def _process(self, job_id: str, run: BatchRun) -> tuple[Status, str]:
        """Process records until they or the time are used up; return the state to end in."""
        job = self._store[job_id]
        plan = self._faults.plan.for_job(job.name)
        total = run.counters.total
        until = plan.records_until_end(total)
        self._show(job_id, Counters(total=total))
        shown_at = self._clock.now()
        stride = _stride(plan)
        more = True
        while more:
            most = min(stride, until - run.counters.processed)
            if most <= 0:
                return self._end_early(job_id, plan)
            more = await asyncio.to_thread(run.step, most)
            if plan.seconds_per_record:
                await self._clock.sleep(most * plan.seconds_per_record)
            if job_id not in self._store or self._store[job_id].status is Status.STOPPING:
                return Status.STOPPED, ""
            if more and self._clock.now() >= job.expires:
                return Status.PARTIALLY_COMPLETED, _OUT_OF_TIME
            if self._clock.now() - shown_at >= _COUNTER_LAG:
                self._show(job_id, run.counters)
                shown_at = self._clock.now()
        return Status.COMPLETED, ""

    def _end_early(self, job_id: str, plan: Faults) -> tuple[Status, str]:
        """End a job before its last record, as its faults say."""
        if plan.fail_jobs is not None:
            raise records.Rejected(plan.fail_jobs)
        if plan.stop_at is not None:
            self._move(job_id, Status.STOPPING)
            return Status.STOPPED, ""
        return Status.PARTIALLY_COMPLETED, _OUT_OF_TIME

    def _show(self, job_id: str, counters: Counters) -> None:
        if job_id in self._store:
            self._store.save(replace(self._store[job_id], counters=counters))

    def _go(self, job_id: str, status: Status, message: str = "", *, even_if_stopping: bool = False) -> bool:
        """Move a job on, unless it is gone, ended or being stopped; say whether it moved."""
        job = self._store.get(job_id)
        if job is None or job.status in TERMINAL:
            return False
        if job.status is Status.STOPPING and not even_if_stopping:
            return False
        self._move(job_id, status, message)
        return True

    def _move(self, job_id: str, status: Status, message: str = "") -> None:
        job = self._store[job_id].moved(status, self._clock.now(), message)
        self._store.save(job)
        _log.info("job %s is %s %s", job_id, status, message)
        self._announce(job)

    def _announce(self, job: Job) -> None:
        if self._publisher is not None:
            model = catalog.invocable(job.model_id, batch=True)
            self._publisher.publish(job, model.arn(job.owner.region))


def _stride(plan: Faults) -> int:
    """Say how many records go between two looks at clock and stop: if they are slow, a second's."""
    if not plan.seconds_per_record:
        return _STRIDE
    return min(_STRIDE, max(1, int(1 / plan.seconds_per_record)))
