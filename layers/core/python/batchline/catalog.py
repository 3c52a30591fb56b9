"""What is known of Bedrock's models: context, dialects, tiers, parameters, tokens and quotas.

A model that the data files do not name works with their defaults; `Model.known` says so. What an account
says of itself (`adopt`) comes before the data files: its quotas, and the models behind its own profiles.
"""

import json
import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from batchline.errors import BatchlineError
from batchline.models import Frozen

# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
GEOGRAPHIES: Final = ("us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global.")
CONVERSE: Final = "converse"
# How the quotas of calls through a profile are named: those of one geography share theirs.
GLOBAL: Final = "global."
CROSS_REGION: Final = "cross-region."
APPLICATION_PROFILE: Final = re.compile(r"arn:.*:application-inference-profile/[A-Za-z0-9]+")
# arn:…:custom-model/<base model>[:<context>]/<id>; an imported model does not say its base.
CUSTOM_MODEL: Final = re.compile(r"arn:.*:custom-model/([^/]+)/[A-Za-z0-9]+")


class Model(Frozen):
    """One foundation model, whichever of its inference profiles was named. Sizes are in tokens.

    `parameters` are the keys of a pipeline's `inference` that it takes; of those in `one_of` it takes one
    at a time. `dimensions` are the lengths of an embedding, the usual one first; a model that chats has
    none. An output token counts `burndown` times towards the quota of tokens per minute. `retires` is
    the date from which on Bedrock may not have it any more.
    """

    base_id: str
    known: bool
    name: str
    context: int
    max_output: int
    batch: bool
    flex: bool
    priority: bool
    structured_output: bool
    vision: bool
    system: bool
    dialect: str
    dimensions: tuple[int, ...]
    parameters: tuple[str, ...]
    one_of: tuple[str, ...]
    burndown: int
    profile_only: bool
    profiles: tuple[str, ...]
    retires: date | None
    tokens: str

    @property
    def embeds(self) -> bool:
        """Tell whether it answers with a vector."""
        return bool(self.dimensions)

    @property
    def invocation_type(self) -> str:
        """Name what Bedrock calls a request in this model's dialect."""
        return "Converse" if self.dialect == CONVERSE else "InvokeModel"


