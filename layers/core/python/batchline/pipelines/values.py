"""How values of a pipeline file are read: durations, lists of one, models; and two that do not fit."""

import re
from typing import Final

from pydantic import ValidationInfo, field_validator

from batchline.models import Frozen

# What Bedrock takes as a model's id or ARN.
MODEL: Final = r"^[A-Za-z0-9][A-Za-z0-9.:/_-]*$"
_DURATION: Final = re.compile(r"(\d+)\s*(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
YES_OR_NO: Final = frozenset({"cache"})  # keys that may be `true` or `false`


def seconds(value: object) -> object:
    """Read `90s`, `2m`, `1h` or `7d`; a bare number counts seconds."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if not found:
            message = "write a duration like 30s, 2m, 1h or 7d"
            raise ValueError(message)
        return int(found[1]) * _SECONDS[found[2]]
    return value


def listed(value: object, what: str) -> object:
    """Take a single word for a list of one; refuse an empty list."""
    if value in ([], ()):
        message = f"the list is empty; name {what}"
        raise ValueError(message)
    return (value,) if isinstance(value, str) else value


class Part(Frozen):
    """A part of the file. Where a key is no yes or no, `true` is not taken for a 1."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_a_truth_value(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name not in YES_OR_NO:
            message = f"{str(value).lower()} means nothing here"
            raise ValueError(message)
        return value


class Misfit(ValueError):
    """Two keys that do not fit each other; the one at `path` is to be corrected."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path
