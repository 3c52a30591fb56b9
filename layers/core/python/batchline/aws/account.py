"""The account: what AWS says of its quotas and profiles, and the file in the work bucket that keeps it."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import ClientError

from batchline import catalog, quotas
from batchline.aws import clients, price_list
from batchline.aws.dynamo import code_of
from batchline.aws.objects import Work
from batchline.catalog import Account
from batchline.errors import BatchlineError
from batchline.models import timestamp
from batchline.money import prices
from batchline.quotas import Quota

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_service_quotas import ServiceQuotasClient

KEY: Final = "limits.json"
MISSING: Final = frozenset({"NoSuchKey", "404"})
# By the first letters of a Region; where a profile's calls go decides about prices and quotas alike.
GEOGRAPHIES: Final = {"us": "us", "eu": "eu", "ap": "apac", "ca": "ca"}
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


class NotAllowed(BatchlineError):
    """An AWS identity lacks a permission; the message names it. Ask for it, then try again."""


def load(work: Work) -> Account:
    """Read what was found out about the account; nothing when nobody has. Raises AccountError."""
    try:
        return Account.load(work.get(KEY))
    except ClientError as error:
        if code_of(error) in MISSING:
            return catalog.NO_ACCOUNT
        raise


def adopt(work_bucket: str, limits: str = "") -> None:
    """Let this process go by what is known of the account, and by the stack's own prices.

    `limits` are quotas by model as JSON, from the stack's parameter. Raises AccountError.
    """
    work = Work(clients.s3(), work_bucket)
    catalog.adopt(load(work).limited(limits))
    prices.adopt(price_list.load(work))


def save(work: Work, account: Account) -> None:
    """Keep what is known of the account. Functions read it when they start."""
    work.put(KEY, account.model_dump_json(indent=2).encode())


@dataclass(frozen=True, slots=True)
class Source:
    """Where AWS says what an account may do."""

    quotas: "ServiceQuotasClient"
    bedrock: "BedrockClient"

    @classmethod
    def connect(cls) -> Self:
        return cls(clients.service_quotas(), clients.bedrock())

    def read(self, now: datetime) -> Account:
        """Ask for all quotas and profiles. Raises NotAllowed with the action that is missing."""
        region = self.quotas.meta.region_name
        found = quotas.changed(quotas.read(self._quotas()))
        return Account(
            source=f"Service Quotas and inference profiles of {region}",
            read_at=timestamp(now),
            models=found,
            profiles=self._profiles(),
        )

    def _quotas(self) -> list[Quota]:
        pages = self.quotas.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
        try:
            return [
                Quota(one["QuotaName"], one["Value"])
                for page in pages
                for one in page["Quotas"]
                if "QuotaName" in one and "Value" in one
            ]
        except ClientError as error:
            raise not_allowed(error, "servicequotas:ListServiceQuotas") from error

    def _profiles(self) -> dict[str, str]:
        """Say which model is behind each of the account's own profiles."""
        pages = self.bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
        try:
            return {
                _last(one["inferenceProfileArn"]): _model(one)
                for page in pages
                for one in page["inferenceProfileSummaries"]
            }
        except ClientError as error:
            raise not_allowed(error, "bedrock:ListInferenceProfiles") from error

    def profile(self, arn: str) -> str:
        """Say which model is behind one profile. Raises NotAllowed."""
        try:
            return _model(self.bedrock.get_inference_profile(inferenceProfileIdentifier=arn))
        except ClientError as error:
            raise not_allowed(error, "bedrock:GetInferenceProfile") from error


def _model(profile: Any) -> str:
    """Name the model of a profile with the geography that its Regions make."""
    arns = [one["modelArn"] for one in profile["models"]]
    base = _last(arns[0])
    regions = [arn.split(":")[3] for arn in arns]
    if "" in regions:
        return f"global.{base}"
    return base if len(regions) == 1 else f"{GEOGRAPHIES.get(regions[0][:2], 'us')}.{base}"


def _last(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def not_allowed(error: ClientError, action: str) -> Exception:
    """Say which permission is missing, if that is what is wrong."""
    if code_of(error) not in DENIED:
        return error
    return NotAllowed(f"Your AWS identity may not do this: it needs the IAM action {action}.")
