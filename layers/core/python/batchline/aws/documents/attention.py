"""What needs attention: why a document waits, or how it has failed, and the key it is found under."""

from batchline.aws.dynamo import Row
from batchline.models import Failure


def problem(pipeline: str, code: str) -> str:
    """Key a document under what needs attention."""
    return f"{pipeline}#{code}"


def told(failure: Failure) -> Row:
    """Write a failure as an attribute."""
    return {"code": failure.code, "message": failure.message}


def said(pipeline: str, failure: Failure | None) -> Row:
    """Make the attributes that tell of a failure. None: such as remove them."""
    if failure is None:
        return {"error": None, "problem": None}
    return {"error": told(failure), "problem": problem(pipeline, failure.code)}
