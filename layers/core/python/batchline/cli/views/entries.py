"""Entries of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from batchline.aws.dynamo import Row
from batchline.cli.views.parts import Reused, amounts, charge_of
from batchline.models import Charge, Usage
from batchline.money.ledger import UNATTRIBUTED


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
