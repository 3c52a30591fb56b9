"""Register shard: the one way by which records start to wait for a job.

The shard's object is written first, under a key that nobody knows yet; then one transaction moves its
owner's cursor and puts the pending row. An owner that has moved on cancels it, so a message that is
delivered again cannot bring back a shard that a job has taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from batchline import chunk
from batchline.aws import clients, dynamo, objects
from batchline.aws.control import Control
from batchline.aws.dynamo import Row
from batchline.aws.objects import Work
from batchline.models import Range, Shard, timestamp
from batchline.money import overhead
from batchline.pipelines import Pipeline


@dataclass(frozen=True, slots=True)
class Contents:
    """The records of a shard to be: `ranges` name them, and `lines` are blocks of whole lines.

    Tokens are sums; `output_tokens` is the most they may answer, `longest` as of a shard.
    `most_usd` is what each range has committed of its document's budget.
    `overhead_usd` is what the pipeline itself has spent on them, beside writing and registering the shard.
    """

    ranges: Sequence[Range]
    lines: Sequence[bytes]
    input_tokens: int
    output_tokens: int
    longest: int
    most_usd: Sequence[Decimal]
    overhead_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Shards:
    """Writes shards and registers them with their owners."""

    control: Control
    work: Work
    _known_lanes: set[tuple[str, str]] = field(default_factory=set)

    def write(
        self,
        shard_id: str,
        contents: Contents,
        *,
        name: str,
        pipeline: Pipeline,
        version: str,
        now: datetime,
        model: str | None = None,
        first_at: str | None = None,
        deadline_at: str | None = None,
        failures: int = 0,
        not_before: str | None = None,
        distinct: int | None = None,
        guarded: bool = False,
    ) -> Shard:
        """Write the object of a shard. Until it is registered nobody knows of it.

        `model` is the pipeline's first one unless it is named. A further attempt names `first_at`,
        `deadline_at` and `failures` of the ones before, and `not_before` and `distinct` as of a shard; a
        first attempt leaves them out.
        """
        data = b"".join(contents.lines)
        model = model or pipeline.model
        if first_at is None:
            first_at = timestamp(now)
            if pipeline.deadline is not None:
                deadline_at = timestamp(now + timedelta(seconds=pipeline.deadline))
        registering = clients.meter().usd(overhead.registering(len(contents.ranges)))
        key = objects.shard_key(shard_id)
        self.work.put(key, data)
        return Shard(
            shard_id=shard_id,
            lane=chunk.lane(model),
            key=key,
            pipeline=name,
            version=version,
            model=model,
            too_few=pipeline.too_few,
            records=sum(one.count for one in contents.ranges),
            bytes=len(data),
            input_tokens=contents.input_tokens,
            output_tokens=contents.output_tokens,
            longest=contents.longest,
            created_at=timestamp(now),
            first_at=first_at,
            deadline_at=deadline_at,
            timeout_hours=pipeline.timeout_hours,
            failures=failures,
            not_before=not_before,
            cache=pipeline.cache.ttl if pipeline.cache else None,
            distinct=distinct,
            overhead_usd=overhead.booked(contents.overhead_usd + registering),
            urgent_at=timestamp(now + timedelta(seconds=pipeline.max_wait)),
            ranges=tuple(map(str, contents.ranges)),
            most_usd=tuple(contents.most_usd),
            guarded=guarded,
        )

    def register(self, shard: Shard, owners: Sequence[Row]) -> None:
        """Register a shard with its owners' writes in one transaction.

        Raises dynamo.Cancelled: position 0 is the pending row, then the owners in their order.
        """
        self._know_lane(shard)
        dynamo.transact(self.control.client, [self.control.pending.add(shard), *owners])

    def register_all(self, shards: Sequence[Shard], owner: Row) -> None:
        """Register shards with their owner's write in one transaction. Raises dynamo.Cancelled."""
        for one in shards:
            self._know_lane(one)
        dynamo.transact(self.control.client, [owner, *(self.control.pending.add(one) for one in shards)])

    def _know_lane(self, shard: Shard) -> None:
        if (known := (shard.lane, shard.pipeline)) not in self._known_lanes:
            self.control.lanes.know(*known)
            self._known_lanes.add(known)
