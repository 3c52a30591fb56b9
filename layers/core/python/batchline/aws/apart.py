"""Setting documents apart: what is approved of a pending shard leaves the documents that are not behind.

Small documents share shards, and an approval is for one of them. Only the packer does this, under its lease:
whoever has the lease later cancels the transaction, so a job that has taken the shard keeps it.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import orjson

from batchline import ids, records
from batchline.aws import dynamo, objects
from batchline.aws.control import Control
from batchline.aws.objects import Work
from batchline.errors import LostRace
from batchline.models import Range, Shard
from batchline.money import overhead


@dataclass(frozen=True, slots=True)
class Parting:
    """Makes two shards of one. `epoch` is that of the packer's lease."""

    control: Control
    work: Work
    epoch: int

    def part(self, shard: Shard, chosen: AbstractSet[str], now: float) -> tuple[Shard, Shard]:
        """Set some documents of a pending shard apart: returns their shard, and that of all others.

        Raises LostRace when somebody else packs by now.
        """
        theirs, others = self._write(shard, chosen, "a"), self._write(shard, self._others(shard, chosen), "b")
        writes = [
            self.control.pack_lease.hold(self.epoch, now),
            self.control.pending.remove(shard),
            self.control.pending.add(theirs),
            self.control.pending.add(others),
        ]
        try:
            dynamo.transact(self.control.client, writes)
        except dynamo.Cancelled as cancelled:
            raise LostRace(shard.shard_id) from cancelled
        return theirs, others

    @staticmethod
    def _others(shard: Shard, chosen: AbstractSet[str]) -> set[str]:
        return {Range.parse(text).document_id for text in shard.ranges} - chosen

    def _write(self, shard: Shard, documents: AbstractSet[str], name: str) -> Shard:
        """Write the records of some documents as a shard that nobody knows of; a repeat writes the same."""
        lines, read, written = [], 0, 0
        for line in self.work.lines(shard.key):
            asked = orjson.loads(line)
            if asked["recordId"][: ids.DOCUMENT_LENGTH] in documents:
                demand = records.demand(asked["modelInput"], shard.model)
                lines.append(line + b"\n")
                read += demand.input_tokens
                written += demand.output_tokens
        mine = [n for n, text in enumerate(shard.ranges) if Range.parse(text).document_id in documents]
        shard_id = f"{shard.shard_id}{name}"
        key = objects.shard_key(shard_id)
        self.work.put(key, b"".join(lines))
        return shard.model_copy(
            update={
                "shard_id": shard_id,
                "key": key,
                "records": len(lines),
                "bytes": sum(map(len, lines)),
                "input_tokens": read,
                "output_tokens": written,
                "overhead_usd": overhead.booked(shard.overhead_usd * len(lines) / shard.records),
                "ranges": tuple(shard.ranges[n] for n in mine),
                "most_usd": tuple(shard.most_usd[n] for n in mine if n < len(shard.most_usd)),
            }
        )
