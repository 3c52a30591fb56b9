"""Jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from batchline.aws.dynamo import Row
from batchline.cli.views.parts import Reused, amounts, charge_of
from batchline.models import Charge, JobStatus, Usage


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
