"""Review: what a person decides about a document that waits for a look."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

import jsonschema
from referencing import Registry

from batchline.aggregate import Shape, shape
from batchline.errors import BatchlineError, Code
from batchline.models import DocumentStatus, Failure
from batchline.pipelines import Pipeline


class Decision(StrEnum):
    """What a person may decide."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"


class CorrectionInvalid(BatchlineError):
    """A correction that cannot stand for the document's result; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reviewed document ends."""

    status: DocumentStatus
    failure: Failure | None


def outcome(decision: Decision, row: Mapping[str, Any], note: str = "") -> Outcome:
    """Say how a document ends by what was decided; `row` is its row."""
    if decision is Decision.REJECTED:
        message = f"Rejected in a review{f': {note}' if note else ''}."
        return Outcome(DocumentStatus.FAILED, Failure(Code.REVIEW_REJECTED, message))
    if decision is Decision.CORRECTED or not row["failed"]:
        return Outcome(DocumentStatus.COMPLETED, None)
    failure = Failure(
        Code.RECORDS_FAILED,
        f"{row['failed']} of {row['records']} records have no answer; accepted so in a review.",
    )
    return Outcome(DocumentStatus.PARTIAL if row["succeeded"] else DocumentStatus.FAILED, failure)


def corrected(text: str, pipeline: Pipeline, answers: int) -> Any:
    """Read a correction, which must be what the model's answers should have made.

    Numbers become int or Decimal. Raises CorrectionInvalid.
    """
    try:
        value = json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise CorrectionInvalid(
            f"The correction is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    kind = shape(pipeline, answers)
    if kind is Shape.LIST and not isinstance(value, list):
        raise CorrectionInvalid("The correction must be a JSON list, as the document's result is.")
    if kind is Shape.TEXT and not isinstance(value, str):
        raise CorrectionInvalid("The correction must be a JSON string, as the document's result is.")
    if kind is Shape.VALUE and pipeline.output:
        validator = jsonschema.Draft202012Validator(pipeline.output.json_schema, registry=Registry())
        if wrong := next(validator.iter_errors(json.loads(text)), None):
            raise CorrectionInvalid(
                f"The correction breaks the pipeline's schema at {wrong.json_path}: {wrong.message}."
            )
    return value
