"""Small documents: rows and records of many of them are written in one transaction."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from batchline import chunk, ids
from batchline.aws import clients, dynamo
from batchline.aws.documents import Documents
from batchline.aws.documents.arriving import Arrival
from batchline.aws.parts import Chosen, Parts, most
from batchline.chunk import Part
from batchline.money import budgets, overhead

SHARD_DOCUMENTS: Final = dynamo.TRANSACTION_WRITES - 1


@dataclass(frozen=True, slots=True)
class Small:
    """A document whose records all go into one shard, and what reading it has taken in USD."""

    arrival: Arrival
    part: Part
    spent: Decimal

    @property
    def overhead_usd(self) -> Decimal:
        """Say what its row and its end will have taken as well."""
        rest = overhead.ARRIVAL + overhead.ending(1, len(self.part.records))
        return self.spent + clients.meter().usd(rest)


@dataclass(slots=True)
class Waiting:
    """The small documents of one version of a pipeline that are to be written together."""

    chosen: Chosen
    documents: dict[str, Small] = field(default_factory=dict)
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class SmallDocuments:
    """Takes small documents, and writes them when a shard is full or when told to."""

    documents: Documents
    parts: Parts
    _waiting: dict[tuple[str, str], Waiting] = field(default_factory=dict)

    def add(self, arrival: Arrival, chosen: Chosen, part: Part) -> None:
        """Take a document. It is not safe before `write`, and no upload may be acknowledged earlier."""
        key = (chosen.name, chosen.version)
        waiting = self._waiting.setdefault(key, Waiting(chosen))
        waiting.documents[arrival.document_id] = Small(arrival, part, clients.meter().lap())
        waiting.bytes += part.size
        if waiting.bytes > 2 * chunk.SHARD_BYTES:  # memory, whatever a batch holds
            self._write(self._waiting.pop(key))
            clients.meter().lap()

    def write(self) -> None:
        """Write all documents taken so far, many to a shard."""
        taken = list(self._waiting.values())
        self._waiting.clear()  # what fails is delivered again, to whichever process
        for one in taken:
            self._write(one)
        clients.meter().lap()  # what this took was foreseen

    def _write(self, waiting: Waiting) -> None:
        chosen = waiting.chosen
        covered: list[Small] = []
        over: list[Small] = []
        for one in waiting.documents.values():
            fits = budgets.covers(chosen.pipeline, most(chosen.pipeline, one.part))
            (covered if fits else over).append(one)
        for group in _groups(covered):
            self._write_group(chosen, group)
        for one in over:
            # In a shard of its own, for which no other document waits.
            self._write_group(chosen, {one.arrival.document_id: one}, guarded=True)

    def _write_group(self, chosen: Chosen, group: Mapping[str, Small], *, guarded: bool = False) -> None:
        """Write documents and their shard in one transaction; leave out those that exist already."""
        left = dict(group)
        while left:
            members = list(left.values())
            shard = self.parts.write(
                ids.shard_id(),
                [one.part for one in members],
                chosen,
                guarded=guarded,
                overhead_usd=sum((one.overhead_usd for one in members), Decimal(0)),
            )
            owners = [
                self.documents.arriving.queued(
                    one.arrival,
                    chosen.version,
                    records=len(one.part.records),
                    estimate=self.parts.estimate(chosen, one.part),
                )
                for one in members
            ]
            try:
                self.parts.register(shard, owners, chosen.pipeline)
            except dynamo.Cancelled as cancelled:
                for position, one in enumerate(members, start=1):
                    if cancelled.failed(position):
                        del left[one.arrival.document_id]
            else:
                return


def _groups(found: Iterable[Small]) -> Iterator[dict[str, Small]]:
    """Group small documents by what one shard and one transaction hold."""
    group: dict[str, Small] = {}
    records = size = 0
    for one in found:
        fits = chunk.fits(records + len(one.part.records), size + one.part.size)
        if group and (len(group) == SHARD_DOCUMENTS or not fits):
            yield group
            group, records, size = {}, 0, 0
        group[one.arrival.document_id] = one
        records += len(one.part.records)
        size += one.part.size
    if group:
        yield group
