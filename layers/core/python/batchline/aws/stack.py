"""A deployed stack as somebody at a terminal finds it: by its name, with their own credentials."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from botocore import exceptions as botocore
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from batchline.aws import clients
from batchline.aws.approve import Approver
from batchline.aws.audit import Auditor
from batchline.aws.cancel import Canceller
from batchline.aws.control import Control
from batchline.aws.costs import Costs
from batchline.aws.documents import Documents
from batchline.aws.dynamo import code_of
from batchline.aws.inbox import Inbox
from batchline.aws.jobs import Jobs
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.results import Results
from batchline.aws.retry import Retrier
from batchline.aws.review import Reviewer
from batchline.aws.shards import Shards
from batchline.errors import BatchlineError

NO_CREDENTIALS: Final = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.LoginError,
    botocore.ProfileNotFound,
    botocore.SSOError,
    botocore.TokenRetrievalError,
    botocore.UnauthorizedSSOTokenError,
)
UNREACHABLE: Final = (botocore.ConnectionError, botocore.HTTPClientError)
STALE: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
GONE: Final = frozenset({"NoSuchBucket", "ResourceNotFoundException"})


class StackError(BatchlineError):
    """The stack cannot be reached or read; the message is a sentence that says what to do."""


class Outputs(BaseModel):
    """The outputs of the stack that lead to its stores, and its parameters that people are told of."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    inbox_bucket: str = Field(alias="InboxBucket")
    work_bucket: str = Field(alias="WorkBucket")
    documents_table: str = Field(alias="DocumentsTable")
    results_table: str = Field(alias="ResultsTable")
    jobs_table: str = Field(alias="JobsTable")
    costs_table: str = Field(alias="CostsTable")
    control_table: str = Field(alias="ControlTable")
    per_month: Annotated[Decimal | None, BeforeValidator(lambda said: said or None)] = Field(
        default=None, alias="BudgetPerMonth"
    )
    uploads_queue: str = Field(alias="UploadsQueue")
    wake_queue: str = Field(alias="WakeQueue")
    jobs_queue: str = Field(alias="JobsQueue")
    on_demand_queue: str = Field(alias="OnDemandQueue")
    job_events_queue: str = Field(alias="JobEventsQueue")
    documents_queue: str = Field(alias="DocumentsQueue")


@dataclass(frozen=True, slots=True)
class Queues:
    """The queue in front of each stage."""

    uploads: Queue
    wake: Queue
    jobs: Queue
    on_demand: Queue
    job_events: Queue
    documents: Queue

    def by_stage(self) -> dict[str, Queue]:
        """Name the queues as the command line does, in the order of the stages."""
        return {
            "uploads": self.uploads,
            "wake": self.wake,
            "jobs": self.jobs,
            "on-demand": self.on_demand,
            "job-events": self.job_events,
            "documents": self.documents,
        }


@dataclass(frozen=True, slots=True)
class Stack:
    """The stores of one stack. `per_month` is its budget of a month, in USD."""

    name: str
    inbox_bucket: str
    inbox: Inbox
    work: Work
    documents: Documents
    results: Results
    jobs: Jobs
    costs: Costs
    control: Control
    pipelines: Pipelines
    queues: Queues
    per_month: Decimal | None

    @classmethod
    def connect(cls, name: str) -> Self:
        """Find a stack by its name. Raises StackError."""
        outputs = _outputs(name)
        dynamodb, s3, sqs = clients.dynamodb(), clients.s3(), clients.sqs()
        work = Work(s3, outputs.work_bucket)
        control = Control(dynamodb, outputs.control_table)
        return cls(
            name=name,
            inbox_bucket=outputs.inbox_bucket,
            inbox=Inbox(s3),
            work=work,
            documents=Documents(dynamodb, outputs.documents_table),
            results=Results(dynamodb, outputs.results_table),
            jobs=Jobs(dynamodb, outputs.jobs_table),
            costs=Costs(dynamodb, outputs.costs_table),
            control=control,
            pipelines=Pipelines(control, work),
            queues=Queues(
                uploads=Queue(sqs, outputs.uploads_queue),
                wake=Queue(sqs, outputs.wake_queue),
                jobs=Queue(sqs, outputs.jobs_queue),
                on_demand=Queue(sqs, outputs.on_demand_queue),
                job_events=Queue(sqs, outputs.job_events_queue),
                documents=Queue(sqs, outputs.documents_queue),
            ),
            per_month=outputs.per_month,
        )

    def auditor(self) -> Auditor:
        return Auditor(self.documents, self.results, self.jobs, self.costs, self.control, self.work)

    def reviewer(self, now: Callable[[], datetime]) -> Reviewer:
        """Settle reviews in the name of whose credentials are used."""
        by = clients.sts().get_caller_identity()["Arn"]
        return Reviewer(self.documents, self.work, self.pipelines, self.queues.documents, by, now)

    def retrier(self, now: Callable[[], datetime]) -> Retrier:
        return Retrier(
            documents=self.documents,
            results=self.results,
            jobs=self.jobs,
            control=self.control,
            work=self.work,
            shards=Shards(self.control, self.work),
            pipelines=self.pipelines,
            uploads_queue=self.queues.uploads,
            wake_queue=self.queues.wake,
            clock=now,
        )

    def approver(self, now: Callable[[], datetime]) -> Approver:
        return Approver(self.documents, self.control, self.queues.wake, self.queues.documents, now)

    def canceller(self, now: Callable[[], datetime]) -> Canceller:
        return Canceller(
            documents=self.documents,
            jobs=self.jobs,
            control=self.control,
            work=self.work,
            wake_queue=self.queues.wake,
            jobs_queue=self.queues.jobs,
            on_demand_queue=self.queues.on_demand,
            documents_queue=self.queues.documents,
            clock=now,
        )

    @property
    def on_aws(self) -> bool:
        """Tell whether what is done here costs real money, as it does not on a local cloud."""
        host = urlsplit(clients.s3().meta.endpoint_url).hostname or ""
        return ".amazonaws.com" in host


