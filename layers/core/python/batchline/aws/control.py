"""The control table: pending shards, lanes, slots, leases and current pipelines; `budgets` are rows of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from batchline.approvals import Approvals
from batchline.aws import dynamo
from batchline.aws.budgets import Budgets
from batchline.aws.dynamo import Row, Written
from batchline.cancel import Cancels
from batchline.models import Shard, timestamp

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ONLY = "-"  # the sort key of items that stand alone
PACK = "lease#pack"
PACK_LEASE_SECONDS = 60
SEQUENCER_LENGTH = 64
# So many jobs of a lane without a success, one after the other, and no more are opened.
PAUSED_AFTER: Final = 2
CANCELS: Final = "cancels"
APPROVALS: Final = "approvals"
BOOKMARKS: Final = "bookmarks"
# By then every record that was on its way has been settled.
MARKS_KEPT: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to pack, under an epoch that fences every later holder off from this one."""

    epoch: int
    open_job: str | None


@dataclass(frozen=True, slots=True)
class Slots:
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


@dataclass(frozen=True, slots=True)
class Control:
    """The control table."""

    client: "DynamoDBClient"
    table: str

    @property
    def budgets(self) -> Budgets:
        """The budgets, which are rows of the same table."""
        return Budgets(self.client, self.table)

    # the lease of pack

    def take_pack_lease(self, owner: str, now: float) -> Lease | None:
        """Become the packer for 60 seconds. None: another one is."""
        request = dynamo.update(
            self.table,
            {"pk": PACK, "sk": ONLY},
            "SET #owner = :owner, #until = :until ADD #epoch :one",
            when="attribute_not_exists(#until) OR #until < :now",
            values={
                "owner": owner,
                "until": int(now) + PACK_LEASE_SECONDS,
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
        return dynamo.update(
            self.table,
            {"pk": PACK, "sk": ONLY},
            "SET #open_job = :job, #until = :until",
            when="#epoch = :epoch AND attribute_not_exists(#open_job)",
            values={"job": job_id, "epoch": epoch, "until": int(now) + PACK_LEASE_SECONDS},
        )

    def hold_lease(self, epoch: int, now: float) -> Row:
        """Keep the lease under our epoch; joins a transaction that only the packer may do."""
        return dynamo.update(
            self.table,
            {"pk": PACK, "sk": ONLY},
            "SET #until = :until",
            when="#epoch = :epoch AND attribute_not_exists(#open_job)",
            values={"epoch": epoch, "until": int(now) + PACK_LEASE_SECONDS},
        )

    def job_announced(self, job_id: str) -> None:
        """Forget the opening of a job whose shards are claimed."""
        request = dynamo.update(
            self.table,
            {"pk": PACK, "sk": ONLY},
            "REMOVE #open_job",
            when="#open_job = :job",
            values={"job": job_id},
        )
        dynamo.write(self.client, request)

    def return_pack_lease(self, epoch: int) -> None:
        request = dynamo.update(
            self.table,
            {"pk": PACK, "sk": ONLY},
            "REMOVE #until, #owner",
            when="#epoch = :epoch",
            values={"epoch": epoch},
        )
        dynamo.write(self.client, request)

    def unfinished_opening(self, now: float) -> str | None:
        """Name the job that a packer has opened and not announced before its lease ran out."""
        row = dynamo.get(self.client, self.table, {"pk": PACK, "sk": ONLY}) or {}
        return row.get("open_job") if int(row.get("until", 0)) < now else None

    # where reconcile goes on in the next run

    def bookmark(self, name: str) -> Row:
        """Read what `set_bookmark` has written last, or nothing."""
        row = dynamo.get(self.client, self.table, {"pk": BOOKMARKS, "sk": name}) or {}
        return {key: value for key, value in row.items() if key not in {"pk", "sk"}}

    def set_bookmark(self, name: str, values: Mapping[str, Any]) -> None:
        dynamo.write(self.client, dynamo.put(self.table, {"pk": BOOKMARKS, "sk": name, **values}))

    # shards and lanes

    def pend(self, shard: Shard) -> Row:
        """Put a shard among the pending ones; joins the transaction "register shard"."""
        row = shard.model_dump() | {
            "pk": _pending(shard.lane, shard.pipeline),
            "sk": _order(shard),
            "ranges": list(shard.ranges),
            "most_usd": list(shard.most_usd),
        }
        return dynamo.put(self.table, row, when="attribute_not_exists(#pk)")

    def unpend(self, shard: Shard) -> Row:
        """Take a shard out of the pending ones; joins a transaction that puts others in its place."""
        return dynamo.delete(self.table, _pending_key(shard), when="attribute_exists(#pk)")

    def pending(self, lane: str, pipeline: str) -> Iterator[Shard]:
        """Yield the pending shards of a lane that are one pipeline's, oldest first."""
        for row in dynamo.query(self.client, self.table, "#pk = :pk", {"pk": _pending(lane, pipeline)}):
            del row["pk"], row["sk"]
            yield Shard.model_validate(row)

    def claimed(self, shards: Iterable[Shard]) -> None:
        """Delete pending shards that a job has taken. Any number of times, by anybody."""
        dynamo.delete_many(self.client, self.table, map(_pending_key, shards))

    def unclaimed(self, shards: Iterable[Shard]) -> list[Shard]:
        """Say which of a job's shards are still among the pending ones."""
        by_key = {tuple(_pending_key(one).values()): one for one in shards}
        keys = (dict(zip(("pk", "sk"), key, strict=True)) for key in by_key)
        rows = dynamo.get_many(self.client, self.table, keys)
        return [by_key[row["pk"], row["sk"]] for row in rows]

    def mark_held(self, shard: Shard, code: str) -> Written:
        """Remember that a pending shard's documents are held."""
        request = dynamo.update(
            self.table,
            _pending_key(shard),
            "SET #held = :code",
            when="attribute_exists(#pk)",
            values={"code": code},
        )
        return dynamo.write(self.client, request)

    def know_lane(self, lane: str, pipeline: str) -> None:
        """Remember that a pipeline has shards in a lane, which may be new."""
        request = dynamo.update(
            self.table,
            {"pk": "lanes", "sk": lane},
            "ADD #pipelines :pipeline",
            values={"pipeline": {pipeline}},
        )
        dynamo.write(self.client, request)

    def lanes(self) -> list[Lane]:
        rows = dynamo.query(self.client, self.table, "#pk = :pk", {"pk": "lanes"})
        return [_lane(row) for row in rows]

    def lane(self, name: str) -> Lane | None:
        row = dynamo.get(self.client, self.table, {"pk": "lanes", "sk": name})
        return _lane(row) if row else None

    def lane_failed(self, name: str, reason: str) -> Row:
        """Count a job without a success; joins the transaction that closes the job."""
        return dynamo.update(
            self.table,
            {"pk": "lanes", "sk": name},
            "SET #reason = :reason ADD #fails :one",
            values={"reason": reason, "one": 1},
        )

    def lane_succeeded(self, name: str) -> Row:
        """Forget the jobs without a success; joins the transaction that closes a job.

        Not for a lane that is paused: that a job from before succeeds does not say why the others failed.
        """
        return dynamo.update(
            self.table, {"pk": "lanes", "sk": name}, "SET #fails = :none REMOVE #reason", values={"none": 0}
        )

    def resume_lane(self, name: str) -> Written:
        """Let a lane go on. Not done: there is no such lane."""
        request = dynamo.update(
            self.table,
            {"pk": "lanes", "sk": name},
            "SET #fails = :none REMOVE #reason",
            when="attribute_exists(#pk)",
            values={"none": 0},
        )
        return dynamo.write(self.client, request)

    # what has been cancelled: a row `document#<id>` or `pipeline#<name>` each

    def cancel_document(self, document_id: str, now: datetime) -> None:
        """Have all records of a document left out that are not answered yet."""
        self._mark(CANCELS, f"document#{document_id}", now)

    def cancel_pipeline(self, pipeline: str, now: datetime) -> None:
        """Have all records of a pipeline left out that were registered until now."""
        self._mark(CANCELS, f"pipeline#{pipeline}", now)

    def _mark(self, what: str, scope: str, now: datetime) -> None:
        row = {"pk": what, "sk": scope, "at": timestamp(now), "until": timestamp(now + MARKS_KEPT)}
        dynamo.write(self.client, dynamo.put(self.table, row))

    def cancels(self) -> Cancels:
        """Read what is cancelled."""
        return Cancels(*self._marked(CANCELS))

    def _marked(self, what: str) -> tuple[frozenset[str], dict[str, str]]:
        """Read documents, and pipelines with the time until which they are meant."""
        rows = list(dynamo.query(self.client, self.table, "#pk = :pk", {"pk": what}))
        scopes = [(*row["sk"].split("#", 1), row["at"]) for row in rows]
        return (
            frozenset(name for kind, name, _ in scopes if kind == "document"),
            {name: at for kind, name, at in scopes if kind == "pipeline"},
        )

    def forget_cancel(self, document_id: str) -> None:
        """Let a document's records be asked that are registered from now on."""
        dynamo.delete_many(self.client, self.table, [{"pk": CANCELS, "sk": f"document#{document_id}"}])

    def forget_marks(self, now: datetime) -> None:
        """Delete what was cancelled or approved so long ago that none of its records is on its way."""
        for what in (CANCELS, APPROVALS):
            rows = dynamo.query(self.client, self.table, "#pk = :pk", {"pk": what})
            old = [{"pk": row["pk"], "sk": row["sk"]} for row in rows if row["until"] <= timestamp(now)]
            dynamo.delete_many(self.client, self.table, old)

    # what has been approved: rows of the same names

    def approve_document(self, document_id: str, now: datetime) -> None:
        """Let a document be spent on whatever its pipeline's budgets say."""
        self._mark(APPROVALS, f"document#{document_id}", now)

    def approve_pipeline(self, pipeline: str, now: datetime) -> None:
        """Let all documents of a pipeline be spent on that came until now."""
        self._mark(APPROVALS, f"pipeline#{pipeline}", now)

    def approvals(self) -> Approvals:
        """Read what is approved."""
        return Approvals(*self._marked(APPROVALS))

    # slots

    def slots(self, base_model: str) -> Slots:
        row = dynamo.get(self.client, self.table, {"pk": _slots(base_model), "sk": ONLY}) or {}
        return Slots(
            frozenset(row.get("holders", ())),
            row.get("cap"),
            int(row.get("retry_at", 0)),
            row.get("turn", ""),
        )

    def take_slot(self, base_model: str, job_id: str, cap: int, turn: str) -> Row:
        """Hold a slot for a job and remember whose turn it was; joins the transaction "open job"."""
        return dynamo.update(
            self.table,
            {"pk": _slots(base_model), "sk": ONLY},
            "SET #turn = :turn ADD #holders :job",
            when="attribute_not_exists(#holders) OR contains(#holders, :id) OR size(#holders) < :cap",
            values={"job": {job_id}, "id": job_id, "cap": cap, "turn": turn},
        )

    def free_slot(self, base_model: str, job_id: str) -> None:
        """Give a job's slot back. Giving back what was not held changes nothing."""
        dynamo.write(self.client, self.slot_freed(base_model, job_id))

    def slot_freed(self, base_model: str, job_id: str) -> Row:
        """Build the write of `free_slot`, for the transaction that closes a job."""
        return dynamo.update(
            self.table,
            {"pk": _slots(base_model), "sk": ONLY},
            "DELETE #holders :job",
            values={"job": {job_id}},
        )

    def slots_refused(self, base_model: str, *, cap: int, retry_at: int) -> None:
        """Learn from a refusal that the account has fewer free slots than we thought."""
        request = dynamo.update(
            self.table,
            {"pk": _slots(base_model), "sk": ONLY},
            "SET #cap = :cap, #retry_at = :retry_at",
            values={"cap": cap, "retry_at": retry_at},
        )
        dynamo.write(self.client, request)

    def slots_accepted(self, base_model: str, *, cap: int) -> None:
        """Learn from an accepted job that one more may be tried, if a refusal had lowered the cap."""
        request = dynamo.update(
            self.table,
            {"pk": _slots(base_model), "sk": ONLY},
            "ADD #cap :one",
            when="#cap < :most",
            values={"one": 1, "most": cap},
        )
        dynamo.write(self.client, request)

    # uploads that have become large documents

    def begun(self, upload: str) -> str | None:
        """Name the large document that an upload has become. None: it has not become one."""
        row = dynamo.get(self.client, self.table, {"pk": _begun(upload), "sk": ONLY})
        return row["document_id"] if row else None

    def begin(self, upload: str, document_id: str, *, expires_at: int) -> Row:
        """Note which document an upload has become; joins the transaction that writes it."""
        row = {"pk": _begun(upload), "sk": ONLY, "document_id": document_id, "expires_at": expires_at}
        return dynamo.put(
            self.table,
            row,
            when="attribute_not_exists(#pk) OR #document_id = :document",
            values={"document": document_id},
        )

    # pipelines

    def current(self, pipeline: str) -> str | None:
        """Name the version of a pipeline that is in force. None: there is none yet."""
        row = dynamo.get(self.client, self.table, {"pk": _pipeline(pipeline), "sk": ONLY})
        return row["version"] if row else None

    def in_force(self, pipelines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
        """Yield name, version and time of publication of pipelines, in no order."""
        keys = ({"pk": _pipeline(name), "sk": ONLY} for name in pipelines)
        for row in dynamo.get_many(self.client, self.table, keys):
            yield row["pk"].partition("#")[2], row["version"], row["published_at"]

    def publish(self, pipeline: str, version: str, *, sequencer: str, at: str) -> bool:
        """Put a version of a pipeline in force, unless a later upload is. Tell whether it is now."""
        self._list_pipeline(pipeline)
        order = sequencer.ljust(SEQUENCER_LENGTH, "0")
        request = dynamo.update(
            self.table,
            {"pk": _pipeline(pipeline), "sk": ONLY},
            "SET #version = :version, #sequencer = :order, #published_at = :at",
            # The same sequencer is the same upload, come twice; LocalStack gives it to all of them.
            when="attribute_not_exists(#sequencer) OR #sequencer <= :order",
            values={"version": version, "order": order, "at": at},
        )
        written = dynamo.write(self.client, request)
        return written.done or (written.row is not None and written.row["version"] == version)

    def _list_pipeline(self, pipeline: str) -> None:
        dynamo.write(self.client, dynamo.put(self.table, {"pk": "pipelines", "sk": pipeline}))

    def pipelines(self) -> list[str]:
        """Name all pipelines that have ever been in force."""
        rows = dynamo.query(self.client, self.table, "#pk = :pk", {"pk": "pipelines"})
        return [row["sk"] for row in rows]


def _lane(row: Row) -> Lane:
    return Lane(
        row["sk"], int(row.get("fails", 0)), row.get("reason", ""), frozenset(row.get("pipelines", ()))
    )


def _pending(lane: str, pipeline: str) -> str:
    return f"pending#{lane}#{pipeline}"


def _pending_key(shard: Shard) -> dict[str, str]:
    return {"pk": _pending(shard.lane, shard.pipeline), "sk": _order(shard)}


def _order(shard: Shard) -> str:
    return f"{shard.created_at}#{shard.shard_id}"


def _slots(base_model: str) -> str:
    return f"slots#{base_model}"


def _begun(upload: str) -> str:
    return f"begun#{upload}"


def _pipeline(name: str) -> str:
    return f"pipeline#{name}"
