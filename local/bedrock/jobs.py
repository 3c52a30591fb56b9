"""Model invocation jobs: what they are, which states may follow which, and how they are listed."""

import enum
import random
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from local.bedrock.errors import not_found
from local.bedrock.wire import Caller, iso


class Status(enum.StrEnum):
    """The states of a job, as the service model spells them."""

    SUBMITTED = "Submitted"
    VALIDATING = "Validating"
    SCHEDULED = "Scheduled"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    PARTIALLY_COMPLETED = "PartiallyCompleted"
    FAILED = "Failed"
    EXPIRED = "Expired"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


FOLLOWERS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.SUBMITTED: frozenset({Status.VALIDATING, Status.STOPPING}),
    Status.VALIDATING: frozenset({Status.SCHEDULED, Status.FAILED, Status.STOPPING}),
    Status.SCHEDULED: frozenset({Status.IN_PROGRESS, Status.EXPIRED, Status.STOPPING}),
    Status.IN_PROGRESS: frozenset(
        {Status.COMPLETED, Status.PARTIALLY_COMPLETED, Status.FAILED, Status.STOPPING}
    ),
    Status.STOPPING: frozenset({Status.STOPPED}),
}
TERMINAL: Final = frozenset(Status) - FOLLOWERS.keys()
DEFAULT_TIMEOUT_HOURS: Final = 24
_ARN = re.compile(
    r"arn:aws(?:-[^:]+)?:bedrock:([a-z0-9-]{1,20}):(\d{12}):model-invocation-job/([a-z0-9]{12})"
)
_ID_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Counters:
    """Records of a job: how many there are, and how many of them have an outcome."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def processed(self) -> int:
        return self.succeeded + self.failed

    def members(self) -> dict[str, int]:
        return {
            "totalRecordCount": self.total,
            "processedRecordCount": self.processed,
            "successRecordCount": self.succeeded,
            "errorRecordCount": self.failed,
        }


@dataclass(frozen=True)
class Job:
    """One job at one moment; every change makes a new value."""

    job_id: str
    owner: Caller
    request: Mapping[str, Any]
    model_id: str
    status: Status
    submitted: datetime
    modified: datetime
    ended: datetime | None = None
    message: str = ""
    counters: Counters = field(default_factory=Counters)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:bedrock:{self.owner.region}:{self.owner.account}:model-invocation-job/{self.job_id}"

    @property
    def name(self) -> str:
        return str(self.request["jobName"])

    @property
    def invocation_type(self) -> str:
        return str(self.request.get("modelInvocationType", "InvokeModel"))

    @property
    def input_uri(self) -> str:
        return str(self.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])

    @property
    def output(self) -> Mapping[str, str]:
        config: Mapping[str, str] = self.request["outputDataConfig"]["s3OutputDataConfig"]
        return config

    @property
    def timeout_hours(self) -> int:
        return int(self.request.get("timeoutDurationInHours", DEFAULT_TIMEOUT_HOURS))

    @property
    def expires(self) -> datetime:
        return self.submitted + timedelta(hours=self.timeout_hours)

    def moved(self, status: Status, now: datetime, message: str = "") -> "Job":
        """Return the job in its next state; ValueError for a transition that AWS never makes."""
        if status not in FOLLOWERS.get(self.status, frozenset()):
            raise ValueError(f"a job cannot go from {self.status} to {status}")
        ended = now if status in TERMINAL else None
        return replace(self, status=status, modified=now, ended=ended, message=message)

    def members(self) -> dict[str, Any]:
        """Return the members of GetModelInvocationJob's answer and of a list summary."""
        members = {
            "jobArn": self.arn,
            "jobName": self.name,
            "modelId": self.request["modelId"],
            "clientRequestToken": self.request.get("clientRequestToken"),
            "roleArn": self.request["roleArn"],
            "status": self.status.value,
            "message": self.message,
            "submitTime": iso(self.submitted),
            "lastModifiedTime": iso(self.modified),
            "endTime": iso(self.ended) if self.ended else None,
            "inputDataConfig": self.request["inputDataConfig"],
            "outputDataConfig": self.request["outputDataConfig"],
            "vpcConfig": self.request.get("vpcConfig"),
            "timeoutDurationInHours": self.timeout_hours,
            "jobExpirationTime": iso(self.expires),
            "modelInvocationType": self.invocation_type,
            **self.counters.members(),
        }
        return {name: value for name, value in members.items() if value is not None}


def new_id(entropy: random.Random) -> str:
    """Return twelve lower-case letters and digits, a letter first."""
    return entropy.choice(string.ascii_lowercase) + "".join(entropy.choices(_ID_LETTERS, k=11))


class JobStore:
    """Every job of the running emulator, in the order of submission."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tokens: dict[tuple[Caller, str], str] = {}
        self._names: dict[tuple[Caller, str], str] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._jobs

    def __getitem__(self, job_id: str) -> Job:
        return self._jobs[job_id]

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def save(self, job: Job) -> None:
        self._jobs[job.job_id] = job
        self._names[job.owner, job.name] = job.job_id
        if token := job.request.get("clientRequestToken"):
            self._tokens[job.owner, token] = job.job_id

    def clear(self) -> None:
        self._jobs.clear()
        self._tokens.clear()
        self._names.clear()

    def owned(self, caller: Caller) -> Iterator[Job]:
        return (job for job in self._jobs.values() if job.owner == caller)

    def by_name(self, caller: Caller, name: str) -> Job | None:
        job_id = self._names.get((caller, name))
        return self._jobs[job_id] if job_id else None

    def by_token(self, caller: Caller, token: str | None) -> Job | None:
        job_id = self._tokens.get((caller, token)) if token else None
        return self._jobs[job_id] if job_id else None

    def find(self, caller: Caller, identifier: str) -> Job:
        """Return the caller's job by ARN or bare id; ResourceNotFoundException otherwise."""
        if match := _ARN.fullmatch(identifier):
            region, account, job_id = match.groups()
            if (account, region) != (caller.account, caller.region):
                raise not_found(f"Could not find model invocation job {identifier}")
        else:
            job_id = identifier
        job = self._jobs.get(job_id)
        if job is None or job.owner != caller:
            raise not_found(f"Could not find model invocation job {identifier}")
        return job
