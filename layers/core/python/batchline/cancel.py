"""Cancel: which records nobody wants an answer to any more, decided from values alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from batchline.models import Range, Shard


@dataclass(frozen=True, slots=True)
class Cancels:
    """What has been cancelled: documents by id, and pipelines by the time until which records are meant."""

    documents: frozenset[str] = frozenset()
    pipelines: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.documents or self.pipelines)

    def covers(self, shard: Shard, document_id: str) -> bool:
        """Tell whether the shard's records of a document are cancelled."""
        return document_id in self.documents or shard.first_at <= self.pipelines.get(shard.pipeline, "")

    def touched(self, shards: Iterable[Shard]) -> list[Shard]:
        """Name the shards that hold at least one cancelled record."""
        if not self:
            return []
        return [one for one in shards if any(self.covers(one, name) for name in documents_of(one))]


def documents_of(shard: Shard) -> frozenset[str]:
    """Name the documents whose records a shard holds."""
    return frozenset(Range.parse(text).document_id for text in shard.ranges)