class Limits(Frozen):
    """Bedrock's quotas of one model: of its batch jobs, and of single calls per minute (None: unknown)."""

    min_records: int = Field(ge=1)
    max_records: int = Field(ge=1)
    max_file_bytes: int = Field(ge=1)
    max_job_bytes: int = Field(ge=1)
    concurrent_jobs: int = Field(ge=0)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)

    def slots(self, share: int) -> int:
        """Count the jobs that may run at once when we take `share` percent of the quota; at least one."""
        return max(1, self.concurrent_jobs * share // 100)


class AccountError(BatchlineError):
    """What an account says of itself cannot be used; the message says where and why."""


MEND_FILE: Final = "Correct it, write it anew with `batchline limits refresh`, or delete it."
MEND_LIMITS: Final = 'Deploy with JSON such as {"amazon.nova-lite-v1:0": {"concurrent_jobs": 20}}.'
_QUOTAS: Final = TypeAdapter(dict[str, dict[str, int]])


class Account(Frozen):
    """What is known of one account in one Region, as `limits.json` in the work bucket holds it.

    `models` holds quotas that differ from the data file by a model's id, with `cross-region.` or `global.`
    before it for calls through a profile. `profiles` leads from an application inference profile (the last
    part of its ARN) to its model.
    """

    source: str
    read_at: str
    models: Mapping[str, Mapping[str, int]] = Field(default_factory=dict)
    profiles: Mapping[str, str] = Field(default_factory=dict)

    @classmethod
    def load(cls, data: bytes) -> "Account":
        """Read the file. Raises AccountError."""
        try:
            found = cls.model_validate_json(data)
        except ValidationError as error:
            raise AccountError(
                f"limits.json in the work bucket cannot be used: {_said(error)}. {MEND_FILE}"
            ) from error
        for name, quotas in found.models.items():
            if wrong := _wrong(name, quotas):
                raise AccountError(f"limits.json in the work bucket cannot be used: {wrong}. {MEND_FILE}")
        return found

    def limited(self, text: str) -> "Account":
        """Let quotas by model, as JSON, come before those of the file. Raises AccountError."""
        if not text:
            return self
        try:
            own = _QUOTAS.validate_json(text)
        except ValidationError as error:
            raise AccountError(
                f"The parameter Limits cannot be used: {_said(error)}. {MEND_LIMITS}"
            ) from error
        for name, quotas in own.items():
            if wrong := _wrong(name, quotas):
                raise AccountError(f"The parameter Limits cannot be used: {wrong}. {MEND_LIMITS}")
        models = {name: {**self.models.get(name, {}), **own.get(name, {})} for name in {*self.models, *own}}
        return self.model_copy(update={"models": models})


NO_ACCOUNT: Final = Account(source="", read_at="")
_account = [NO_ACCOUNT]


def adopt(account: Account) -> None:
    """Let what is known of the account come before the data files, from now on and in this process."""
    if account != _account[0]:
        _account[0] = account
        model.cache_clear()
        limits.cache_clear()


def _wrong(name: str, quotas: Mapping[str, int]) -> str | None:
    """Say what is wrong with a model's quotas. None: nothing."""
    try:
        Limits(**default_limits(name).model_dump() | dict(quotas))
    except ValidationError as error:
        return _said(error, "models", name)
    return None


def _said(error: ValidationError, *place: str) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join([*place, *map(str, first["loc"])])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def base_id(model_id: str) -> str:
    """Name the model behind an id, an inference profile or an ARN: profiles share its quotas."""
    if custom := CUSTOM_MODEL.fullmatch(model_id):
        known = load("models.json")["models"]
        return max((one for one in known if custom[1].startswith(one)), key=len, default=custom[1])
    name = model_id.rsplit("/", 1)[-1]
    name = _account[0].profiles.get(name, name)
    return name.removeprefix(geography(name))


def geography(name: str) -> str:
    """Name the geography of an inference profile, with its dot; empty for a model's own id."""
    return next((one for one in GEOGRAPHIES if name.startswith(one)), "")


def place(model_id: str) -> str:
    """Name the geography, with its dot, to which a profile leads, also one of the account's own."""
    name = model_id.rsplit("/", 1)[-1]
    return geography(_account[0].profiles.get(name, name))


@cache
def model(model_id: str) -> Model:
    """Look up a model by any of its ids."""
    data = load("models.json")
    base = base_id(model_id)
    entry = data["default"] | data["models"].get(base, {})
    return Model(base_id=base, known=base in data["models"], **entry)


def known_models() -> list[str]:
    """Name all models of the data file."""
    return list(load("models.json")["models"])


@cache
def limits(model_id: str) -> Limits:
    """Look up a model's quotas, as far as the account says otherwise those of the account."""
    base = base_id(model_id)
    own = _account[0].models
    changed = dict(own.get(base, {})) | dict(own.get(_scope(model_id) + base, {}))
    return Limits(**_quotas(base) | changed)


def default_limits(name: str) -> Limits:
    """Look up what the data file says of a model, whatever its account says; the name may have a scope."""
    return Limits(**_quotas(name.removeprefix(CROSS_REGION).removeprefix(GLOBAL)))


def _scope(model_id: str) -> str:
    """Say by which quota calls are counted: a model's own, that of its geography or the global one."""
    found = place(model_id)
    return "" if not found else GLOBAL if found == GLOBAL else CROSS_REGION


def _quotas(base: str) -> dict[str, Any]:
    data = load("limits.json")
    quotas: dict[str, Any] = data["default"] | data["models"].get(base, {})
    return quotas


def notes(model_id: str, today: date) -> list[str]:
    """Say what somebody who names this model should know, as sentences; most models need none."""
    found = model(model_id)
    said = []
    if not found.known:
        said.append(_unknown(model_id, found))
    if found.profile_only and found.base_id == model_id:
        said.append(
            f"{model_id} is served through inference profiles only: write {found.profiles[0]}.{model_id}, or "
            f"another of {', '.join(found.profiles)}."
        )
    if found.retires and found.retires <= today:
        said.append(f"Bedrock has retired {found.name or found.base_id} on {found.retires}: choose another.")
    elif found.retires:
        said.append(f"Bedrock retires {found.name or found.base_id} on {found.retires}.")
    return said


def _unknown(model_id: str, found: Model) -> str:
    if APPLICATION_PROFILE.fullmatch(model_id):
        return (
            f"{model_id} does not say its model: `batchline limits refresh` looks it up. Until then it works "
            "with careful defaults, and its cost is booked as 0."
        )
    return (
        f"{found.base_id} is not in Batchline's data: it works with careful defaults (a context of "
        f"{found.context:,} tokens, answers of up to {found.max_output:,}), and its cost is booked as 0 "
        "unless `batchline prices` names it."
    )


def load(name: str) -> dict[str, Any]:
    """Read one of the data files of this package."""
    text = resources.files("batchline").joinpath("data", name).read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
