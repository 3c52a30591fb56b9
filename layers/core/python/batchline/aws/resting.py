"""Shards that cannot be asked now: their documents rest, and say why."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from batchline import catalog
from batchline.aws.control import Control
from batchline.aws.documents import Documents
from batchline.aws.means import Means
from batchline.aws.queues import Queue
from batchline.cancel import documents_of
from batchline.errors import Code
from batchline.models import DocumentStatus, Failure, Shard
from batchline.money.budgets import Lack

HELD_BECAUSE: Final = {
    Code.TOO_FEW: "Bedrock's batch needs at least {min_records} records and too_few is wait. The document "
    "goes on when more records of its model have arrived; upload more, or set too_few: on_demand.",
    Code.LANE_PAUSED: "The last jobs of {lane} had no success, so no more are opened. {reason} Mend the "
    "cause, then run `batchline resume {lane}`.",
}


@dataclass(frozen=True, slots=True)
class Resting:
    """Holds the documents of pending shards."""

    documents: Documents
    control: Control
    documents_queue: Queue
    means: Means
    clock: Callable[[], datetime]

    def rest(
        self,
        shard: Shard,
        code: Code,
        reason: str = "",
        resumed: AbstractSet[str] = frozenset(),
        *,
        lack: Lack | None = None,
    ) -> bool:
        """Let a shard's documents rest, once. Its records stay pending.

        `reason` is why its lane is paused; `resumed` are documents that another of their shards has just
        set going again; `lack` says which budget does not cover it.
        """
        documents = documents_of(shard)
        if shard.held == code:
            documents &= resumed
        if not documents:
            return False
        for document_id in documents:
            if shard.held:
                self.documents.waiting.resume(document_id, shard.held)
            failure = Failure(code, self._because(shard, code, document_id, reason, lack))
            found = self.documents.waiting.rest(document_id, shard.pipeline, failure).row
            if found is not None and found["status"] == DocumentStatus.CHUNKING:
                return False  # it can rest when it is sealed; a later run sees to it
        # Aggregate tells the world; rung before the mark, or a crash in between would keep it silent.
        self.documents_queue.ring_all({"document_id": one} for one in sorted(documents))
        self.control.pending.mark_held(shard, code)
        return True

    def _because(self, shard: Shard, code: Code, document_id: str, reason: str, lack: Lack | None) -> str:
        """Say why a document rests."""
        if lack is not None:
            return self.means.said(lack, shard, document_id, self.clock())
        return HELD_BECAUSE[code].format(
            min_records=catalog.limits(shard.model).min_records, lane=shard.lane, reason=reason
        )
