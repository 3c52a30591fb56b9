"""What the commands show of a row, typed; `json` gives the same as plain values with stable keys."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final, Self

from batchline.aggregate import Settled
from batchline.aws.dynamo import Row
from batchline.chunk import INBOX
from batchline.ledger import UNATTRIBUTED
from batchline.models import TOKENS, Charge, DocumentStatus, Failure, JobStatus, Usage

SHARE: Final = Decimal("0.001")
MOVING: Final = frozenset({DocumentStatus.CHUNKING, DocumentStatus.QUEUED, DocumentStatus.COMBINING})


def charge_of(row: Row) -> Charge:
    return Charge(
        Decimal(row.get("cost_usd", 0)), Decimal(row.get("saved_usd", 0)), Decimal(row.get("overhead_usd", 0))
    )


def failure_of(row: Row) -> Failure | None:
    error = row.get("error")
    return Failure(error["code"], error["message"]) if error else None


def amounts(usage: Usage, charge: Charge) -> dict[str, Any]:
    return {
        **dict(zip(TOKENS, usage, strict=True)),
        "cost_usd": charge.cost_usd,
        "saved_usd": charge.saved_usd,
        "overhead_usd": charge.overhead_usd,
        "total_usd": charge.total_usd,
    }


def error_json(failure: Failure | None) -> dict[str, str] | None:
    return {"code": failure.code, "message": failure.message} if failure else None


@dataclass(frozen=True, slots=True)
class Reused:
    """Answers that came from the cache, and what they would have cost in USD. Adds up."""

    cached: int = 0
    usd: Decimal = Decimal(0)

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(int(row.get("cached", 0)), Decimal(row.get("cache_saved_usd", 0)))

    def __add__(self, other: "Reused") -> "Reused":
        return Reused(self.cached + other.cached, self.usd + other.usd)

    def __str__(self) -> str:
        """Say it as a sentence without its end; empty where nothing was reused."""
        if not self.cached:
            return ""
        answers = "1 answer" if self.cached == 1 else f"{self.cached:,} answers"
        return f"{answers} from the cache saved {self.usd.normalize():f} USD"

    def json(self) -> dict[str, Any]:
        return {"cached": self.cached, "cache_saved_usd": self.usd}


@dataclass(frozen=True, slots=True)
class Document:
    """A row of the documents table. Times are as the table holds them."""

    document_id: str
    pipeline: str
    version: str
    key: str
    version_id: str | None
    size: int
    status: DocumentStatus
    received_at: str
    finished_at: str | None
    records: int
    succeeded: int
    failed: int
    usage: Usage
    charge: Charge
    reused: Reused
    estimate_usd: Decimal
    at_most_usd: Decimal
    failure: Failure | None
    codes: Mapping[str, int]
    result_key: str | None
    jobs: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Self:
        source = row["source"]
        return cls(
            document_id=row["document_id"],
            pipeline=row["pipeline"],
            version=row["pipeline_version"],
            key=source["key"],
            version_id=source.get("version_id"),
            size=source["size"],
            status=DocumentStatus(row["status"]),
            received_at=row["received_at"],
            finished_at=row.get("finished_at"),
            records=row["records"],
            succeeded=row["succeeded"],
            failed=row["failed"],
            usage=Usage.of(row),
            charge=charge_of(row),
            reused=Reused.of(row),
            estimate_usd=Decimal(row.get("estimate_usd", 0)),
            at_most_usd=Decimal(row.get("at_most_usd", 0)),
            failure=failure_of(row),
            codes=row.get("codes", {}),
            result_key=row.get("result_key"),
            jobs=tuple(sorted(row.get("applied", ()))),
        )

    @property
    def name(self) -> str:
        """The path inside the pipeline's folder, or the whole key of what is not in one."""
        return self.key.removeprefix(f"{INBOX}{self.pipeline}/")

    @property
    def done(self) -> int:
        return self.succeeded + self.failed

    @property
    def moving(self) -> bool:
        """Tell whether it goes on by itself, now. HELD is a rest."""
        return self.status in MOVING

    @property
    def estimate_error(self) -> Decimal | None:
        """Say by which part of it the estimate was too low (or, below 0, too high). None: nobody can tell."""
        if not self.status.terminal or not self.estimate_usd or not self.charge.cost_usd:
            return None
        return (self.charge.cost_usd / self.estimate_usd - 1).quantize(SHARE)

    def answers_to(self, name: str) -> bool:
        """Tell whether a document is called so: its key, its path in the pipeline or its file name."""
        return name in {self.key, self.name, PurePosixPath(self.key).name}

    def json(self) -> dict[str, Any]:
        return {
            "document_id": self.document_id,
            "name": self.name,
            "key": self.key,
            "pipeline": self.pipeline,
            "pipeline_version": self.version,
            "status": self.status,
            "received_at": self.received_at,
            "finished_at": self.finished_at,
            "size": self.size,
            "records": self.records,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "open": self.records - self.done,
            **amounts(self.usage, self.charge),
            **self.reused.json(),
            "estimate_usd": self.estimate_usd,
            "at_most_usd": self.at_most_usd,
            "estimate_error": self.estimate_error,
            "error": error_json(self.failure),
            "codes": dict(self.codes),
            "result_key": self.result_key,
        }


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the jobs table."""

    job_id: str
    engine: str
    tier: str
    model: str
    status: JobStatus
    records: int
    why: str
    message: str
    created_at: str
    closed_at: str | None
    usage: Usage
    charge: Charge
    reused: Reused
    estimate: Mapping[str, Any]
    counts: Mapping[str, int]
    codes: Mapping[str, int]
    pipelines: Mapping[str, Decimal]
    arn: str | None
    history: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            job_id=row["job_id"],
            engine=row["engine"],
            tier=row["tier"],
            model=row["model"],
            status=JobStatus(row["status"]),
            records=row["records"],
            why=row["why"],
            message=row.get("message", ""),
            created_at=row["created_at"],
            closed_at=row.get("closed_at"),
            usage=Usage.of(row),
            charge=charge_of(row),
            reused=Reused.of(row),
            estimate=row["estimate"],
            counts=row.get("counts", {}),
            codes=row.get("codes", {}),
            pipelines={name: Decimal(usd) for name, usd in row["pipelines"].items()},
            arn=row.get("arn"),
            history=tuple(row["history"]),
        )

    @property
    def kind(self) -> str:
        """The engine, and the tier where it has one to tell."""
        return self.engine if self.tier == "default" else f"{self.engine} {self.tier}"

    def json(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "engine": self.engine,
            "tier": self.tier,
            "model": self.model,
            "status": self.status,
            "records": self.records,
            **{name: self.counts.get(name, 0) for name in ("succeeded", "failed", "retried")},
            **amounts(self.usage, self.charge),
            **self.reused.json(),
            "why": self.why,
            "message": self.message,
            "created_at": self.created_at,
            "closed_at": self.closed_at,
        }

    def json_in_full(self) -> dict[str, Any]:
        return self.json() | {
            "counts": dict(self.counts),
            "codes": dict(self.codes),
            "pipelines": sorted(self.pipelines),
            "estimate": {
                "input_tokens": self.estimate["input_tokens"],
                "output_tokens": self.estimate["output_tokens"],
                "cost_usd": Decimal(self.estimate["cost_usd"]),
            },
            "arn": self.arn,
            "history": list(self.history),
        }


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the results table with its answer, wherever it lies."""

    record: str
    answer: Any
    failure: Failure | None
    stop: str
    model: str
    job_id: str
    attempt: int
    usage: Usage
    cost_usd: Decimal
    cached: bool

    @classmethod
    def of(cls, row: Row, settled: Settled) -> Self:
        return cls(
            record=row["record"],
            answer=settled.output,
            failure=settled.failure,
            stop=row.get("stop", ""),
            model=row["model"],
            job_id=row["job_id"],
            attempt=row["attempt"],
            usage=Usage.of(row),
            cost_usd=Decimal(row["cost_usd"]),
            cached=row.get("cached", False),
        )

    def json(self) -> dict[str, Any]:
        return {
            "record": self.record,
            "output": numbers(self.answer),
            "error": error_json(self.failure),
            "stop": self.stop,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cost_usd": self.cost_usd,
            "cached": self.cached,
            "model": self.model,
            "job_id": self.job_id,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger: what one job charged, at which price in USD per million tokens.

    A row of a month that is over stands for several `jobs` and has no `job_id`.
    """

    scope: str
    job_id: str
    pipeline: str | None
    model: str
    engine: str
    tier: str
    usage: Usage
    charge: Charge
    reused: Reused
    succeeded: int
    failed: int
    retried: int
    further: int
    retried_usd: Decimal
    input_price: Decimal
    output_price: Decimal
    basis: str
    list_prices: tuple[Decimal, Decimal] | None
    region: str | None
    booked_at: str
    tags: Mapping[str, str]
    jobs: int

    @classmethod
    def of(cls, row: Row, pipeline: str | None = None) -> Self:
        price, listed = row["price"], row.get("list_price")
        return cls(
            scope=row["scope"],
            job_id=row.get("job_id", ""),
            pipeline=row.get("pipeline", pipeline),
            model=row["model"],
            engine=row["engine"],
            tier=row["tier"],
            usage=Usage.of(row),
            charge=charge_of(row),
            reused=Reused.of(row),
            succeeded=row.get("succeeded", 0),
            failed=row.get("failed", 0),
            retried=row.get("retried", 0),
            further=int(row.get("further", 0)),
            retried_usd=Decimal(row.get("retried_usd", 0)),
            input_price=Decimal(price["input"]),
            output_price=Decimal(price["output"]),
            basis=price["basis"],
            list_prices=(Decimal(listed["input"]), Decimal(listed["output"])) if listed else None,
            region=row.get("region"),
            booked_at=row["booked_at"],
            tags=row.get("tags", {}),
            jobs=int(row.get("jobs", 1)),
        )

    @property
    def unattributed(self) -> bool:
        """Tell whether no document owns it."""
        return self.pipeline is None or self.scope == f"document#{UNATTRIBUTED}"

    @property
    def kind(self) -> str:
        return self.engine if self.tier == "default" else f"{self.engine} {self.tier}"

    @property
    def document_id(self) -> str | None:
        scope, _, name = self.scope.partition("#")
        return name if scope == "document" and name != UNATTRIBUTED else None

    def json(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "pipeline": self.pipeline,
            "document_id": self.document_id,
            "model": self.model,
            "engine": self.engine,
            "tier": self.tier,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "retried": self.retried,
            "further": self.further,
            **amounts(self.usage, self.charge),
            **self.reused.json(),
            "retried_usd": self.retried_usd,
            "price": {
                "input": self.input_price,
                "output": self.output_price,
                "basis": self.basis,
            },
            "list_price": dict(zip(("input", "output"), self.list_prices, strict=True))
            if self.list_prices
            else None,
            "region": self.region,
            "tags": dict(self.tags),
            "booked_at": self.booked_at,
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a list of documents."""

    documents: int
    records: int
    succeeded: int
    failed: int
    usage: Usage
    charge: Charge
    reused: Reused

    @classmethod
    def of(cls, documents: Iterable[Document]) -> Self:
        listed = list(documents)
        return cls(
            documents=len(listed),
            records=sum(one.records for one in listed),
            succeeded=sum(one.succeeded for one in listed),
            failed=sum(one.failed for one in listed),
            usage=sum((one.usage for one in listed), Usage()),
            charge=sum((one.charge for one in listed), Charge()),
            reused=sum((one.reused for one in listed), Reused()),
        )

    def json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "records": self.records,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "open": self.records - self.succeeded - self.failed,
            **amounts(self.usage, self.charge),
            **self.reused.json(),
        }


def numbers(value: Any) -> Any:
    """Write the numbers of an answer as JSON does: a schema may ask for them."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [numbers(one) for one in value]
    if isinstance(value, dict):
        return {name: numbers(one) for name, one in value.items()}
    return value


def seconds_since(at: str, now: datetime) -> float:
    """Count the seconds since a time of a table."""
    return (now - datetime.fromisoformat(at)).total_seconds()
