"""Quotas: what Service Quotas calls a model's limits, read into the words of `catalog.Limits`.

https://docs.aws.amazon.com/general/latest/gr/bedrock.html#limits_bedrock
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from batchline import catalog

GIGABYTE: Final = 1_000_000_000
_BATCH: Final = (
    (r"minimum number of records per batch inference job for (.+)", "min_records", 1),
    (r"records per batch inference job for (.+)", "max_records", 1),
    (r"batch inference input file size \(in gb\) for (.+)", "max_file_bytes", GIGABYTE),
    (r"batch inference input file size for (.+) \(in gb\)", "max_file_bytes", GIGABYTE),
    (r"batch inference job size \(in gb\) for (.+)", "max_job_bytes", GIGABYTE),
    (r"batch inference job size for (.+) \(in gb\)", "max_job_bytes", GIGABYTE),
    (
        r"sum of in-progress and submitted batch inference jobs using a base model for (.+)",
        "concurrent_jobs",
        1,
    ),
)
_RATE: Final = r"(on-demand|cross-region|global cross-region)(?: model inference| invokemodel)"
_RATES: Final = (
    (_RATE + r" requests per minute for (.+)", "requests_per_minute"),
    (_RATE + r" tokens per minute for (.+)", "tokens_per_minute"),
)
_SCOPES: Final = {
    "on-demand": "",
    "cross-region": catalog.CROSS_REGION,
    "global cross-region": catalog.GLOBAL,
}
# Words that some quotas have before or after a model's name, and others have not.
_MAKERS: Final = (
    r"^(amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral ai|mistral|moonshot ai|nvidia|openai|"
    r"qwen|writer|ai21 labs) "
)
_VERSION: Final = r"( v1| instruct| \(24\.07\)| a[0-9]+b)+$"


@dataclass(frozen=True, slots=True)
class Quota:
    """One of Service Quotas' rows."""

    name: str
    value: float


def read(quotas: Iterable[Quota]) -> dict[str, dict[str, int]]:
    """Say what the quotas allow, by a model's id with `cross-region.` or `global.` before it for profiles.

    Quotas of other things and of models that the data file does not name are passed over, as are those of
    0, which AWS gives to accounts that may not use a model at all: Bedrock says so better than we can.
    """
    ids = {_plain(catalog.model(one).name): one for one in catalog.known_models()}
    found: dict[str, dict[str, int]] = {}
    for quota in quotas:
        for scope, model, limit, value in _readings(quota):
            if value > 0 and (known := ids.get(_plain(model))):
                found.setdefault(scope + known, {})[limit] = value
    return found


def _readings(quota: Quota) -> Iterable[tuple[str, str, str, int]]:
    name = quota.name.lower()
    for pattern, limit, unit in _BATCH:
        if match := re.fullmatch(pattern, name):
            yield "", match[1], limit, int(quota.value * unit)
            return
    for pattern, limit in _RATES:
        if match := re.fullmatch(pattern, name):
            yield _SCOPES[match[1]], match[2], limit, int(quota.value)
            return


def _plain(name: str) -> str:
    """Bring a model's name into a form that is the same wherever AWS writes it."""
    plain = re.sub(_MAKERS, "", name.lower())
    return re.sub(r"[^a-z0-9.]", "", re.sub(_VERSION, "", plain))


def changed(found: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Keep what differs from the data file."""
    plain = {name: catalog.default_limits(name).model_dump() for name in found}
    kept = {
        name: {limit: value for limit, value in limits.items() if plain[name][limit] != value}
        for name, limits in found.items()
    }
    return {name: limits for name, limits in sorted(kept.items()) if limits}
