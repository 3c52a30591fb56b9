"""Documents, and the sums of a list of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final, Self

from batchline.aws.dynamo import Row
from batchline.chunk import INBOX
from batchline.cli.views.parts import Reused, amounts, charge_of, error_json, failure_of
from batchline.models import Charge, DocumentStatus, Failure, Usage

SHARE: Final = Decimal("0.001")
MOVING: Final = frozenset({DocumentStatus.CHUNKING, DocumentStatus.QUEUED, DocumentStatus.COMBINING})


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
