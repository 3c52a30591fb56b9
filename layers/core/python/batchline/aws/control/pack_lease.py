"""The lease of pack: one packer at a time, and one opening of a job."""

from dataclasses import dataclass
from typing import Final

from batchline.aws import dynamo
from batchline.aws.control.keys import alone
from batchline.aws.dynamo import Row

KEY: Final = alone("lease#pack")
LEASE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to pack, under an epoch that fences every later holder off from this one."""

    epoch: int
    open_job: str | None


class PackLease(dynamo.Table):
    """The row that says who packs."""

    def take(self, owner: str, now: float) -> Lease | None:
        """Become the packer for 60 seconds. None: another one is."""
        request = dynamo.update(
            self.table,
            KEY,
            "SET #owner = :owner, #until = :until ADD #epoch :one",
            when="attribute_not_exists(#until) OR #until < :now",
            values={
                "owner": owner,
                "until": int(now) + LEASE_SECONDS,
                "now": int(now),
                "one": 1,
            },
        )
        row = dynamo.write(self.client, request)
        if not row.done or row.row is None:
            return None
        return Lease(row.row["epoch"], row.row.get("open_job"))

    def fence(self, epoch: int, job_id: str, now: float) -> Row:
        """Claim the only opening at a time under our epoch; joins the transaction "open job"."""
        return self._keep(epoch, {"open_job": job_id, "until": int(now) + LEASE_SECONDS})

    def hold(self, epoch: int, now: float) -> Row:
        """Keep the lease under our epoch; joins a transaction that only the packer may do."""
        return self._keep(epoch, {"until": int(now) + LEASE_SECONDS})

    def _keep(self, epoch: int, changes: Row) -> Row:
        return dynamo.change(
            self.table,
            KEY,
            changes,
            when="#epoch = :epoch AND attribute_not_exists(#open_job)",
            values={"epoch": epoch},
        )

    def announced(self, job_id: str) -> None:
        """Forget the opening of a job whose shards are claimed."""
        request = dynamo.change(
            self.table, KEY, {"open_job": None}, when="#open_job = :job", values={"job": job_id}
        )
        dynamo.write(self.client, request)

    def give_back(self, epoch: int) -> None:
        request = dynamo.change(
            self.table, KEY, {"until": None, "owner": None}, when="#epoch = :epoch", values={"epoch": epoch}
        )
        dynamo.write(self.client, request)

    def unfinished(self, now: float) -> str | None:
        """Name the job that a packer has opened and not announced before its lease ran out."""
        row = dynamo.get(self.client, self.table, KEY) or {}
        return row.get("open_job") if int(row.get("until", 0)) < now else None
