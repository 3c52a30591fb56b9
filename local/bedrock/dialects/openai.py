"""The chat-completions body of gpt-oss and of other open models.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html
"""

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model, turns_of
from local.bedrock.prompts import Answer, Prompt


class _Message(Body):
    model_config = ConfigDict(frozen=True, extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class _JsonSchema(Body):
    model_config = ConfigDict(frozen=True, extra="allow")

    schema_: dict[str, Any] = Field(alias="schema")


class _ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _Request(Body):
    messages: list[_Message] = Field(min_length=1)
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: str | list[str] | None = None
    response_format: _ResponseFormat | None = None
    reasoning_effort: Literal["low", "medium", "high"] | None = None
    model: str | None = None
    stream: Literal[False] = False


def read(body: dict[str, Any], model: Model) -> Prompt:
    request = read_model(_Request, body)
    turns = turns_of([message.model_dump() for message in request.messages])
    wanted = request.response_format.json_schema if request.response_format else None
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    system = {"system", "developer"}
    return Prompt(
        turns=tuple(turn for turn in turns if turn.role not in system),
        system="\n".join(turn.text for turn in turns if turn.role in system),
        max_tokens=request.max_completion_tokens or request.max_tokens or model.max_output_tokens,
        stop_sequences=tuple(stop),
        schema=wanted.schema_ if wanted else None,
        temperature=request.temperature,
        reasons_aloud=model.model_id.startswith("openai.gpt-oss"),
    )


def write(answer: Answer, model: Model) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model.model_id,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text},
                "finish_reason": "length" if answer.stop_reason == "max_tokens" else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }
