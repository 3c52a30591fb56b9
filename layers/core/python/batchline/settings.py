"""The environment of each function, read once. Nothing else reads environment variables."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Chunk(_Settings):
    """What the chunk function needs."""

    work_bucket: str
    documents_table: str
    control_table: str
    uploads_queue: str
    wake_queue: str
    documents_queue: str


class Pack(_Settings):
    """What the pack function needs. `slot_share`: percent of a model's job quota that we may use."""

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


class Submit(_Settings):
    """What the submit function needs. `job_prefix` starts the name of each of our jobs at Bedrock."""

    work_bucket: str
    jobs_table: str
    control_table: str
    job_events_queue: str
    bedrock_role_arn: str
    job_prefix: str
    slot_share: int = Field(default=80, ge=1, le=100)


class Invoke(_Settings):
    """What the invoke function needs."""

    work_bucket: str
    jobs_table: str
    control_table: str
    on_demand_queue: str
    job_events_queue: str


class Collect(_Settings):
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


class Aggregate(_Settings):
    """What the aggregate function needs."""

    work_bucket: str
    documents_table: str
    results_table: str
    control_table: str
    wake_queue: str


class Reconcile(_Settings):
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
