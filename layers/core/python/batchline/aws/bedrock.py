"""Bedrock: batch jobs, with its errors sorted by what one can do about them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import (
    ClientError,
    HTTPClientError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from batchline.aws.dynamo import code_of

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_bedrock.type_defs import TagTypeDef

FULL: Final = frozenset({"ServiceQuotaExceededException", "ThrottlingException"})
UNSURE: Final = frozenset({"InternalServerException", "ServiceUnavailableException"})
NOT_STOPPABLE: Final = "ConflictException"
TERMINAL: Final = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})


class QuotaFull(Exception):
    """Bedrock takes no more jobs of this model now. Wait and try again."""


class Unanswered(Exception):
    """Nobody knows whether Bedrock has done it. Look before you try again."""


class NotAccepted(Exception):
    """Bedrock will never take this job as it is. Its sentence says why; do not try again."""


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job at Bedrock is, in Bedrock's words."""

    status: str
    message: str

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job to create. `token` makes a repeated request the same request.

    `invocation_type` is Converse or InvokeModel; `timeout_hours` is from 24 to 168, None for Bedrock's own.
    """

    name: str
    token: str
    model: str
    invocation_type: str
    role_arn: str
    input_uri: str
    output_uri: str
    job_id: str
    timeout_hours: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """A job as Bedrock's list shows it."""

    name: str
    arn: str


@dataclass(frozen=True, slots=True)
class Bedrock:
    """Bedrock's control plane."""

    client: "BedrockClient"

    def create(self, job: BatchJob) -> str:
        """Create a batch job and return its ARN. Raises QuotaFull, Unanswered or NotAccepted."""
        optional: Any = {"timeoutDurationInHours": job.timeout_hours} if job.timeout_hours else {}
        invocation_type: Any = job.invocation_type
        named = {**job.tags, "batchline:job": job.job_id}
        tags: list[TagTypeDef] = [{"key": key, "value": value} for key, value in named.items()]
        try:
            reply = self.client.create_model_invocation_job(
                jobName=job.name,
                clientRequestToken=job.token,
                roleArn=job.role_arn,
                modelId=job.model,
                modelInvocationType=invocation_type,
                inputDataConfig={"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": job.input_uri}},
                outputDataConfig={"s3OutputDataConfig": {"s3Uri": job.output_uri}},
                tags=tags,
                **optional,
            )
        except ClientError as error:
            if code_of(error) in FULL:
                raise QuotaFull(sentence(error)) from error
            if code_of(error) in UNSURE:
                raise Unanswered(sentence(error)) from error
            raise NotAccepted(sentence(error)) from error
        except (BotoConnectionError, HTTPClientError) as error:
            raise Unanswered(str(error)) from error
        return reply["jobArn"]

    def listed(self, name: str, *, after: datetime) -> Iterator[Listed]:
        """Yield the jobs submitted after a time whose names contain this one."""
        pages = self.client.get_paginator("list_model_invocation_jobs")
        for page in pages.paginate(nameContains=name, submitTimeAfter=after):
            for job in page.get("invocationJobSummaries", ()):
                yield Listed(job["jobName"], job["jobArn"])

    def find(self, name: str, *, after: datetime) -> str | None:
        """Find a job's ARN by its name among those submitted after a time."""
        return next((one.arn for one in self.listed(name, after=after) if one.name == name), None)

    def stop(self, arn: str) -> bool:
        """Stop a job. False: it has ended already, or is about to. Raises Unanswered when it may run on.

        Any other error is raised as it comes: nothing but the stack's own permissions explains it.
        """
        try:
            self.client.stop_model_invocation_job(jobIdentifier=arn)
        except ClientError as error:
            if code_of(error) in FULL | UNSURE:
                raise Unanswered(sentence(error)) from error
            if code_of(error) != NOT_STOPPABLE:
                raise
            return False
        except (BotoConnectionError, HTTPClientError) as error:
            raise Unanswered(str(error)) from error
        return True

    def state(self, arn: str) -> JobState:
        reply = self.client.get_model_invocation_job(jobIdentifier=arn)
        return JobState(reply["status"], reply.get("message", ""))


def sentence(error: ClientError) -> str:
    """Say an error in AWS's own words."""
    said = error.response.get("Error", {})
    return f"{said.get('Code', 'Error')}: {said.get('Message', '')}"
