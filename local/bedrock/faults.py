"""Faults on demand: what to break, how often, and the same way every time for the same seed."""

import enum
import hashlib
import random
import threading
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from local.bedrock.errors import STATUS_BY_CODE, ApiError

Share = Annotated[float, Field(ge=0, le=1)]
_MESSAGES: Final = {
    400: "The model returned the following errors: Malformed input request",
    403: "You invoked an unsupported model or your request did not allow prompt caching.",
    408: "Model has timed out in processing the request.",
    424: "The model returned an error while it processed the request.",
    429: "Too many requests, please wait before trying again.",
    500: "Internal server error",
    503: "Bedrock is unable to process your request.",
}
_RETRYABLE: Final = frozenset({408, 424, 429, 500, 503})


class Distortion(enum.StrEnum):
    """What is done to a model's answer."""

    MALFORMED = "malformed"
    TRUNCATED = "truncated"


class ApiFault(BaseModel):
    """Make API calls fail: `operation` as the service model names it or `*`, `times` at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: str = "*"
    code: str = "ThrottlingException"
    message: str = "Rate exceeded"
    share: Share = 1
    times: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.code not in STATUS_BY_CODE:
            raise ValueError(f"unknown error code {self.code}; known: {', '.join(STATUS_BY_CODE)}")
        return self


class Faults(BaseModel):
    """One plan of faults. Shares are fractions of records, calls or events; all default to none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    only_jobs: str = ""
    record_errors: Share = 0
    record_error_codes: tuple[int, ...] = Field(default=(400,), min_length=1)
    malformed_answers: Share = 0
    truncated_answers: Share = 0
    missing_lines: Share = 0
    duplicate_lines: Share = 0
    fail_jobs: str | None = None
    expire_jobs: bool = False
    complete_only: Share | None = None
    stop_at: Share | None = None
    seconds_per_record: float = Field(default=0, ge=0)
    api: tuple[ApiFault, ...] = ()
    lost_events: Share = 0
    doubled_events: Share = 0
    late_events: Share = 0
    late_seconds: float = Field(default=5, ge=0)
    s3_denied: frozenset[str] = frozenset()

    @model_validator(mode="after")
    def _sides(self) -> Self:
        if not self.s3_denied <= {"input", "output"}:
            raise ValueError("s3_denied holds `input`, `output` or both")
        return self

    def for_job(self, name: str) -> "Faults":
        """Return the plan for a job, which is no fault at all if its name is not meant."""
        return self if self.only_jobs in name else Faults(seed=self.seed)

    def records_until_end(self, total: int) -> int:
        """Return after how many records a job ends early; more than `total` where it does not.

        A job that fails does so half way.
        """
        shares = [0.5 if self.fail_jobs is not None else None, self.stop_at, self.complete_only]
        return min((int(share * total) for share in shares if share is not None), default=total + 1)

    def record_error(self, record_id: str) -> dict[str, object] | None:
        """Return the `error` of an output line, or None where the record shall be answered."""
        if not self._hits("error", record_id, self.record_errors):
            return None
        at = int(_fraction(self.seed, "code", record_id) * len(self.record_error_codes))
        code = self.record_error_codes[at]
        return error_member(code, _MESSAGES.get(code, "The record could not be processed."))

    def distortion(self, record_id: str) -> Distortion | None:
        if self._hits("malformed", record_id, self.malformed_answers):
            return Distortion.MALFORMED
        if self._hits("truncated", record_id, self.truncated_answers):
            return Distortion.TRUNCATED
        return None

    def copies(self, record_id: str) -> int:
        """Return how many output lines a record gets: none, one or two."""
        if self._hits("missing", record_id, self.missing_lines):
            return 0
        return 2 if self._hits("duplicate", record_id, self.duplicate_lines) else 1

    def event_delays(self, arn: str, status: str) -> list[float]:
        """Return when an event is delivered, in seconds from now, once for each delivery."""
        key = f"{arn}/{status}"
        if self._hits("lost", key, self.lost_events):
            return []
        times = 2 if self._hits("doubled", key, self.doubled_events) else 1
        late = self._hits("late", key, self.late_events)
        delay = _fraction(self.seed, "delay", key) * self.late_seconds if late else 0.0
        return [delay] * times

    def _hits(self, kind: str, key: str, share: float) -> bool:
        return share > 0 and _fraction(self.seed, kind, key) < share


def error_member(code: int, message: str) -> dict[str, object]:
    """Return the `error` object of an output line."""
    return {
        "errorCode": code,
        "errorMessage": message,
        "expired": False,
        "retryable": code in _RETRYABLE,
    }


def _fraction(seed: int, kind: str, key: str) -> float:
    digest = hashlib.blake2b(f"{seed}/{kind}/{key}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest()) / 2**64


class FaultBoard:
    """The plan in force, and the memory that faults on API calls need."""

    def __init__(self, plan: Faults) -> None:
        self._lock = threading.Lock()
        self.replace(plan)

    @property
    def plan(self) -> Faults:
        return self._plan

    def replace(self, plan: Faults) -> None:
        with self._lock:
            self._plan = plan
            self._used = [0] * len(plan.api)
            self._random = random.Random(plan.seed)  # noqa: S311 - chance for tests, not secrets

    def api_error(self, operation: str) -> ApiError | None:
        """Return the error that this call shall get, if any."""
        with self._lock:
            for at, fault in enumerate(self._plan.api):
                if fault.operation not in {"*", operation}:
                    continue
                if fault.times is not None and self._used[at] >= fault.times:
                    continue
                if self._random.random() < fault.share:
                    self._used[at] += 1
                    return ApiError(fault.code, fault.message)
        return None
