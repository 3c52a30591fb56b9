"""The environment of each function, read once. Nothing else reads environment variables."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _or_none(value: object) -> object:
    """Take an empty variable for one that is not set."""
    return None if value == "" else value


class Shared(BaseSettings):
    """What every function has. `limits`: quotas as JSON that come before all others, or nothing."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    limits: str = ""


class Function(BaseSettings):
    """What Lambda says of the function itself. `memory_mb`: elsewhere the template's own value."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    memory_mb: int = Field(default=1_024, ge=1, validation_alias="AWS_LAMBDA_FUNCTION_MEMORY_SIZE")


class Chunk(Shared):
    """What the chunk function needs."""

    work_bucket: str
    documents_table: str
    control_table: str
    uploads_queue: str
    wake_queue: str
    documents_queue: str


class Pack(Shared):
    """What the pack function needs.

    `slot_share`: percent of a model's job quota that we may use; `budget_per_month`: USD, or no limit.
    """

    work_bucket: str
    documents_table: str
    jobs_table: str
    control_table: str
    jobs_queue: str
    on_demand_queue: str
    job_events_queue: str
    documents_queue: str
    wake_queue: str
    slot_share: int = Field(default=80, ge=1, le=100)
    budget_per_month: Annotated[Decimal | None, BeforeValidator(_or_none)] = Field(default=None, ge=0)


class Submit(Shared):
    """What the submit function needs. `job_prefix` starts the name of each of our jobs at Bedrock."""

    work_bucket: str
    jobs_table: str
    control_table: str
    job_events_queue: str
    bedrock_role_arn: str
    job_prefix: str
    slot_share: int = Field(default=80, ge=1, le=100)


class Invoke(Shared):
    """What the invoke function needs."""

    work_bucket: str
    jobs_table: str
    control_table: str
    on_demand_queue: str
    job_events_queue: str


class Collect(Shared):
    """What the collect function needs. `retention_days`: how long answers to single records are kept."""

    work_bucket: str
    documents_table: str
    results_table: str
    jobs_table: str
    costs_table: str
    control_table: str
    documents_queue: str
    wake_queue: str
    job_events_queue: str
    job_prefix: str
    retention_days: int = Field(ge=1)


class Aggregate(Shared):
    """What the aggregate function needs."""

    work_bucket: str
    documents_table: str
    results_table: str
    control_table: str
    wake_queue: str


class Reconcile(Shared):
    """What the reconcile function needs."""

    work_bucket: str
    documents_table: str
    jobs_table: str
    costs_table: str
    control_table: str
    uploads_queue: str
    wake_queue: str
    jobs_queue: str
    on_demand_queue: str
    job_events_queue: str
    documents_queue: str
    job_prefix: str
