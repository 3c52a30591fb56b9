"""Lanes: records of one model and one shape, which may share a job."""

from dataclasses import dataclass
from typing import Final

from batchline.aws import dynamo
from batchline.aws.dynamo import Row, Written

# So many jobs of a lane without a success, one after the other, and no more are opened.
PAUSED_AFTER: Final = 2
NO_TROUBLE: Final = {"fails": 0, "reason": None}


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane and how its last jobs went: `fails` had no success since the last one that had.

    `pipelines` are those that ever had a shard in it.
    """

    name: str
    fails: int
    reason: str
    pipelines: frozenset[str] = frozenset()

    @property
    def model(self) -> str:
        """Name the model, or the inference profile, that a lane is of."""
        return self.name.partition("#")[0]

    @property
    def paused(self) -> bool:
        """Tell whether no job is opened until somebody lets the lane go on."""
        return self.fails >= PAUSED_AFTER


class Lanes(dynamo.Table):
    """Rows of the control table, by the name of the lane."""

    def know(self, lane: str, pipeline: str) -> None:
        """Remember that a pipeline has shards in a lane, which may be new."""
        request = dynamo.update(
            self.table,
            _key(lane),
            "ADD #pipelines :pipeline",
            values={"pipeline": {pipeline}},
        )
        dynamo.write(self.client, request)

    def all(self) -> list[Lane]:
        rows = dynamo.query(self.client, self.table, "#pk = :pk", {"pk": "lanes"})
        return [_lane(row) for row in rows]

    def get(self, name: str) -> Lane | None:
        row = dynamo.get(self.client, self.table, _key(name))
        return _lane(row) if row else None

    def failed(self, name: str, reason: str) -> Row:
        """Count a job without a success; joins the transaction that closes the job."""
        return dynamo.update(
            self.table,
            _key(name),
            "SET #reason = :reason ADD #fails :one",
            values={"reason": reason, "one": 1},
        )

    def succeeded(self, name: str) -> Row:
        """Forget the jobs without a success; joins the transaction that closes a job.

        Not for a lane that is paused: that a job from before succeeds does not say why the others failed.
        """
        return dynamo.change(self.table, _key(name), NO_TROUBLE)

    def resume(self, name: str) -> Written:
        """Let a lane go on. Not done: there is no such lane."""
        request = dynamo.change(self.table, _key(name), NO_TROUBLE, when="attribute_exists(#pk)")
        return dynamo.write(self.client, request)


def _key(name: str) -> dict[str, str]:
    return {"pk": "lanes", "sk": name}


def _lane(row: Row) -> Lane:
    return Lane(
        row["sk"], int(row.get("fails", 0)), row.get("reason", ""), frozenset(row.get("pipelines", ()))
    )
