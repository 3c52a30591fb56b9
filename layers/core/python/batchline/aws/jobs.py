"""The jobs table: every shape and every legal transition of a job's row.

–          → OPEN                       pack, in the transaction that claims its shards
OPEN       → BUILDING → READY           submit, while and after it writes the input
READY      → RUNNING · WAITING · REFUSED  submit, as Bedrock answers
WAITING    → READY                      submit, when it is rung again
READY · WAITING → BUILDING              submit, when records of the input were cancelled since it was built
OPEN · BUILDING · READY · WAITING → OPEN  submit, when nothing is to be sent: the engine becomes nobody
OPEN       → RUNNING                    invoke, for an on-demand job
OPEN (nobody) · RUNNING · REFUSED → COLLECTING → CLOSING → CLOSED   collect
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from batchline.aws import dynamo
from batchline.aws.dynamo import Row
from batchline.errors import LostRace
from batchline.models import Engine, JobStatus, Stop, Tier

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

HISTORY = 20
LEASE_SECONDS = 90
RENEW_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Opening:
    """A job as pack opens it.

    Tokens are estimates, `reserved` is USD by pipeline and the most that the job may cost at the price of
    its engine and tier, and `approved` how much of it no limit of a day stops; `price_basis` says what that
    price rests on, `on_demand_usd` is the most that the same records may cost one by one. `deadline_at` and
    `timeout_hours` are as of a shard; `overhead_usd` is what the pipeline itself has spent
    by then.
    """

    job_id: str
    engine: Engine
    tier: Tier
    model: str
    base_model: str
    lane: str
    records: int
    bytes: int
    shards: int
    input_tokens: int
    output_tokens: int
    reserved: Mapping[str, Decimal]
    approved: Mapping[str, Decimal]
    price_basis: str
    on_demand_usd: Decimal
    created_at: str
    why: str
    overhead_usd: Decimal
    deadline_at: str | None = None
    timeout_hours: int | None = None


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs table."""

    client: "DynamoDBClient"
    table: str

    def get(self, job_id: str) -> Row | None:
        return dynamo.get(self.client, self.table, {"job_id": job_id})

    def with_status(self, status: JobStatus) -> Iterator[str]:
        """Yield the ids of jobs in a status, oldest first, as far as the index has come."""
        rows = dynamo.query(
            self.client, self.table, "#status = :status", {"status": status}, index="by_status"
        )
        return (row["job_id"] for row in rows)

    def created(
        self, status: JobStatus, since: str, *, newest_first: bool = False
    ) -> Iterator[tuple[str, str]]:
        """Yield when each job in a status was created since then, and its id, oldest first."""
        rows = dynamo.query(
            self.client,
            self.table,
            "#status = :status AND #created_at >= :since",
            {"status": status, "since": since},
            index="by_status",
            newest_first=newest_first,
        )
        return ((row["created_at"], row["job_id"]) for row in rows)

    def all(self) -> Iterator[Row]:
        """Yield every job, in no order. The whole table is read."""
        return dynamo.scan(self.client, self.table)

    def get_many(self, job_ids: Iterable[str]) -> Iterator[Row]:
        return dynamo.get_many(self.client, self.table, ({"job_id": one} for one in job_ids))

    def opened(self, opening: Opening) -> Row:
        """Write a new job; joins the transaction "open job"."""
        return dynamo.put(
            self.table,
            {
                "job_id": opening.job_id,
                "status": JobStatus.OPEN,
                "engine": opening.engine,
                "tier": opening.tier,
                "model": opening.model,
                "base_model": opening.base_model,
                "lane": opening.lane,
                "records": opening.records,
                "bytes": opening.bytes,
                "shards": opening.shards,
                "estimate": {
                    "input_tokens": opening.input_tokens,
                    "output_tokens": opening.output_tokens,
                    "cost_usd": sum(opening.reserved.values(), Decimal(0)),
                    "on_demand_usd": opening.on_demand_usd,
                    "price_basis": opening.price_basis,
                },
                "pipelines": dict(opening.reserved),
                "approved": dict(opening.approved),
                "reserve_day": opening.created_at[:10],
                "created_at": opening.created_at,
                "why": opening.why,
                "runs_usd": opening.overhead_usd,
                "deadline_at": opening.deadline_at,
                "timeout_hours": opening.timeout_hours,
                "history": [f"{opening.created_at} {JobStatus.OPEN}"],
            },
            when="attribute_not_exists(#job_id)",
        )

    def lease(self, job_id: str, owner: str, now: float) -> Row | None:
        """Take or keep the lease on a job for 90 seconds. None: somebody else works on it."""
        request = dynamo.update(
            self.table,
            {"job_id": job_id},
            "SET #lease_owner = :owner, #lease_until = :until",
            when="attribute_exists(#job_id) AND (attribute_not_exists(#lease_owner) "
            "OR #lease_owner = :owner OR #lease_until < :now)",
            values={"owner": owner, "until": int(now) + LEASE_SECONDS, "now": int(now)},
        )
        written = dynamo.write(self.client, request)
        return written.row if written.done else None

    def release(self, job_id: str, owner: str, spent_usd: Decimal | None) -> None:
        """Give the lease back, if it is still ours, and add what the pipeline has spent under it.

        Repeating it changes nothing: the lease is not ours any more.
        """
        spent = {} if spent_usd is None else {"spent": spent_usd}
        request = dynamo.update(
            self.table,
            {"job_id": job_id},
            f"{'ADD #runs_usd :spent ' if spent else ''}REMOVE #lease_owner, #lease_until",
            when="#lease_owner = :owner",
            values={"owner": owner, **spent},
        )
        dynamo.write(self.client, request)

    def move(
        self,
        row: Row,
        to: JobStatus,
        *,
        owner: str,
        at: str,
        note: str = "",
        clear: tuple[str, ...] = (),
        **attributes: Any,
    ) -> Row:
        """Move a job that we hold the lease of from the status in `row`.

        Raises LostRace when the job has moved on or the lease is lost.
        """
        return self._held(
            row["job_id"],
            self.moved(row, to, owner=owner, at=at, note=note, clear=clear, attributes=attributes),
        )

    def moved(
        self,
        row: Row,
        to: JobStatus,
        *,
        owner: str,
        at: str,
        note: str = "",
        clear: tuple[str, ...] = (),
        attributes: Mapping[str, Any],
    ) -> Row:
        """Build the write of `move`, for a transaction."""
        line = f"{at} {to}" + (f": {note}" if note else "")
        history = [*row["history"][-(HISTORY - 1) :], line]
        sets = ["#status = :to", "#history = :history"]
        values: Row = {"to": to, "history": history, "from": row["status"], "owner": owner}
        for name, value in attributes.items():
            sets.append(f"#{name} = :{name}")
            values[name] = value
        removes = f" REMOVE {', '.join(f'#{name}' for name in clear)}" if clear else ""
        return dynamo.update(
            self.table,
            {"job_id": row["job_id"]},
            f"SET {', '.join(sets)}{removes}",
            when="#status = :from AND #lease_owner = :owner",
            values=values,
        )

    def note(self, job_id: str, *, owner: str, **attributes: Any) -> Row:
        """Set attributes of a job that we hold the lease of. Raises LostRace when the lease is lost."""
        request = dynamo.update(
            self.table,
            {"job_id": job_id},
            "SET " + ", ".join(f"#{name} = :{name}" for name in attributes),
            when="#lease_owner = :owner",
            values=attributes | {"owner": owner},
        )
        return self._held(job_id, request)

    def _held(self, job_id: str, request: Row) -> Row:
        """Do a write that only the holder of the job's lease may do, and return the row after it."""
        written = dynamo.write(self.client, request)
        if not written.done or written.row is None:
            raise LostRace(job_id)
        return written.row

    def stop(self, job_id: str, why: Stop) -> bool:
        """Ask that a job end before its time; whoever holds its lease sees to it. Tell whether it can."""
        request = dynamo.update(
            self.table,
            {"job_id": job_id},
            "SET #stop = :why",
            when="attribute_exists(#job_id) AND attribute_not_exists(#stop) "
            "AND NOT #status IN (:collecting, :closing, :closed)",
            values={
                "why": why,
                "collecting": JobStatus.COLLECTING,
                "closing": JobStatus.CLOSING,
                "closed": JobStatus.CLOSED,
            },
        )
        return dynamo.write(self.client, request).done

    def part_done(self, job_id: str, part: int, spent_usd: Decimal) -> Row | None:
        """Remember that a part of the job's output has been read, and what reading it has taken.

        Returns the row after it. Repeating it changes nothing. None: the job is beyond collecting.
        """
        request = dynamo.update(
            self.table,
            {"job_id": job_id},
            "ADD #parts_done :part, #runs_usd :spent",
            when="#status = :collecting AND NOT contains(#parts_done, :number)",
            values={
                "part": {str(part)},
                "number": str(part),
                "spent": spent_usd,
                "collecting": JobStatus.COLLECTING,
            },
        )
        row = dynamo.write(self.client, request).row
        return row if row and row["status"] == JobStatus.COLLECTING else None

    def register_retry(self, job_id: str, *, cursor: int) -> Row:
        """Count one more retry shard of a job; joins the shard's transaction."""
        return dynamo.update(
            self.table,
            {"job_id": job_id},
            "SET #retry_cursor = :next",
            when="#retry_cursor = :cursor AND #status = :closing",
            values={"next": cursor + 1, "cursor": cursor, "closing": JobStatus.CLOSING},
        )
