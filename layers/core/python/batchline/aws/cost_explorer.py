"""Cost Explorer: what AWS itself says that Bedrock cost, for the whole account."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import ClientError

from batchline.aws import clients
from batchline.aws.account import not_allowed
from batchline.errors import BatchlineError

if TYPE_CHECKING:
    from mypy_boto3_ce import CostExplorerClient

# Models sold through the Marketplace are services of their own: "Claude Sonnet 4.5 (Amazon Bedrock Edition)".
SERVICE: Final = "Amazon Bedrock"
ACTION: Final = "ce:GetCostAndUsage"
METRIC: Final = "UnblendedCost"
NO_DATA: Final = frozenset({"DataUnavailableException", "BillExpirationException"})


class NoAnswer(BatchlineError):
    """Cost Explorer has nothing to say here; the message says why."""


@dataclass(frozen=True, slots=True)
class CostExplorer:
    """AWS's own books. Every question costs 0.01 USD, and the last day is not complete."""

    client: "CostExplorerClient"

    @classmethod
    def connect(cls) -> Self:
        return cls(clients.cost_explorer())

    def by_day(self, first: date, after: date) -> dict[str, Decimal]:
        """Say in USD what Bedrock cost on each day (ISO) from `first` to the day before `after`.

        Raises NotAllowed with the action that is missing, or NoAnswer.
        """
        if ".amazonaws.com" not in self.client.meta.endpoint_url:
            raise NoAnswer("The local cloud has no Cost Explorer.")
        found: dict[str, Decimal] = {}
        asked: Any = {
            "TimePeriod": {"Start": first.isoformat(), "End": after.isoformat()},
            "Granularity": "DAILY",
            "Metrics": [METRIC],
            "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
        }
        while True:
            reply = self._ask(asked)
            for day in reply["ResultsByTime"]:
                groups = [one for one in day["Groups"] if SERVICE in one["Keys"][0]]
                amounts = [Decimal(one["Metrics"][METRIC]["Amount"]) for one in groups]
                key = day["TimePeriod"]["Start"]
                found[key] = found.get(key, Decimal(0)) + sum(amounts, Decimal(0))
            if not (token := reply.get("NextPageToken")):
                return found
            asked["NextPageToken"] = token

    def _ask(self, asked: Any) -> Any:
        try:
            return self.client.get_cost_and_usage(**asked)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in NO_DATA:
                raise NoAnswer(f"Cost Explorer has no data: {error}.") from error
            raise not_allowed(error, ACTION) from error
