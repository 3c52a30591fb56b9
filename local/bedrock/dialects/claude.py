"""Anthropic's Messages body.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

import uuid
from typing import Annotated, Any, Literal

import orjson
from pydantic import ConfigDict, Field, ValidationError

from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body
from local.bedrock.errors import ApiError, invalid
from local.bedrock.prompts import Answer, Prompt, Tool, Turn

# Anthropic counts an image as width * height / 750; a picture of about a megapixel is assumed.
IMAGE_TOKENS = 1334


class _Message(Body):
    role: Literal["user", "assistant"]
    content: str | list[dict[str, Any]]


class _ToolSpec(Body):
    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    input_schema: dict[str, Any] = Field(default_factory=dict)


class _ToolChoice(Body):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Format(Body):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class _OutputConfig(Body):
    format: _Format | None = None
    effort: str | None = None


class _Request(Body):
    anthropic_version: Literal["bedrock-2023-05-31"]
    max_tokens: Annotated[int, Field(ge=1)]
    messages: list[_Message] = Field(min_length=1)
    system: str | list[dict[str, Any]] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[_ToolSpec] | None = None
    tool_choice: _ToolChoice | None = None
    anthropic_beta: list[str] | None = None
    output_config: _OutputConfig | None = None
    thinking: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


def read(body: dict[str, Any], model: Model) -> Prompt:
    """Check a body as Anthropic does and return its prompt; ValidationException otherwise."""
    try:
        request = _Request.model_validate(body)
    except ValidationError as error:
        raise _refusal(error) from error
    _check(request, model)
    schema = request.output_config.format if request.output_config else None
    return Prompt(
        turns=tuple(_turn(message) for message in request.messages),
        max_tokens=request.max_tokens,
        system=_text(request.system or ""),
        stop_sequences=tuple(request.stop_sequences or ()),
        schema=schema.schema_ if schema else None,
        tool=_demanded_tool(request),
        temperature=request.temperature,
        extra_tokens=_extra_tokens(request),
    )


def _refusal(error: ValidationError) -> ApiError:
    """Anthropic names the place with dots and lets pydantic speak."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return invalid(f"{place}: {first['msg']}")


def _check(request: _Request, model: Model) -> None:
    if request.max_tokens > model.max_output_tokens:
        raise invalid(
            f"max_tokens: {request.max_tokens} > {model.max_output_tokens}, which is the maximum "
            f"allowed number of output tokens for {model.model_id}"
        )
    both = request.temperature is not None and request.top_p is not None
    if both and model.one_of_temperature_and_top_p:
        raise invalid(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )
    if request.messages[0].role != "user":
        raise invalid('messages: first message must use the "user" role')
    for number, message in enumerate(request.messages):
        if not message.content:
            raise invalid(f"messages.{number}: all messages must have non-empty content")
        if isinstance(message.content, list) and any("cache_control" in b for b in message.content):
            raise ApiError(
                "AccessDeniedException",
                "You invoked an unsupported model or your request did not allow prompt caching.",
            )


def _demanded_tool(request: _Request) -> Tool | None:
    choice = request.tool_choice
    if not request.tools or choice is None or choice.type not in {"any", "tool"}:
        return None
    named = [tool for tool in request.tools if choice.type == "any" or tool.name == choice.name]
    if not named:
        raise invalid(f"tool_choice.name: Tool '{choice.name}' not found in provided tools")
    return Tool(named[0].name, named[0].input_schema)


def _turn(message: _Message) -> Turn:
    return Turn(message.role, _text(message.content))


def _text(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(filter(None, (_block_text(block) for block in content)))


def _block_text(block: dict[str, Any]) -> str:
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "tool_result":
            inner = block.get("content", "")
            return _text(inner) if isinstance(inner, (str, list)) else ""
        case "tool_use":
            return orjson.dumps(block.get("input", {})).decode()
        case "document":
            source = block.get("source") or {}
            return str(source.get("data", "")) if source.get("type") == "text" else ""
        case _:
            return ""


def _extra_tokens(request: _Request) -> int:
    images = sum(
        block.get("type") == "image"
        for message in request.messages
        if isinstance(message.content, list)
        for block in message.content
    )
    tools = orjson.dumps([tool.model_dump() for tool in request.tools or ()])
    described = len(tools) // 4 if request.tools else 0
    return int(images) * IMAGE_TOKENS + described


def write(answer: Answer, model: Model) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if answer.tool is not None:
        content.append(
            {
                "type": "tool_use",
                "id": f"toolu_bdrk_{uuid.uuid4().hex[:24]}",
                "name": answer.tool.name,
                "input": dict(answer.tool_input),
            }
        )
    elif answer.text:
        content.append({"type": "text", "text": answer.text})
    return {
        "model": model.model_id.removeprefix("anthropic.").split("-v1:")[0],
        "id": f"msg_bdrk_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
    }
