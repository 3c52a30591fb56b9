"""Service Quotas' own names, read into limits."""

import pytest
from batchline import quotas
from batchline.quotas import Quota

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "anthropic.claude-3-5-sonnet-20241022-v2:0"
SUM = "Sum of in-progress and submitted batch inference jobs using a base model for"


@pytest.mark.parametrize(
    ("name", "value", "model", "limits"),
    [
        (
            f"{SUM} Claude 3.5 Sonnet v2",
            20.0,
            SONNET,
            {"concurrent_jobs": 20},
        ),
        (
            "Minimum number of records per batch inference job for Nova Pro V1",
            1000.0,
            "amazon.nova-pro-v1:0",
            {"min_records": 1000},
        ),
        (
            "Records per batch inference job for OpenAI GPT OSS 120b",
            50000.0,
            "openai.gpt-oss-120b-1:0",
            {"max_records": 50000},
        ),
        (
            "Batch inference input file size (in GB) for Llama 3.3 70B Instruct",
            2.0,
            "meta.llama3-3-70b-instruct-v1:0",
            {"max_file_bytes": 2 * 10**9},
        ),
        (
            "Batch inference job size for Qwen3 32B (in GB)",
            5.0,
            "qwen.qwen3-32b-v1:0",
            {"max_job_bytes": 5 * 10**9},
        ),
        (
            "Batch inference input file size for Titan Text Embeddings V2 (in GB)",
            1.0,
            "amazon.titan-embed-text-v2:0",
            {"max_file_bytes": 10**9},
        ),
        (
            "Batch inference job size (in GB) for Mistral Large 2 (24.07)",
            5.0,
            "mistral.mistral-large-2407-v1:0",
            {"max_job_bytes": 5 * 10**9},
        ),
        (
            "On-demand model inference requests per minute for Amazon Titan Text Embeddings V2",
            600.0,
            "amazon.titan-embed-text-v2:0",
            {"requests_per_minute": 600},
        ),
        (
            "Cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5",
            5e6,
            f"cross-region.{HAIKU}",
            {"tokens_per_minute": 5_000_000},
        ),
        (
            "Global cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5 V1",
            4e6,
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            {"tokens_per_minute": 4_000_000},
        ),
    ],
)
def test_a_quota_is_read_by_its_name(name: str, value: float, model: str, limits: dict[str, int]) -> None:
    assert quotas.read([Quota(name, value)]) == {model: limits}


@pytest.mark.parametrize(
    "name",
    [
        "Records per input file per batch inference job for Claude 3 Opus",
        "Model invocation max tokens per day for Anthropic Claude Haiku 4.5 (doubled for cross-region calls)",
        "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5 V1 1M Context Length",
        "On-demand model inference tokens per minute for Nobody's Model",
        "(Knowledge Bases) Ingestion job size",
    ],
)
def test_other_quotas_are_passed_over(name: str) -> None:
    assert quotas.read([Quota(name, 7.0)]) == {}


def test_a_model_that_an_account_may_not_use_at_all_keeps_its_defaults() -> None:
    name = "Cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5"
    assert quotas.read([Quota(name, 0.0)]) == {}


def test_only_what_differs_is_kept() -> None:
    found = {HAIKU: {"concurrent_jobs": 20, "max_records": 100_000}, f"global.{HAIKU}": {"min_records": 100}}
    assert quotas.changed(found) == {HAIKU: {"concurrent_jobs": 20}}
