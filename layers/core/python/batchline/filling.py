"""Fill: shards into as few jobs as the limits allow, and no job below the minimum where that can be helped.

A shard is never divided and has two sizes, records and bytes. To put such things into the fewest boxes is
the vector bin packing problem, which is NP-hard; here the things are small beside the boxes (a shard has at
most 2,000 of a job's 100,000 records), and that makes it easy to come out at the lower bound:

1. One job at a time takes shards in the order given, which is the caller's idea of fairness. Those that are
   large in records and those that are large in bytes, measured against the whole, stand in two queues; the
   next one comes from the queue of whose size the job has less. So each job is a sample of the whole, and
   neither size is used up before the other: the dot-product rule of Panigrahy, Talwar, Uyeda and Wieder
   (Heuristics for Vector Bin Packing, Microsoft Research, 2011), asked of the queues' heads only.
2. A head that does not fit is set aside for the next job, and the one behind it is tried. After some of them
   the shards that were taken last are chosen once more, together with those that come next, so that the
   least room is left: the minimum bin slack of Gupta and Ho (Production Planning &
   Control 10, 1999), by the dynamic programme for sums of subsets.
3. A last job below the minimum gets shards of another one.
4. Few shards that are not at the lower bound by then are searched through in every arrangement.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchline.catalog import Limits
from batchline.models import Shard

# So many of a queue that do not fit show that the job is full.
SET_ASIDE: Final = 32
# Of so many shards every subset is looked at when a job is closed: taken already, and next in each queue.
TAKEN_AGAIN: Final = 24
NEXT: Final = 40
# What a job may hold is divided into so many steps; records are counted one by one.
STEPS: Final = 100_000
# Eight shards have 4,140 arrangements, nine have 21,147.
SEARCHED: Final = 8

type _Queues = tuple[deque[int], deque[int]]


def lower_bound(shards: Iterable[Shard], limits: Limits) -> int:
    """Count the jobs that no arrangement of the shards can do without."""
    records = size = 0
    for one in shards:
        records += one.records
        size += one.bytes
    return max(-(-records // limits.max_records), -(-size // limits.max_job_bytes))


def fill(shards: Sequence[Shard], limits: Limits) -> list[tuple[Shard, ...]]:
    """Put all shards into jobs, each within the maxima.

    The last job is the one to wait with: it has the most room. Within a job shards keep their order. Only
    where no arrangement helps a job has fewer records than the minimum. A shard that is larger than a
    whole job gets one for itself.
    """
    if not shards:
        return []
    records, size = [one.records for one in shards], [one.bytes for one in shards]
    sizes = _Sizes(records, size, sum(records), sum(size), limits)
    jobs = _in_order(sizes)
    _level(jobs, sizes)
    best = (0, lower_bound(shards, limits))
    if len(shards) <= SEARCHED and sizes.cost(jobs) > best and sum(sizes.records) >= limits.min_records:
        jobs = _search(sizes, jobs)
    return [tuple(shards[n] for n in sorted(job.taken)) for job in jobs]


@dataclass(slots=True)
class _Job:
    """A job that is being filled: the numbers of its shards, and their sums."""

    taken: list[int] = field(default_factory=list)
    records: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The sizes of all shards by their number, their sums, and what a job may hold."""

    records: list[int]
    bytes: list[int]
    all_records: int
    all_bytes: int
    limits: Limits

    def fits(self, job: _Job, number: int) -> bool:
        return not job.taken or (
            job.records + self.records[number] <= self.limits.max_records
            and job.bytes + self.bytes[number] <= self.limits.max_job_bytes
        )

    def add(self, job: _Job, number: int) -> None:
        job.taken.append(number)
        job.records += self.records[number]
        job.bytes += self.bytes[number]

    def remove(self, job: _Job, number: int) -> None:
        job.taken.remove(number)
        job.records -= self.records[number]
        job.bytes -= self.bytes[number]

    def of(self, numbers: Iterable[int]) -> _Job:
        job = _Job()
        for number in numbers:
            self.add(job, number)
        return job

    def more_records(self, records: int, size: int) -> bool:
        """Tell whether so many records are as large a part of all as so many bytes are, or larger."""
        return records * self.all_bytes >= size * self.all_records

    def queue(self, number: int, queues: _Queues) -> deque[int]:
        """Name the queue in which a shard stands."""
        return queues[0 if self.more_records(self.records[number], self.bytes[number]) else 1]

    def cost(self, jobs: Iterable[_Job]) -> tuple[int, int]:
        """Count the records that are in jobs below the minimum, and the other jobs."""
        legal = [job.records >= self.limits.min_records for job in jobs]
        lost = sum(job.records for job, good in zip(jobs, legal, strict=True) if not good)
        return lost, sum(legal)


def _in_order(sizes: _Sizes) -> list[_Job]:
    queues: _Queues = (deque(), deque())
    for number in range(len(sizes.records)):
        sizes.queue(number, queues).append(number)
    jobs = []
    while any(queues):
        job = _taken(queues, sizes)
        jobs.append(_closed(job, queues, sizes) if any(queues) else job)
    return jobs


