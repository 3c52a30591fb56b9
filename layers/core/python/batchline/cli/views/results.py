"""Results: the answer to a record, or why it has none."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from batchline.aggregate import Settled
from batchline.aws.dynamo import Row
from batchline.cli.views.parts import error_json
from batchline.models import Failure, Usage


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


def numbers(value: Any) -> Any:
    """Write the numbers of an answer as JSON does: a schema may ask for them."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [numbers(one) for one in value]
    if isinstance(value, dict):
        return {name: numbers(one) for name, one in value.items()}
    return value
