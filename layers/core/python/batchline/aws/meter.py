"""What this process asks of AWS, counted by its clients, and what that costs.

Requests are counted as they are sent, botocore's own repeats too; DynamoDB's units by its rules from what
was sent and answered. Of a row that is updated in a transaction or deleted nobody sees the size: it counts
as one of at most 1 KB. Nor can it be seen whether a key that is removed was there: it counts as nothing.
"""

import platform
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import ceil
from typing import Any, Final

from batchline.aws import dynamo
from batchline.money import overhead
from batchline.money.overhead import RUN, Rates, Work

HALF: Final = Decimal("0.5")
NEWEST: Final = "9999-12-31"
ERROR_STATUS: Final = 300
S3_READS: Final = frozenset({"GetObject", "HeadObject", "GetObjectTagging", "HeadBucket"})
S3_FREE: Final = frozenset({"DeleteObject", "DeleteObjects", "AbortMultipartUpload"})
# Keys of the tables' indexes, by the table's key. An entry is written beside the row when its key changes,
# and the older one deleted.
INDEXED: Final = {"document_id": ("day_key", "problem"), "job_id": ("status",)}
# A write whose condition does not hold is charged all the same.
CHARGED_ERRORS: Final = frozenset({"ConditionalCheckFailedException", "TransactionCanceledException"})
ALIASES: Final = {"aarch64": overhead.ARM64, "AMD64": overhead.X86_64}


