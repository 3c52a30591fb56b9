"""Guardrails with a word policy: text that holds a listed word is blocked.

https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-word-filters.html
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from local.bedrock.errors import ApiError

_ARN = re.compile(r"arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]{1,20}:\d{12}:guardrail/([a-z0-9]+)")
# "1 text unit" of a policy is up to 1,000 characters.
_CHARACTERS_PER_UNIT = 1000
_UNITS = (
    "topicPolicyUnits",
    "contentPolicyUnits",
    "wordPolicyUnits",
    "sensitiveInformationPolicyUnits",
    "sensitiveInformationPolicyFreeUnits",
    "contextualGroundingPolicyUnits",
)


class Guardrail(BaseModel):
    """One guardrail; a word matches whole words, whatever their case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: tuple[str, ...] = Field(min_length=1)
    versions: tuple[str, ...] = ("DRAFT", "1")
    blocked_input: str = "Sorry, the model cannot answer this question."
    blocked_output: str = "Sorry, the model cannot answer this question."

    def matches(self, text: str) -> list[str]:
        """Return the listed words that stand in `text`."""
        return [
            word for word in self.words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
        ]


class Guardrails:
    """The guardrails of the running emulator, by id."""

    def __init__(self, defined: Mapping[str, Guardrail]) -> None:
        self._defined = dict(defined)

    def define(self, guardrail_id: str, guardrail: Guardrail) -> None:
        self._defined[guardrail_id] = guardrail

    def replace(self, defined: Mapping[str, Guardrail]) -> None:
        self._defined = dict(defined)

    def find(self, identifier: str, version: str, *, code: str) -> Guardrail:
        """Return a guardrail by id or ARN; ApiError with `code` for an unknown id or version."""
        match = _ARN.fullmatch(identifier)
        found = self._defined.get(match[1] if match else identifier)
        if found is None or version not in found.versions:
            raise ApiError(
                code, "The guardrail identifier or version provided in the request does not exist."
            )
        return found


def assessment(matched: list[str], *, characters: int) -> dict[str, Any]:
    """Return what a guardrail found, as assessments show it."""
    custom = [{"match": word, "action": "BLOCKED", "detected": True} for word in matched]
    return {
        **({"wordPolicy": {"customWords": custom, "managedWordLists": []}} if custom else {}),
        "invocationMetrics": {
            "guardrailProcessingLatency": 1,
            "usage": usage(characters),
            "guardrailCoverage": {"textCharacters": {"guarded": characters, "total": characters}},
        },
    }


def usage(characters: int) -> dict[str, int]:
    used = math.ceil(characters / _CHARACTERS_PER_UNIT)
    return {unit: used if unit == "wordPolicyUnits" else 0 for unit in _UNITS}


def apply(guardrail: Guardrail, source: str, content: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Answer ApplyGuardrail for the text blocks of `content`."""
    texts = [block["text"]["text"] for block in content if "text" in block]
    matched = guardrail.matches("\n".join(texts))
    characters = sum(len(text) for text in texts)
    blocked = guardrail.blocked_input if source == "INPUT" else guardrail.blocked_output
    return {
        "usage": usage(characters),
        "action": "GUARDRAIL_INTERVENED" if matched else "NONE",
        "actionReason": "Guardrail blocked." if matched else "No action.",
        "outputs": [{"text": blocked}] if matched else [],
        "assessments": [assessment(matched, characters=characters)],
        "guardrailCoverage": {"textCharacters": {"guarded": characters, "total": characters}},
    }
