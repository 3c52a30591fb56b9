"""The models and inference profiles that the emulator knows: `data/models.json`, read once."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from local.bedrock.errors import invalid, not_found

_DATA = Path(__file__).parent / "data" / "models.json"
_ARN = re.compile(
    r"arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]*:(?:\d{12})?:"
    r"(?:foundation-model|inference-profile|application-inference-profile)/(.+)"
)


class CharactersPerToken(BaseModel):
    """How many characters one token holds, in Latin script and in Chinese or Japanese."""

    model_config = ConfigDict(frozen=True)

    latin: float
    cjk: float
    basis: str


class Model(BaseModel):
    """One foundation model: what it accepts, where it runs and how it is metered."""

    model_config = ConfigDict(frozen=True)

    model_id: str
    name: str
    provider: str
    dialect: str
    tokens: str
    batch: bool
    on_demand: bool
    profiles: tuple[str, ...]
    max_output_tokens: int
    output_burndown: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    streaming: bool
    large_jobs: bool
    one_of_temperature_and_top_p: bool
    count_tokens: bool
    tiers: bool
    latency_optimized: bool = False

    def arn(self, region: str) -> str:
        return f"arn:aws:bedrock:{region}::foundation-model/{self.model_id}"

    def summary(self, region: str) -> dict[str, Any]:
        return {
            "modelArn": self.arn(region),
            "modelId": self.model_id,
            "modelName": self.name,
            "providerName": self.provider,
            "inputModalities": list(self.inputs),
            "outputModalities": list(self.outputs),
            "responseStreamingSupported": self.streaming,
            "customizationsSupported": [],
            "inferenceTypesSupported": ["ON_DEMAND"] if self.on_demand else [],
            "modelLifecycle": {"status": "ACTIVE"},
        }


class _Catalog(BaseModel):
    model_config = ConfigDict(frozen=True)

    read: str
    regions: Mapping[str, tuple[str, ...]]
    characters_per_token: Mapping[str, CharactersPerToken]
    models: tuple[Model, ...]


@functools.cache
def _catalog() -> _Catalog:
    return _Catalog.model_validate_json(_DATA.read_bytes())


@functools.cache
def _by_id() -> dict[str, tuple[Model, str | None]]:
    """Index models by plain id and by profile id, the latter with the profile's prefix."""
    index: dict[str, tuple[Model, str | None]] = {}
    for model in _catalog().models:
        index[model.model_id] = (model, None)
        index |= {f"{prefix}.{model.model_id}": (model, prefix) for prefix in model.profiles}
    return index


def characters_per_token(family: str) -> CharactersPerToken:
    return _catalog().characters_per_token[family]


def models() -> tuple[Model, ...]:
    return _catalog().models


def foundation_model(identifier: str) -> Model:
    """Return a model by id or ARN, not by profile; ResourceNotFoundException otherwise."""
    model, prefix = _by_id().get(_plain(identifier), (None, None))
    if model is None or prefix is not None:
        raise not_found(f"Could not resolve the foundation model from the identifier: {identifier}")
    return model


def invocable(identifier: str, *, batch: bool) -> Model:
    """Return the model that an invocation or job names, by id, profile id or ARN.

    ValidationException where it is unknown, needs an inference profile, or has no batch inference.
    """
    model, prefix = _by_id().get(_plain(identifier), (None, None))
    if model is None:
        raise invalid("The provided model identifier is invalid.")
    if prefix is None and not model.on_demand:
        raise invalid(
            f"Invocation of model ID {model.model_id} with on-demand throughput isn’t supported. "
            "Retry your request with the ID or ARN of an inference profile that contains this "
            "model."
        )
    if batch and not model.batch:
        raise invalid(f"Batch inference is not supported for model {identifier}.")
    return model


def countable(identifier: str) -> Model:
    """Return the model whose tokens can be counted; ValidationException otherwise.

    A model's own id is asked for, also where only a profile can be invoked; a profile is refused.
    """
    model, prefix = _by_id().get(_plain(identifier), (None, None))
    if model is None:
        raise invalid("The provided model identifier is invalid.")
    if prefix is not None or not model.count_tokens:
        raise invalid("The provided model doesn't support counting tokens.")
    return model


def profiles(region: str, account: str) -> list[dict[str, Any]]:
    """Return the system-defined inference profiles that can be called from `region`."""
    return [
        _profile(model, prefix, region, account)
        for model in models()
        for prefix in model.profiles
        if prefix == "global" or region in _catalog().regions[prefix]
    ]


def profile(identifier: str, region: str, account: str) -> dict[str, Any]:
    """Return one inference profile by id or ARN; ResourceNotFoundException otherwise."""
    for candidate in profiles(region, account):
        if candidate["inferenceProfileId"] == _plain(identifier):
            return candidate
    raise not_found(f"Inference profile {identifier} not found")


def _profile(model: Model, prefix: str, region: str, account: str) -> dict[str, Any]:
    profile_id = f"{prefix}.{model.model_id}"
    label = "Global" if prefix == "global" else prefix.upper()
    # The service model allows at most five member models.
    regions = (_catalog().regions[prefix] or (region,))[:5]
    return {
        "inferenceProfileName": f"{label} {model.name}".replace(".", "-").replace("+", "-Plus"),
        "description": f"Routes requests to {model.name} in {label} Regions".replace("+", "-Plus"),
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "inferenceProfileArn": (f"arn:aws:bedrock:{region}:{account}:inference-profile/{profile_id}"),
        "models": [{"modelArn": model.arn(where)} for where in regions],
        "inferenceProfileId": profile_id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _plain(identifier: str) -> str:
    match = _ARN.fullmatch(identifier)
    return match[1] if match else identifier
