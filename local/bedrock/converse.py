"""Converse: one request form for every model, checked against botocore's own service model.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import functools
import itertools
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from botocore.model import Shape

from local.bedrock import shapes
from local.bedrock.catalog import Model
from local.bedrock.errors import ApiError, invalid
from local.bedrock.prompts import Answer, Prompt, Tool, Turn

IMAGE_TOKENS = 1334
_TEXT_DOCUMENTS = frozenset({"txt", "md", "csv", "html"})
_DEFAULT_MAX_TOKENS = 4096


@functools.cache
def _request_shape() -> Shape:
    shape = shapes.service("bedrock-runtime").operation_model("Converse").input_shape
    if shape is None:
        raise TypeError("Converse has no input shape")
    return shape


def check_record(body: Mapping[str, Any]) -> None:
    """Refuse what a batch record of a Converse job may not hold.

    Tool use and prompt caching are documented as refused; guardrails are not documented for batch
    records, so they are refused as well.
    """
    if "modelId" in body:
        raise invalid("modelId: the model of a batch inference job is set once, for the whole job.")
    shapes.require_valid(_request_shape(), {**body, "modelId": "-"}, closed=True)
    if "toolConfig" in body:
        raise invalid("Tool use is not supported for batch inference with the Converse API.")
    if "guardrailConfig" in body:
        raise invalid("Guardrails are not supported for batch inference with the Converse API.")
    if any("cachePoint" in block for block in _all_blocks(body)):
        raise ApiError(
            "AccessDeniedException",
            "You invoked an unsupported model or your request did not allow prompt caching.",
        )


def read(body: Mapping[str, Any], model: Model) -> Prompt:
    """Return the prompt of a checked Converse request; ValidationException for a bad turn."""
    if "TEXT" not in model.outputs:
        raise invalid("This action doesn't support the model that you provided.")
    messages = body.get("messages") or []
    _check_turns(messages)
    config = body.get("inferenceConfig") or {}
    _check_config(config, model)
    tools = body.get("toolConfig") or {}
    return Prompt(
        turns=tuple(Turn(m["role"], _text(m["content"])) for m in messages if m["role"] != "system"),
        max_tokens=config.get("maxTokens") or min(_DEFAULT_MAX_TOKENS, model.max_output_tokens),
        system="\n".join(filter(None, (_block_text(block) for block in body.get("system") or []))),
        stop_sequences=tuple(config.get("stopSequences") or ()),
        schema=_schema(body),
        tool=_demanded_tool(tools),
        temperature=config.get("temperature"),
        extra_tokens=_extra_tokens(messages, tools),
    )


def _check_turns(messages: list[dict[str, Any]]) -> None:
    roles = [message["role"] for message in messages if message["role"] != "system"]
    if not roles:
        raise invalid("A conversation must have at least one message.")
    if roles[0] != "user":
        raise invalid(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    if any(one == other for one, other in itertools.pairwise(roles)):
        raise invalid(
            "A conversation must alternate between user and assistant roles. Make sure the "
            "conversation alternates between user and assistant roles and try again."
        )
    for number, message in enumerate(messages):
        if not message["content"]:
            raise invalid(
                f"The content field in the Message object at messages.{number} is empty. "
                "Add a ContentBlock object to the content field and try again."
            )
        for at, block in enumerate(message["content"]):
            if isinstance(block.get("text"), str) and not block["text"].strip():
                raise invalid(
                    "The text field in the ContentBlock object at "
                    f"messages.{number}.content.{at} is blank. "
                    "Add text to the text field, and try again."
                )


def _check_config(config: Mapping[str, Any], model: Model) -> None:
    wanted = config.get("maxTokens")
    if wanted is not None and wanted > model.max_output_tokens:
        raise invalid(
            "The maximum tokens you requested exceeds the model limit of "
            f"{model.max_output_tokens}. Try again with a maximum tokens value that is lower "
            f"than {model.max_output_tokens}."
        )
    both = config.get("temperature") is not None and config.get("topP") is not None
    if both and model.one_of_temperature_and_top_p:
        raise invalid(
            "The model returned the following errors: `temperature` and `top_p` cannot both be "
            "specified for this model. Please use only one."
        )


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = ((body.get("outputConfig") or {}).get("textFormat") or {}).get("structure") or {}
    text = (wanted.get("jsonSchema") or {}).get("schema")
    if text is None:
        return None
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(f"The schema in outputConfig.textFormat is not valid JSON: {error}") from error
    if not isinstance(schema, dict):
        raise invalid("The schema in outputConfig.textFormat is not a JSON object.")
    return schema


def _demanded_tool(tools: Mapping[str, Any]) -> Tool | None:
    specs = [tool["toolSpec"] for tool in tools.get("tools", ()) if "toolSpec" in tool]
    choice = tools.get("toolChoice") or {}
    if "tool" in choice:
        specs = [spec for spec in specs if spec["name"] == choice["tool"]["name"]]
        if not specs:
            raise invalid(f"The tool {choice['tool']['name']} in toolChoice is not in toolConfig.tools.")
    elif "any" not in choice:
        return None
    if not specs:
        return None
    schema = specs[0]["inputSchema"].get("json", {})
    return Tool(specs[0]["name"], schema if isinstance(schema, dict) else {})


def _all_blocks(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from body.get("system") or ()
    for message in body.get("messages") or ():
        yield from message["content"]


def _text(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(filter(None, (_block_text(block) for block in blocks)))


def _block_text(block: Mapping[str, Any]) -> str:
    if isinstance(text := block.get("text"), str):
        return text
    if guarded := block.get("guardContent"):
        return str((guarded.get("text") or {}).get("text", ""))
    if document := block.get("document"):
        return _document_text(document)
    if result := block.get("toolResult"):
        return "\n".join(
            part["text"] if "text" in part else orjson.dumps(part.get("json")).decode()
            for part in result.get("content", ())
            if "text" in part or "json" in part
        )
    return ""


def _document_text(document: Mapping[str, Any]) -> str:
    """Return a text document's text; the emulator reads no PDF and no office format."""
    source = document["source"]
    if "text" in source:
        return str(source["text"])
    if "bytes" in source and document.get("format") in _TEXT_DOCUMENTS:
        content = shapes.decode_blob(source["bytes"], "document.source.bytes")
        return content.decode("utf-8", "replace")
    return ""


def _extra_tokens(messages: list[dict[str, Any]], tools: Mapping[str, Any]) -> int:
    images = sum("image" in block for message in messages for block in message["content"])
    described = len(orjson.dumps(tools)) // 4 if tools else 0
    return images * IMAGE_TOKENS + described


def content_of(answer: Answer) -> list[dict[str, Any]]:
    if answer.tool is None:
        return [{"text": answer.text}]
    use = {
        "toolUseId": f"tooluse_{uuid.uuid4().hex[:22]}",
        "name": answer.tool.name,
        "input": dict(answer.tool_input),
    }
    return [{"toolUse": use}]


def write(answer: Answer, *, latency_ms: int | None) -> dict[str, Any]:
    """Return a Converse response; a batch record's has no latency of its own."""
    response: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content_of(answer)}},
        "stopReason": answer.stop_reason,
        "usage": {
            "inputTokens": answer.input_tokens,
            "outputTokens": answer.output_tokens,
            "totalTokens": answer.input_tokens + answer.output_tokens,
        },
        "metrics": {"latencyMs": latency_ms or 0},
    }
    return response
