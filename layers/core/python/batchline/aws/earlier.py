"""What earlier documents of a pipeline were answered, for the estimates of new ones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from batchline.aws.documents import Documents
from batchline.money.expected import Earlier

DAYS: Final = 3
DOCUMENTS: Final = 100
# An estimate may be a little behind; asking for each document would cost more than it tells.
KEPT: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class EarlierAnswers:
    """Reads a few documents of a pipeline, and remembers for a while what they say."""

    documents: Documents
    clock: Callable[[], datetime]
    _known: dict[tuple[str, str], tuple[datetime, Earlier | None]] = field(default_factory=dict)

    def of(self, pipeline: str, version: str) -> Earlier | None:
        """Add up what the newest documents of a version were answered. None: nothing yet."""
        now = self.clock()
        known = self._known.get((pipeline, version))
        if known is None or now - known[0] > KEPT:
            known = self._known[pipeline, version] = (now, self._read(pipeline, version, now))
        return known[1]

    def _read(self, pipeline: str, version: str, now: datetime) -> Earlier | None:
        days = ((now - timedelta(days=back)).date().isoformat() for back in range(DAYS))
        found = (name for day in days for _, name in self.documents.of_day(pipeline, day))
        return Earlier.of(
            (int(row["succeeded"]), int(row.get("cached", 0)), int(row["output_tokens"]))
            for row in self.documents.get_many(islice(found, DOCUMENTS))
            if row["output_tokens"] and row["pipeline_version"] == version
        )
