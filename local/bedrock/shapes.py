"""Checks values against botocore's own service models.

botocore checks types, required members and minimums before it sends; AWS also checks maximums,
patterns and enums. The same model file holds all of them, so nothing is typed twice here. The
sentences are those of AWS's validation layer.
"""

import base64
import binascii
import functools
import re
from collections.abc import Iterator
from typing import Any, Final

from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.session import Session

from local.bedrock.errors import ApiError, invalid

# `X(-*[X-])*` can be split in exponentially many ways, so Python's backtracking engine would hang
# on a long run of dashes. The plain form accepts the same strings: lengths are checked apart.
PLAIN_PATTERNS: Final = {
    r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}": r"[a-zA-Z0-9][a-zA-Z0-9+\-.]*",
    r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}": r"[a-zA-Z0-9]+(-+[a-zA-Z0-9]+)*",
}
_MAX_NESTING: Final = 32


@functools.cache
def service(name: str) -> ServiceModel:
    """Return botocore's model of `bedrock` or `bedrock-runtime`."""
    return Session().get_service_model(name)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(PLAIN_PATTERNS.get(pattern, pattern))


def require_valid(shape: Shape, value: Any, *, closed: bool = False) -> None:
    """Raise one ValidationException naming everything that `value` violates, or return.

    `closed` also refuses members that the model does not know.
    """
    problems = list(_violations(shape, value, "", closed=closed, depth=0))
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise invalid(f"{len(problems)} validation {noun} detected: {'; '.join(problems)}")


def _violations(shape: Shape, value: Any, path: str, *, closed: bool, depth: int) -> Iterator[str]:
    if depth > _MAX_NESTING:
        raise invalid(f"Value at '{path}' is nested too deeply")
    _require_type(shape, value, path)
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, path, closed=closed, depth=depth)
    elif isinstance(shape, ListShape):
        yield from _size(shape, len(value), "length", value, path)
        for number, element in enumerate(value, start=1):
            where = f"{path}.{number}.member"
            yield from _violations(shape.member, element, where, closed=closed, depth=depth + 1)
    elif isinstance(shape, MapShape):
        yield from _size(shape, len(value), "length", value, path)
        for key, element in value.items():
            yield from _violations(shape.key, key, f"{path}.key", closed=closed, depth=depth + 1)
            where = f"{path}.{key}.value"
            yield from _violations(shape.value, element, where, closed=closed, depth=depth + 1)
    else:
        yield from _scalar(shape, value, path)


def _structure(shape: StructureShape, value: Any, path: str, *, closed: bool, depth: int) -> Iterator[str]:
    if shape.is_document_type:
        return
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if value.get(name) is None:
            where = f"{prefix}{name}"
            yield f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
    given = [name for name in value if value[name] is not None]
    if shape.is_tagged_union and len([name for name in given if name in shape.members]) != 1:
        yield (
            f"Value at '{path}' failed to satisfy constraint: "
            f"Member must have exactly one of [{', '.join(shape.members)}]"
        )
    for name in given:
        member = shape.members.get(name)
        if member is not None:
            yield from _violations(member, value[name], f"{prefix}{name}", closed=closed, depth=depth + 1)
        elif closed:
            yield f"Value at '{prefix}{name}' failed to satisfy constraint: Member is not known"


def _scalar(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "string":
        yield from _text(shape, value, path)
    elif shape.type_name == "blob":
        yield from _size(shape, len(value) * 3 // 4, "length", "", path)
    elif shape.type_name in {"integer", "long", "float", "double"}:
        yield from _size(shape, value, "value", value, path)


def _text(shape: Shape, value: str, path: str) -> Iterator[str]:
    yield from _size(shape, len(value), "length", value, path)
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern")
    # A value far above its maximum is refused for its length alone: no need to run a pattern on it.
    affordable = len(value) <= shape.metadata.get("max", 4096)
    if pattern and affordable and not _compiled(pattern).fullmatch(value):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _size(shape: Shape, size: float, noun: str, value: Any, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if high is not None and size > high:
        yield _failed(value, path, f"Member must have {noun} less than or equal to {high}")
    if low is not None and size < low:
        yield _failed(value, path, f"Member must have {noun} greater than or equal to {low}")


def _failed(value: Any, path: str, constraint: str) -> str:
    return f"Value '{str(value)[:2048]}' at '{path}' failed to satisfy constraint: {constraint}"


_JSON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "character": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (str,),
}


def _require_type(shape: Shape, value: Any, path: str) -> None:
    """Raise SerializationException where a JSON value cannot become the member's type."""
    if isinstance(shape, StructureShape) and shape.is_document_type:
        return
    expected = _JSON_TYPES[shape.type_name]
    numeric = shape.type_name in {"integer", "long", "float", "double"}
    if not isinstance(value, expected) or (numeric and isinstance(value, bool)):
        raise ApiError(
            "SerializationException",
            f"Value at '{path or '/'}' cannot be read as {shape.type_name}",
        )
    if shape.type_name == "blob":
        decode_blob(value, path)


def decode_blob(value: Any, path: str) -> bytes:
    """Return the bytes of a base64 member; SerializationException where it is not base64."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("SerializationException", f"Value at '{path}' is not base64") from error
