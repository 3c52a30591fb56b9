"""Parts of documents become shards: the object first, then one transaction with the documents' rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from batchline.aws.documents.arriving import Estimated
from batchline.aws.dynamo import Row
from batchline.aws.earlier import EarlierAnswers
from batchline.aws.queues import MAX_DELAY_SECONDS, Queue
from batchline.aws.shards import Contents, Shards
from batchline.chunk import Part
from batchline.models import Shard, Usage
from batchline.money import budgets, expected, prices
from batchline.pipelines import Pipeline


@dataclass(frozen=True, slots=True)
class Chosen:
    """A pipeline in the version that a document has been given."""

    name: str
    version: str
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Parts:
    """Writes parts as shards and has pack look at them in time."""

    shards: Shards
    earlier: EarlierAnswers
    wake_queue: Queue
    clock: Callable[[], datetime]

    def write(
        self,
        shard_id: str,
        parts: Sequence[Part],
        chosen: Chosen,
        *,
        overhead_usd: Decimal,
        guarded: bool = False,
    ) -> Shard:
        """Write the object of a shard. Until it is registered nobody knows of it.

        `overhead_usd` is what the pipeline itself has spent on its parts.
        """
        records = sum(len(part.records) for part in parts)
        contents = Contents(
            ranges=[part.range for part in parts],
            lines=[part.lines() for part in parts],
            input_tokens=sum(part.input_tokens for part in parts),
            output_tokens=records * chosen.pipeline.inference.max_tokens,
            longest=max((one for part in parts for one in part.lengths), default=0),
            most_usd=[most(chosen.pipeline, part) for part in parts],
            overhead_usd=overhead_usd,
        )
        return self.shards.write(
            shard_id,
            contents,
            name=chosen.name,
            pipeline=chosen.pipeline,
            version=chosen.version,
            now=self.clock(),
            guarded=guarded,
        )

    def register(self, shard: Shard, owners: Sequence[Row], pipeline: Pipeline) -> None:
        """Register a shard with its documents' writes. Raises dynamo.Cancelled as Shards.register does."""
        self.shards.register(shard, owners)
        # Pack should look the moment the records become urgent; its schedule is up to a minute late.
        if pipeline.max_wait <= MAX_DELAY_SECONDS:
            self.wake_queue.ring({"hop": 0}, delay_seconds=pipeline.max_wait)

    def estimate(self, chosen: Chosen, part: Part) -> Estimated:
        """Estimate what a part will cost, further attempts left out."""
        pipeline = chosen.pipeline
        length = expected.answers(pipeline, self.earlier.of(chosen.name, chosen.version))
        usage = length.usage(
            len(part.records), part.input_tokens, part.lengths, above=prices.long_above(pipeline.model)
        )
        return Estimated(expected.usd(usage, pipeline.model), most(pipeline, part))


def most(pipeline: Pipeline, part: Part) -> Decimal:
    """Say the most that a part may cost however it is asked, in USD."""
    usage = Usage(part.input_tokens, len(part.records) * pipeline.inference.max_tokens)
    return budgets.dearest(usage, pipeline, pipeline.model, longest=max(part.lengths, default=0))
