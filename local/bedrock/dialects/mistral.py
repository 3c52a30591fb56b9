"""Mistral's bodies: a bare prompt for the older models, chat messages for Mistral Large.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral.html
"""

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model, turns_of
from local.bedrock.prompts import Answer, Prompt, Turn

_FRAME = re.compile(r"</?s>|\[/?INST\]")


class _TextRequest(Body):
    prompt: str = Field(min_length=1)
    max_tokens: Annotated[int, Field(ge=1)] = 512
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    stop: list[str] = Field(default_factory=list)


class _Message(Body):
    model_config = ConfigDict(frozen=True, extra="allow")

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class _ChatRequest(Body):
    messages: list[_Message] = Field(min_length=1)
    max_tokens: Annotated[int, Field(ge=1)] = 8192
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | None = None


def read_text(body: dict[str, Any], model: Model) -> Prompt:
    del model
    request = read_model(_TextRequest, body)
    return Prompt(
        turns=(Turn("user", _FRAME.sub("", request.prompt).strip()),),
        max_tokens=request.max_tokens,
        stop_sequences=tuple(request.stop),
        temperature=request.temperature,
    )


def write_text(answer: Answer, model: Model) -> dict[str, Any]:
    del model
    return {"outputs": [{"text": answer.text, "stop_reason": _reason(answer)}]}


def read_chat(body: dict[str, Any], model: Model) -> Prompt:
    del model
    request = read_model(_ChatRequest, body)
    turns = turns_of([message.model_dump() for message in request.messages])
    return Prompt(
        turns=tuple(turn for turn in turns if turn.role != "system"),
        system="\n".join(turn.text for turn in turns if turn.role == "system"),
        max_tokens=request.max_tokens,
        temperature=request.temperature,
    )


def write_chat(answer: Answer, model: Model) -> dict[str, Any]:
    del model
    return {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text},
                "stop_reason": _reason(answer),
            }
        ]
    }


def _reason(answer: Answer) -> str:
    return "length" if answer.stop_reason == "max_tokens" else "stop"
