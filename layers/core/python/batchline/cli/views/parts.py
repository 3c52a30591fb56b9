"""What views of all kinds share: tokens and money, what the cache saved, failures, times."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from batchline.aws.dynamo import Row
from batchline.models import TOKENS, Charge, Failure, Usage


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


def seconds_since(at: str, now: datetime) -> float:
    """Count the seconds since a time of a table."""
    return (now - datetime.fromisoformat(at)).total_seconds()
