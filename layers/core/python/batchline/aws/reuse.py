"""Reuse: what a job of pipelines with a cache sends, and where the rest of its answers comes from.

The decision is written beside the job's plan and pinned in its row, so that a run that dies is repeated as
it began. Answers that are known are written as a file of output lines, which collect reads like Bedrock's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from batchline import cache
from batchline.aws import objects
from batchline.aws.cache import Cache
from batchline.aws.dynamo import Row
from batchline.aws.jobs import Jobs
from batchline.aws.lease import JobLease
from batchline.aws.objects import StoredObject, Work
from batchline.cache import Decision, Group
from batchline.ids import RecordId
from batchline.models import JobStatus, Shard, timestamp
from batchline.outcomes import Expected
from batchline.submit import Selection

GROUPS_AT_ONCE = 500
CALLS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Reuse:
    """Decides what of a job is sent, and finds the answers to the rest."""

    cache: Cache
    jobs: Jobs
    work: Work
    clock: Callable[[], datetime]

    def choose(self, row: Row, chosen: Selection, lease: JobLease) -> Row:
        """Decide what of the chosen records is sent, and pin it in the row, which is returned.

        A job without a pipeline that has a cache stays as it is.
        """
        groups = self._groups([one for one in chosen.shards if one.cache], chosen, lease)
        if not groups:
            return row
        prefix = objects.reuse_prefix(row["job_id"], lease.owner)
        decisions: list[Decision] = []
        known = self._decide(row["job_id"], groups, decisions, lease)
        self.work.write_stream(f"{prefix}{objects.KNOWN}", known)
        self.work.put(f"{prefix}{objects.DECISIONS}", cache.dump(decisions))
        pinned = {"prefix": prefix, "cancelled": chosen.cancelled} | cache.counts(decisions)
        return self.jobs.note(row["job_id"], owner=lease.owner, reuse=pinned)

    def decisions(self, row: Row) -> list[Decision]:
        """Read what was decided about a job's records; nothing where no pipeline has a cache."""
        if "reuse" not in row:
            return []
        return cache.load(self.work.get(f"{row['reuse']['prefix']}{objects.DECISIONS}"))

    def answers(self, row: Row, expected: Expected, lease: JobLease) -> Iterator[StoredObject]:
        """Name the files with a job's answers that were not asked for in it.

        What another job has asked is looked for once more, now that this one has ended.
        """
        found: Row = row.get("reuse", {})
        if found.get("known"):
            yield from self.work.find(f"{found['prefix']}{objects.KNOWN}")
        if expected.fates.elsewhere:
            key = objects.late_key(row["job_id"], lease.owner)
            if self.work.write_stream(key, self._late(expected, lease)):
                yield from self.work.find(key)

    def _groups(self, shards: Iterable[Shard], chosen: Selection, lease: JobLease) -> dict[str, Group]:
        """Group the chosen records by their requests, in the order of the shards."""
        now = timestamp(self.clock())
        groups: dict[str, Group] = {}
        for shard in shards:
            gone = chosen.left_out.get(shard.shard_id, frozenset())
            for line in lease.keeping(self.work.lines(shard.key)):
                record_id, request = cache.read(line)
                record = RecordId.parse(record_id)
                if record and record.document_id in gone:
                    continue
                name = cache.digest(shard.lane, shard.pipeline, request)
                group = groups.setdefault(name, Group(shard.pipeline, shard.cache or 0))
                group.add(record_id, shard, now)
        return groups

    def _decide(
        self, job_id: str, groups: Mapping[str, Group], decisions: list[Decision], lease: JobLease
    ) -> Iterator[bytes]:
        """Decide group by group, and claim what will be sent; yield the lines of what is known."""
        ended: dict[str, bool] = {}
        for some in map(dict, batched(groups.items(), GROUPS_AT_ONCE, strict=False)):
            lease.keep()
            now = self._now()
            rows = self._rows(some)
            usable = {name for name, row in rows.items() if cache.usable(row, now=now, ttl=some[name].ttl)}
            known = self._outputs(rows[name] for name in usable)
            claims = {name: cache.claimant(row, now=now) for name, row in rows.items()}
            self._look_after({one for one in claims.values() if one}, ended)
            busy = {name for name, one in claims.items() if one and one != job_id and not ended[one]}
            elsewhere = {name for name in busy if some[name].patient}
            # An answer that cannot be read any more is asked again, and so is what cannot wait.
            free = [name for name in some if name not in usable and name not in busy]
            elsewhere |= self._claim(job_id, {name: some[name] for name in free}, claims, now)
            decisions += cache.decide(some, known, elsewhere)
            for name, answered in known.items():
                for record_id, _ in some[name].records:
                    yield cache.line(record_id, answered)

    def _late(self, expected: Expected, lease: JobLease) -> Iterator[bytes]:
        """Yield the lines of what another job was asking, as far as it has been answered."""
        places: dict[str, list[int]] = {}
        for position, name in expected.fates.elsewhere.items():
            places.setdefault(name, []).append(position)
        for names in batched(places, GROUPS_AT_ONCE, strict=False):
            lease.keep()
            now = self._now()
            shards = {name: expected.shard(places[name][0]) for name in names}
            groups = {name: Group(one.pipeline, one.cache or 0) for name, one in shards.items()}
            usable = [
                row
                for name, row in self._rows(groups).items()
                if cache.usable(row, now=now, ttl=groups[name].ttl)
            ]
            for name, answered in self._outputs(usable).items():
                for position in places[name]:
                    yield cache.line(str(expected.record(position)), answered)

    def _rows(self, groups: Mapping[str, Group]) -> dict[str, Row]:
        """Read what the cache holds of groups, by digest."""
        by_pipeline: dict[str, list[str]] = {}
        for name, group in groups.items():
            by_pipeline.setdefault(group.pipeline, []).append(name)
        rows: dict[str, Row] = {}
        for pipeline, names in by_pipeline.items():
            rows |= self.cache.read(pipeline, names)
        return rows

    def _outputs(self, rows: Iterable[Row]) -> dict[str, bytes]:
        """Read what rows have as their answers, by digest; one that is gone is left out."""

        def read(row: Row) -> tuple[str, bytes | None]:
            if "output" in row:
                return row["sk"], row["output"].encode()
            place = row["output_ref"]
            found = self.work.slice_if_there(place["key"], place["offset"], place["length"])
            return row["sk"], cache.output(found) if found is not None else None

        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            return {name: found for name, found in pool.map(read, rows) if found is not None}

    def _look_after(self, job_ids: Iterable[str], ended: dict[str, bool]) -> None:
        """Find out which jobs that have claimed something are closed, or never were."""
        new = [one for one in sorted(job_ids) if one not in ended]
        ended.update(dict.fromkeys(new, True))
        ended.update((row["job_id"], row["status"] == JobStatus.CLOSED) for row in self.jobs.get_many(new))

    def _claim(
        self, job_id: str, groups: Mapping[str, Group], claims: Mapping[str, str | None], now: int
    ) -> set[str]:
        """Claim requests for a job; return those that somebody else was faster with."""

        def claim(item: tuple[str, Group]) -> str | None:
            name, group = item
            done = self.cache.claim(
                group.pipeline, name, job_id, now=now, ttl=group.ttl, void=claims.get(name)
            )
            return None if done or not group.patient else name

        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            return {name for name in pool.map(claim, groups.items()) if name}

    def _now(self) -> int:
        return int(self.clock().timestamp())
