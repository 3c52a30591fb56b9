"""Approvals: which documents may be spent on whatever their budgets say, decided from values alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from batchline.cancel import documents_of
from batchline.models import Shard


@dataclass(frozen=True, slots=True)
class Approvals:
    """What somebody has approved: documents by id, and pipelines by the time until which they came."""

    documents: frozenset[str] = frozenset()
    pipelines: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.documents or self.pipelines)

    def covers(self, document_id: str, pipeline: str, received_at: str) -> bool:
        """Tell whether a document is approved."""
        return document_id in self.documents or received_at <= self.pipelines.get(pipeline, "")

    def of(self, shard: Shard) -> frozenset[str]:
        """Name the documents of a shard that are approved. They came before their records did."""
        if not self:
            return frozenset()
        return frozenset(
            one for one in documents_of(shard) if self.covers(one, shard.pipeline, shard.first_at)
        )

    def whole(self, shard: Shard) -> bool:
        """Tell whether all of a shard is approved."""
        return bool(self) and self.of(shard) == documents_of(shard)


NONE_APPROVED: Final = Approvals()