@dataclass(slots=True)
class Meter:
    """Counts what one process does. A function works on one batch of messages at a time.

    `memory_mb` is what Lambda has given the function.
    """

    region: str
    memory_mb: int
    architecture: str = field(default_factory=lambda: ALIASES.get(platform.machine(), platform.machine()))
    counted: Work = field(default_factory=Work)
    _lock: Any = field(default_factory=threading.Lock)
    _clock: Callable[[], datetime] | None = None
    _since: datetime | None = None
    _before: Work = field(default_factory=Work)
    _owed: Work = field(default_factory=Work)

    def watch[C](self, client: C) -> C:
        """Count what a client does from now on."""
        hooks = client.meta.events  # type: ignore[attr-defined]  # every boto3 client has it
        service = client.meta.service_model.service_name  # type: ignore[attr-defined]
        match service:
            case "s3":
                hooks.register("request-created.s3", self._s3)
            case "sqs":
                hooks.register("request-created.sqs", self._sqs)
            case "events":
                hooks.register("provide-client-params.events.PutEvents", self._events)
            case "dynamodb":
                hooks.register("provide-client-params.dynamodb", self._remember)
                hooks.register("after-call.dynamodb", self._dynamodb)
        return client

    def begin(self, clock: Callable[[], datetime], *, messages: int = 1) -> None:
        """Begin with one of so many messages that a run of the function was given at once."""
        self._clock = clock
        self._since, self._before = clock(), self.counted
        self._owed = RUN * (Decimal(1) / messages) + overhead.MESSAGE

    def spent(self) -> Decimal:
        """Say what was spent since `begin`, or since the last `lap`, in USD. 0 before the first `begin`."""
        if self._clock is None or self._since is None:
            return Decimal(0)
        now = self._clock()
        ran = overhead.seconds(max(0.0, (now - self._since).total_seconds()), self.memory_mb)
        return self.usd(self.counted - self._before + self._owed + ran)

    def lap(self) -> Decimal:
        """Say what was spent since `begin`, or since the last lap, in USD, and count anew."""
        usd = self.spent()
        if self._clock:
            self._since, self._before, self._owed = self._clock(), self.counted, Work()
        return usd

    def usd(self, work: Work) -> Decimal:
        """Price work at today's rates of this function."""
        day = self._since.date().isoformat() if self._since else NEWEST
        return Rates(self.region, self.architecture, day).usd(work)

    def _add(self, work: Work) -> None:
        with self._lock:
            self.counted += work

    # what botocore tells

    def _s3(self, operation_name: str, **_: Any) -> None:
        if operation_name in S3_READS:
            self._add(Work(s3_reads=1))
        elif operation_name not in S3_FREE:
            self._add(Work(s3_writes=1))

    def _sqs(self, request: Any, **_: Any) -> None:
        self._add(Work(sqs_requests=_chunks(len(request.body or b""))))

    def _events(self, params: Mapping[str, Any], **_: Any) -> None:
        entries = params["Entries"]
        self._add(Work(events=sum(_chunks(len(one.get("Detail", "").encode())) for one in entries)))

    def _remember(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def _dynamodb(
        self, model: Any, parsed: Mapping[str, Any], context: Mapping[str, Any], **more: Any
    ) -> None:
        code = parsed.get("Error", {}).get("Code")
        if code in CHARGED_ERRORS or more["http_response"].status_code < ERROR_STATUS:
            self._add(units(model.name, context["asked"], parsed))


def _chunks(size: int) -> int:
    return max(1, ceil(size / overhead.REQUEST_BYTES))


def units(operation: str, asked: Mapping[str, Any], reply: Mapping[str, Any]) -> Work:
    """Count the units that a call of DynamoDB takes.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """
    found: Work = UNITS.get(operation, _none)(asked, reply)
    return found


def _none(_asked: Any, _reply: Any) -> Work:
    return Work()


def _one(asked: Any, reply: Any) -> Work:
    return Work(write_units=_written(asked, reply))


def _transaction(asked: Any, reply: Any) -> Work:
    writes = [write for one in asked["TransactItems"] for write in one.values()]
    return Work(write_units=sum(_written(one, reply, times=2) for one in writes))


def _batch(asked: Any, reply: Any) -> Work:
    writes = [write for some in asked["RequestItems"].values() for one in some for write in one.values()]
    left = sum(map(len, reply.get("UnprocessedItems", {}).values()))
    return Work(write_units=sum(_written(one, reply) for one in writes[: len(writes) - left]))


def _get(asked: Any, reply: Any) -> Work:
    return _read([reply["Item"]] if "Item" in reply else [], consistent="ConsistentRead" in asked)


def _batch_get(asked: Any, reply: Any) -> Work:
    found = [one for some in reply["Responses"].values() for one in some]
    left = sum(len(one["Keys"]) for one in reply.get("UnprocessedKeys", {}).values())
    missing = sum(len(one["Keys"]) for one in asked["RequestItems"].values()) - len(found) - left
    return sum((_read([one]) for one in found), Work(read_units=missing))


def _query(asked: Any, reply: Any) -> Work:
    return _read(reply["Items"], consistent="ConsistentRead" in asked)


UNITS: Final[Mapping[str, Callable[[Any, Any], Work]]] = {
    "PutItem": _one,
    "UpdateItem": _one,
    "DeleteItem": _one,
    "TransactWriteItems": _transaction,
    "BatchWriteItem": _batch,
    "GetItem": _get,
    "BatchGetItem": _batch_get,
    "Query": _query,
    "Scan": _query,
}


def _read(items: Any, *, consistent: bool = True) -> Work:
    """Count a read: of all items together, and one unit where there is none."""
    size = sum(map(dynamo.item_size, items))
    taken = max(1, ceil(size / overhead.READ_UNIT_BYTES))
    return Work(read_units=taken if consistent else taken * HALF)


def _written(write: Mapping[str, Any], reply: Mapping[str, Any], times: int = 1) -> int:
    """Count a write, `times` over, and those of the indexes."""
    item = reply.get("Attributes") or write.get("Item")
    taken = max(1, ceil(dynamo.item_size(item) / overhead.WRITE_UNIT_BYTES)) if item else 1
    return taken * times + (0 if "Error" in reply else _of_indexes(write))


def _of_indexes(write: Mapping[str, Any]) -> int:
    put, key = write.get("Item"), write.get("Key", {})
    if put is not None:
        return sum(name in put for table, names in INDEXED.items() if table in put for name in names)
    expression = write.get("UpdateExpression", "")
    return sum(
        2 if name == "status" else 1
        for table, names in INDEXED.items()
        if table in key
        for name in names
        if f"#{name} = " in expression
    )
