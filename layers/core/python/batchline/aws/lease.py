"""Holding a job's lease while working on it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from batchline.aws import clients
from batchline.aws.dynamo import Row
from batchline.aws.jobs import RENEW_SECONDS, Jobs
from batchline.errors import LostRace
from batchline.money import overhead


@dataclass(slots=True)
class JobLease:
    """The exclusive right to work on a job, kept alive by `keep` and given back on exit.

    It lasts 90 seconds from the last renewal, so a function that dies blocks nobody for longer. What is
    spent while it is held is added to the job's row when it is given back, once, unless an earlier run has
    shared the job's overhead out already.
    """

    jobs: Jobs
    job_id: str
    owner: str
    clock: Callable[[], datetime]
    renewed: float = 0.0
    reckoned: bool = False

    def take(self) -> Row | None:
        """Take the lease and read the job. None: somebody else works on it, or there is no job."""
        clients.meter().begin(self.clock)
        self.renewed = self.clock().timestamp()
        row = self.jobs.lease(self.job_id, self.owner, self.renewed)
        self.reckoned = row is not None and "overhead_usd" in row
        return row

    def keep(self) -> None:
        """Renew the lease when it is due. Raises LostRace when it is gone."""
        now = self.clock().timestamp()
        if now - self.renewed >= RENEW_SECONDS:
            if self.jobs.lease(self.job_id, self.owner, now) is None:
                raise LostRace(self.job_id)
            self.renewed = now

    def keeping[T](self, items: Iterable[T]) -> Iterator[T]:
        """Pass items through and keep the lease while they are consumed."""
        for item in items:
            self.keep()
            yield item

    def give_back(self) -> None:
        meter = clients.meter()
        spent = overhead.booked(meter.lap() + meter.usd(overhead.LAST_CALLS))
        self.jobs.release(self.job_id, self.owner, None if self.reckoned else spent)
