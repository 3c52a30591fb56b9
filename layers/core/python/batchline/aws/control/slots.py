"""Slots: how many batch jobs of a model may run at a time."""

from dataclasses import dataclass

from batchline.aws import dynamo
from batchline.aws.control.keys import alone
from batchline.aws.dynamo import Row


@dataclass(frozen=True, slots=True)
class Taken:
    """Batch jobs of a base model that run or are about to, and how many there may be.

    `turn` names who was served last, as pack.plan writes it.
    """

    holders: frozenset[str]
    cap: int | None
    retry_at: int
    turn: str = ""

    def free(self, cap: int, now: float) -> int:
        """Count the jobs that may still be opened, given the configured cap."""
        if now < self.retry_at:
            return 0
        return max(0, min(cap, self.cap if self.cap is not None else cap) - len(self.holders))


class Slots(dynamo.Table):
    """Rows of the control table, by base model."""

    def get(self, base_model: str) -> Taken:
        row = dynamo.get(self.client, self.table, _key(base_model)) or {}
        return Taken(
            frozenset(row.get("holders", ())),
            row.get("cap"),
            int(row.get("retry_at", 0)),
            row.get("turn", ""),
        )

    def take(self, base_model: str, job_id: str, cap: int, turn: str) -> Row:
        """Hold a slot for a job and remember whose turn it was; joins the transaction "open job"."""
        return dynamo.update(
            self.table,
            _key(base_model),
            "SET #turn = :turn ADD #holders :job",
            when="attribute_not_exists(#holders) OR contains(#holders, :id) OR size(#holders) < :cap",
            values={"job": {job_id}, "id": job_id, "cap": cap, "turn": turn},
        )

    def free(self, base_model: str, job_id: str) -> None:
        """Give a job's slot back. Giving back what was not held changes nothing."""
        dynamo.write(self.client, self.freed(base_model, job_id))

    def freed(self, base_model: str, job_id: str) -> Row:
        """Build the write of `free`, for the transaction that closes a job."""
        return dynamo.update(
            self.table,
            _key(base_model),
            "DELETE #holders :job",
            values={"job": {job_id}},
        )

    def refused(self, base_model: str, *, cap: int, retry_at: int) -> None:
        """Learn from a refusal that the account has fewer free slots than we thought."""
        request = dynamo.change(self.table, _key(base_model), {"cap": cap, "retry_at": retry_at})
        dynamo.write(self.client, request)

    def accepted(self, base_model: str, *, cap: int) -> None:
        """Learn from an accepted job that one more may be tried, if a refusal had lowered the cap."""
        request = dynamo.update(
            self.table,
            _key(base_model),
            "ADD #cap :one",
            when="#cap < :most",
            values={"one": 1, "most": cap},
        )
        dynamo.write(self.client, request)


def _key(base_model: str) -> dict[str, str]:
    return alone(f"slots#{base_model}")
