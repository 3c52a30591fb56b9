"""Pending shards: those that no job has taken yet."""

from collections.abc import Iterable, Iterator

from batchline.aws import dynamo
from batchline.aws.dynamo import Row, Written
from batchline.models import Shard


class Pending(dynamo.Table):
    """Rows of the control table, by lane and pipeline, oldest first."""

    def add(self, shard: Shard) -> Row:
        """Put a shard among the pending ones; joins the transaction "register shard"."""
        row = shard.model_dump() | {
            "pk": _partition(shard.lane, shard.pipeline),
            "sk": _order(shard),
            "ranges": list(shard.ranges),
            "most_usd": list(shard.most_usd),
        }
        return dynamo.put(self.table, row, when="attribute_not_exists(#pk)")

    def remove(self, shard: Shard) -> Row:
        """Take a shard out of the pending ones; joins a transaction that puts others in its place."""
        return dynamo.delete(self.table, _key(shard), when="attribute_exists(#pk)")

    def of(self, lane: str, pipeline: str) -> Iterator[Shard]:
        """Yield the pending shards of a lane that are one pipeline's, oldest first."""
        for row in dynamo.query(self.client, self.table, "#pk = :pk", {"pk": _partition(lane, pipeline)}):
            del row["pk"], row["sk"]
            yield Shard.model_validate(row)

    def claimed(self, shards: Iterable[Shard]) -> None:
        """Delete pending shards that a job has taken. Any number of times, by anybody."""
        dynamo.delete_many(self.client, self.table, map(_key, shards))

    def unclaimed(self, shards: Iterable[Shard]) -> list[Shard]:
        """Say which of a job's shards are still among the pending ones."""
        by_key = {tuple(_key(one).values()): one for one in shards}
        keys = (dict(zip(("pk", "sk"), key, strict=True)) for key in by_key)
        rows = dynamo.get_many(self.client, self.table, keys)
        return [by_key[row["pk"], row["sk"]] for row in rows]

    def mark_held(self, shard: Shard, code: str) -> Written:
        """Remember that a pending shard's documents are held."""
        request = dynamo.change(self.table, _key(shard), {"held": code}, when="attribute_exists(#pk)")
        return dynamo.write(self.client, request)


def _partition(lane: str, pipeline: str) -> str:
    return f"pending#{lane}#{pipeline}"


def _key(shard: Shard) -> dict[str, str]:
    return {"pk": _partition(shard.lane, shard.pipeline), "sk": _order(shard)}


def _order(shard: Shard) -> str:
    return f"{shard.created_at}#{shard.shard_id}"
