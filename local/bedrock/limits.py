"""The quotas of Bedrock batch and of on-demand inference, as values that a test may lower.

Source of the defaults: https://docs.aws.amazon.com/general/latest/gr/bedrock.html. On-demand quotas
differ per account and are off until they are set.
"""

from pydantic import BaseModel, ConfigDict, Field

GIGABYTE = 1024**3


class Limits(BaseModel):
    """Counts are records or jobs, sizes are bytes, rates are per minute and base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_records: int = Field(default=100, ge=0)
    max_records_per_file: int = Field(default=100_000, ge=0)
    max_records_per_job: int = Field(default=100_000, ge=0)
    max_file_bytes: int = Field(default=GIGABYTE, ge=0)
    max_job_bytes: int = Field(default=5 * GIGABYTE, ge=0)
    max_large_job_bytes: int = Field(default=100 * GIGABYTE, ge=0)
    max_jobs_per_model: int = Field(default=100, ge=0)
    control_requests_per_minute: int | None = Field(default=None, ge=0)
    requests_per_minute: int | None = Field(default=None, ge=0)
    tokens_per_minute: int | None = Field(default=None, ge=0)
