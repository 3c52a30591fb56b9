"""Cohere's Command R body.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
"""

import uuid
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model
from local.bedrock.prompts import Answer, Prompt, Turn


class _Said(Body):
    model_config = ConfigDict(frozen=True, extra="allow")

    role: str
    message: str = ""


class _Request(Body):
    message: str = Field(min_length=1)
    chat_history: list[_Said] = Field(default_factory=list)
    documents: list[dict[str, Any]] = Field(default_factory=list)
    preamble: str = ""
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.3
    p: Annotated[float, Field(ge=0, le=0.99)] = 0.75
    k: Annotated[float, Field(ge=0, le=500)] = 0
    stop_sequences: list[str] = Field(default_factory=list)
    seed: int | None = None
    return_prompt: bool = False


def read(body: dict[str, Any], model: Model) -> Prompt:
    del model
    request = read_model(_Request, body)
    snippets = [str(document.get("snippet") or document.get("text") or "") for document in request.documents]
    asked = "\n\n".join([request.message, *filter(None, snippets)])
    return Prompt(
        turns=(
            *(Turn(said.role.lower(), said.message) for said in request.chat_history),
            Turn("user", asked),
        ),
        system=request.preamble,
        max_tokens=request.max_tokens,
        stop_sequences=tuple(request.stop_sequences),
        temperature=request.temperature,
    )


def write(answer: Answer, model: Model) -> dict[str, Any]:
    del model
    return {
        "response_id": str(uuid.uuid4()),
        "text": answer.text,
        "generation_id": str(uuid.uuid4()),
        "finish_reason": "MAX_TOKENS" if answer.stop_reason == "max_tokens" else "COMPLETE",
        "chat_history": [{"role": "CHATBOT", "message": answer.text}],
    }
