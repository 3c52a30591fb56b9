"""What is known of Bedrock's models: context, dialects, tiers, token ratios and quotas.

A model that the data files do not name works with their defaults; `Model.known` says so.
"""

import json
from functools import cache
from importlib import resources
from typing import Any, Final

from batchline.models import Frozen

# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
GEOGRAPHIES: Final = ("us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global.")


class Ratio(Frozen):
    """Tokens per UTF-8 byte, for ASCII and for all other characters."""

    ascii: float
    other: float
    basis: str


class Model(Frozen):
    """One foundation model, whichever of its inference profiles was named. Sizes are in tokens."""

    base_id: str
    known: bool
    context: int
    max_output: int
    batch: bool
    flex: bool
    structured_output: bool
    ratio: Ratio


class Limits(Frozen):
    """Bedrock's quotas for batch jobs of one model."""

    min_records: int
    max_records: int
    max_file_bytes: int
    max_job_bytes: int
    concurrent_jobs: int

    def slots(self, share: int) -> int:
        """Count the jobs that may run at once when we take `share` percent of the quota; at least one."""
        return max(1, self.concurrent_jobs * share // 100)


def base_id(model_id: str) -> str:
    """Name the model behind an id, an inference profile or an ARN: profiles share its quotas."""
    name = model_id.rsplit("/", 1)[-1]
    for geography in GEOGRAPHIES:
        if name.startswith(geography):
            return name.removeprefix(geography)
    return name


@cache
def model(model_id: str) -> Model:
    """Look up a model by any of its ids."""
    data = load("models.json")
    base = base_id(model_id)
    entry = data["default"] | data["models"].get(base, {})
    ratio = data["token_ratios"][entry.pop("tokens")]
    return Model(base_id=base, known=base in data["models"], ratio=Ratio(**ratio), **entry)


@cache
def limits(model_id: str) -> Limits:
    """Look up the quotas of a model's batch jobs."""
    data = load("limits.json")
    return Limits(**data["default"] | data["models"].get(base_id(model_id), {}))


def count_tokens(text: str, model_id: str) -> int:
    """Estimate the tokens of a text from its bytes; never 0 for a text that is not empty.

    The ratios lie at the upper end of what was measured per family, since the count guards limits.
    """
    ratio = model(model_id).ratio
    size = len(text.encode("utf-8", "surrogatepass"))
    plain = len(text.encode("ascii", "ignore"))
    return int(plain * ratio.ascii + (size - plain) * ratio.other + 0.999)


def load(name: str) -> dict[str, Any]:
    """Read one of the data files of this package."""
    text = resources.files("batchline").joinpath("data", name).read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