def _taken(queues: _Queues, sizes: _Sizes) -> _Job:
    """Take shards off the queues until no more of those that come next fit into the job."""
    job = _Job()
    aside: tuple[list[int], list[int]] = ([], [])
    while here := [n for n in (0, 1) if queues[n] and len(aside[n]) < SET_ASIDE]:
        if len(here) == 1:
            which = here[0]
        elif not job.taken:
            which = 0 if queues[0][0] < queues[1][0] else 1  # the first in order
        else:
            which = 1 if sizes.more_records(job.records, job.bytes) else 0
        number = queues[which].popleft()
        if sizes.fits(job, number):
            sizes.add(job, number)
        else:
            aside[which].append(number)
    _put_back(aside[0] + aside[1], queues, sizes)
    return job


def _put_back(numbers: Iterable[int], queues: _Queues, sizes: _Sizes) -> None:
    """Put shards to the front of their queues again."""
    for number in sorted(numbers, reverse=True):
        sizes.queue(number, queues).appendleft(number)


def _closed(job: _Job, queues: _Queues, sizes: _Sizes) -> _Job:
    """Choose the last shards of a job once more, so that they use its room up."""
    last = job.taken[1:][-TAKEN_AGAIN:]
    kept = sizes.of(job.taken[: len(job.taken) - len(last)])
    following = [queue.popleft() for queue in queues for _ in range(min(NEXT, len(queue)))]
    pool = sorted(last + following)
    limits = sizes.limits
    by_records = job.records * limits.max_job_bytes >= job.bytes * limits.max_records
    most = limits.max_records if by_records else limits.max_job_bytes
    values = sizes.records if by_records else sizes.bytes
    room = most - (kept.records if by_records else kept.bytes)
    step = max(1, most // STEPS)
    chosen = _largest([-(-values[n] // step) for n in pool], room // step) if room > 0 else []
    best = sizes.of([*kept.taken, *(pool[position] for position in chosen)])
    if not _within(best, limits) or sum(map(values.__getitem__, best.taken)) <= sum(
        map(values.__getitem__, job.taken)
    ):
        best = job
        for number in following:
            if sizes.fits(best, number):
                sizes.add(best, number)
    used = set(best.taken)
    _put_back((n for n in pool if n not in used), queues, sizes)
    return best


def _within(job: _Job, limits: Limits) -> bool:
    return job.records <= limits.max_records and job.bytes <= limits.max_job_bytes


def _largest(weights: Sequence[int], room: int) -> list[int]:
    """Choose positions whose weights add up to as much of the room as can be, the first ones rather.

    Bit s of `sums[k]` says whether some of the last k weights add up to s.
    """
    mask = (1 << (room + 1)) - 1
    sums = [1]
    for weight in reversed(weights):
        sums.append((sums[-1] | sums[-1] << weight) & mask)
    left = sums.pop().bit_length() - 1
    chosen = []
    for position, weight in enumerate(weights):
        without = sums.pop()
        if weight <= left and without >> (left - weight) & 1:
            chosen.append(position)
            left -= weight
    return chosen


def _level(jobs: list[_Job], sizes: _Sizes) -> None:
    """Move shards into a last job that has too few records, from the nearest job that can spare them."""
    last, minimum = jobs[-1], sizes.limits.min_records
    for donor in reversed(jobs[:-1]):
        if last.records >= minimum:
            return
        for number in _spared(donor, last, sizes):
            sizes.remove(donor, number)
            sizes.add(last, number)


def _spared(donor: _Job, last: _Job, sizes: _Sizes) -> list[int]:
    """Choose what a job gives away: the smallest shard that is enough, else several, or nothing."""
    minimum = sizes.limits.min_records
    spare, need = donor.records - minimum, minimum - last.records
    fitting = [n for n in donor.taken if sizes.records[n] <= spare and sizes.fits(last, n)]
    enough = [n for n in fitting if sizes.records[n] >= need]
    if enough:
        return [min(enough, key=sizes.records.__getitem__)]
    given = sizes.of(last.taken)
    chosen = []
    for number in sorted(fitting, key=sizes.records.__getitem__, reverse=True):
        if sizes.records[number] <= spare and sizes.fits(given, number) and given.records < minimum:
            chosen.append(number)
            spare -= sizes.records[number]
            sizes.add(given, number)
    return chosen if given.records >= minimum else []


def _search(sizes: _Sizes, found: list[_Job]) -> list[_Job]:
    """Try every arrangement; return the one that loses the fewest records, then has the fewest jobs."""
    order = sorted(range(len(sizes.records)), key=lambda n: (sizes.records[n], sizes.bytes[n]), reverse=True)
    best, cost = found, sizes.cost(found)
    jobs: list[_Job] = []

    def place(depth: int) -> None:
        nonlocal best, cost
        if cost[0] == 0 and len(jobs) >= cost[1]:
            return  # it can only become more
        if depth == len(order):
            if (this := sizes.cost(jobs)) < cost:
                best, cost = [sizes.of(job.taken) for job in jobs], this
            return
        for job in jobs:
            if sizes.fits(job, order[depth]):
                sizes.add(job, order[depth])
                place(depth + 1)
                sizes.remove(job, order[depth])
        jobs.append(sizes.of([order[depth]]))
        place(depth + 1)
        jobs.pop()

    place(0)
    limits = sizes.limits

    def share(job: _Job) -> float:
        return max(job.records / limits.max_records, job.bytes / limits.max_job_bytes)

    return sorted(best, key=share, reverse=True)