def _outputs(name: str) -> Outputs:
    client = clients.cloudformation()
    place = f"in {client.meta.region_name}"
    if not client.meta.endpoint_url.startswith("https://cloudformation."):
        place += f" at {client.meta.endpoint_url}"
    try:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
    except botocore.ClientError as error:
        if code_of(error) != "ValidationError":
            raise
        raise StackError(
            f"There is no stack {name!r} {place}: deploy it with `sam deploy` (on this machine `batchline "
            "local deploy`), or name another with --stack or BATCHLINE_STACK, and its Region with --region."
        ) from error
    found = {one.get("ParameterKey"): one.get("ParameterValue") for one in stack.get("Parameters", ())}
    found |= {one.get("OutputKey"): one.get("OutputValue") for one in stack.get("Outputs", ())}
    try:
        return Outputs.model_validate(found)
    except ValidationError as error:
        missing = ", ".join(str(one["loc"][0]) for one in error.errors(include_url=False))
        raise StackError(
            f"The stack {name!r} {place} is {stack['StackStatus']} and has no output {missing}: is it "
            "Batchline? Name another with --stack or BATCHLINE_STACK."
        ) from error


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the errors of AWS that people meet into a StackError; all others fly on as they are."""
    try:
        yield
    except botocore.NoRegionError as error:
        raise StackError(
            "No Region is set: add --region or set AWS_REGION, or add --local for the local cloud."
        ) from error
    except NO_CREDENTIALS as error:
        raise StackError(
            f"No usable AWS credentials ({_said(error)}): set AWS_PROFILE or sign in with `aws login`, or "
            "add --local for the local cloud."
        ) from error
    except UNREACHABLE as error:
        raise StackError(_unreachable(error)) from error
    except botocore.ClientError as error:
        sentence = _refused(error)
        if sentence is None:
            raise
        raise StackError(sentence) from error


def _said(error: Exception) -> str:
    return str(error).rstrip(".").partition("\n")[0]


def _unreachable(error: botocore.BotoCoreError) -> str:
    url = urlsplit(getattr(error, "kwargs", {}).get("endpoint_url") or "https://amazonaws.com")
    endpoint = f"{url.scheme}://{url.netloc}"
    if "amazonaws.com" in endpoint:
        return f"No answer from AWS: look at the network and the Region ({_said(error)})."
    return (
        f"Nothing answers at {endpoint}: the local cloud does not run. Start it with `make demo` or "
        "`batchline local up`, or unset AWS_ENDPOINT_URL to use AWS."
    )


def _refused(error: botocore.ClientError) -> str | None:
    """Say what to do about a refusal. None: nobody at a terminal can do anything."""
    code, action = code_of(error), error.operation_name
    said = error.response.get("Error", {}).get("Message", "")
    if code in STALE:
        return f"AWS does not take the credentials ({code}): sign in again, or set AWS_PROFILE."
    if code in DENIED:
        return f"Your AWS identity may not call {action}: {said}"
    if code in GONE:
        return f"Something of the stack is gone ({action}: {said}): look at the stack, or name another."
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"AWS cannot answer {action} now ({code}): try again."
    return None
