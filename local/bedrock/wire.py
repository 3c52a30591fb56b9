"""The REST-JSON protocol: from an HTTP request to an operation with checked parameters, and back.

Paths, locations and types come from botocore's service models; this module only moves values.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import orjson
from botocore.model import OperationModel, Shape, StructureShape

from local.bedrock import shapes
from local.bedrock.errors import ApiError, invalid

OPERATIONS: Final = {
    "bedrock": (
        "CreateModelInvocationJob",
        "GetFoundationModel",
        "GetInferenceProfile",
        "GetModelInvocationJob",
        "ListFoundationModels",
        "ListInferenceProfiles",
        "ListModelInvocationJobs",
        "ListTagsForResource",
        "StopModelInvocationJob",
        "TagResource",
        "UntagResource",
    ),
    "bedrock-runtime": ("ApplyGuardrail", "Converse", "CountTokens", "InvokeModel"),
}

_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([a-z0-9-]+)/[a-z-]+/aws4_request")


@dataclass(frozen=True)
class Caller:
    """Who asks: the owner of what is made, and the Region that the request was signed for."""

    account: str
    region: str


@dataclass(frozen=True)
class Call:
    """One parsed request: the operation's name and its checked parameters.

    `body` is the raw payload of operations that carry one (InvokeModel), empty otherwise.
    """

    operation: str
    parameters: Mapping[str, Any]
    body: bytes
    caller: Caller


@dataclass(frozen=True)
class Reply:
    """A successful answer: JSON members or a raw body, and headers."""

    body: bytes
    headers: Mapping[str, str]


@functools.cache
def _routes() -> tuple[tuple[str, re.Pattern[str], OperationModel], ...]:
    routes = []
    for service, names in OPERATIONS.items():
        for name in names:
            model = shapes.service(service).operation_model(name)
            # A label is one path segment; an ARN in it arrives with its slashes encoded.
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(model.http["requestUri"]))
            routes.append((model.http["method"], re.compile(pattern), model))
    return tuple(routes)


def caller(authorization: str, *, account: str, region: str) -> Caller:
    """Read Region and account from the Authorization header; the signature itself is not verified.

    A twelve-digit access key is an account of its own, as in other emulators. Raises
    MissingAuthenticationTokenException for an unsigned request.
    """
    if match := _CREDENTIAL.match(authorization):
        key, signed_region = match.groups()
        own = key if re.fullmatch(r"\d{12}", key) else account
        return Caller(account=own, region=signed_region)
    if authorization.startswith("Bearer ") and authorization.removeprefix("Bearer ").strip():
        return Caller(account=account, region=region)
    raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token")


def find_operation(method: str, path: str) -> tuple[OperationModel, Mapping[str, str]]:
    """Return the operation that serves `method` and the still encoded `path`, with its labels."""
    for verb, pattern, model in _routes():
        if verb == method and (match := pattern.fullmatch(path.rstrip("/") or "/")):
            return model, {name: unquote(value) for name, value in match.groupdict().items()}
    raise ApiError("UnknownOperationException", f"No operation serves {method} {path[:200]}")


def parse(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, *, caller: Caller
) -> Call:
    """Turn an HTTP request into a Call, or raise the ApiError that AWS would answer with."""
    model, labels = find_operation(method, path)
    shape = model.input_shape
    if not isinstance(shape, StructureShape):
        raise TypeError(f"{model.name} has no input structure")
    parameters: dict[str, Any] = {}
    arguments = dict(parse_qsl(query, keep_blank_values=True))
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        text = _located(name, member, labels, arguments, headers)
        if text is not None:
            parameters[name] = _from_text(member, text, name)
    if payload is None:
        parameters |= _json_members(shape, body)
    shapes.require_valid(shape, parameters)
    if payload is not None and len(body) > shape.members[payload].metadata.get("max", len(body)):
        raise invalid(f"The request body is larger than {shape.members[payload].metadata['max']} bytes")
    return Call(model.name, parameters, body if payload is not None else b"", caller)


def _located(
    name: str,
    member: Shape,
    labels: Mapping[str, str],
    arguments: Mapping[str, str],
    headers: Mapping[str, str],
) -> str | None:
    wire_name = member.serialization.get("name", name)
    match member.serialization.get("location"):
        case "uri":
            return labels.get(wire_name)
        case "querystring":
            return arguments.get(wire_name)
        case "header":
            return headers.get(wire_name.lower())
        case _:
            return None


def _from_text(member: Shape, text: str, name: str) -> Any:
    if member.type_name in {"integer", "long"}:
        if not re.fullmatch(r"[+-]?\d{1,18}", text):
            raise ApiError("SerializationException", f"Value '{text[:100]}' at '{name}' is no integer")
        return int(text)
    if member.type_name == "timestamp":
        parse_time(text, name)
    return text


def parse_time(text: str, name: str) -> datetime:
    """Read an ISO-8601 instant; SerializationException where it is none or has no offset."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ApiError("SerializationException", f"Value '{text[:100]}' at '{name}' is no time") from error
    if instant.tzinfo is None:
        raise ApiError("SerializationException", f"Value '{text[:100]}' at '{name}' has no offset")
    return instant.astimezone(UTC)


def _json_members(shape: StructureShape, body: bytes) -> dict[str, Any]:
    in_body = {n for n, m in shape.members.items() if not m.serialization.get("location")}
    if not in_body or not body:
        return {}
    content = load_object(body, "SerializationException")
    return {name: value for name, value in content.items() if name in in_body and value is not None}


def load_object(body: bytes, code: str) -> dict[str, Any]:
    """Parse a JSON object, or raise ApiError with `code`."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(code, f"The request body is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ApiError(code, "The request body is not a JSON object")
    return content


def iso(instant: datetime) -> str:
    """Write an instant the way Bedrock does: UTC, milliseconds, Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def render(members: Mapping[str, Any]) -> Reply:
    """Encode a JSON answer; members that are None are left out."""
    present = {name: value for name, value in members.items() if value is not None}
    return Reply(orjson.dumps(present), {"content-type": "application/json"})


def render_error(error: ApiError) -> Reply:
    """Encode an error: the code in the header that SDKs read, and in the body for people."""
    return Reply(
        orjson.dumps({"__type": error.code, "message": error.message}),
        {"content-type": "application/json", "x-amzn-errortype": error.code},
    )
