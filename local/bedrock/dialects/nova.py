"""Amazon Nova's body: Converse's messages in an envelope of its own.

https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from local.bedrock import converse
from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model
from local.bedrock.prompts import Answer, Prompt


class _Message(Body):
    role: Literal["user", "assistant"]
    content: list[dict[str, Any]] = Field(min_length=1)


class _System(Body):
    model_config = ConfigDict(frozen=True, extra="allow")

    text: str


class _Config(Body):
    maxTokens: Annotated[int, Field(ge=1)] | None = None  # noqa: N815
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    topP: Annotated[float, Field(ge=0, le=1)] | None = None  # noqa: N815
    topK: Annotated[int, Field(ge=0, le=128)] | None = None  # noqa: N815
    stopSequences: list[str] = Field(default_factory=list)  # noqa: N815


class _Request(Body):
    messages: list[_Message] = Field(min_length=1)
    schemaVersion: Literal["messages-v1"] = "messages-v1"  # noqa: N815
    system: list[_System] = Field(default_factory=list)
    inferenceConfig: _Config = Field(default_factory=_Config)  # noqa: N815
    toolConfig: dict[str, Any] | None = None  # noqa: N815


def read(body: dict[str, Any], model: Model) -> Prompt:
    """Check Nova's envelope, then read its messages as Converse does."""
    request = read_model(_Request, body)
    config = request.inferenceConfig
    most = config.maxTokens or config.max_new_tokens
    return converse.read(
        {
            "messages": body["messages"],
            "system": [block.model_dump() for block in request.system],
            "toolConfig": request.toolConfig,
            "inferenceConfig": {
                "maxTokens": most,
                "temperature": config.temperature,
                "topP": config.topP,
                "stopSequences": config.stopSequences,
            },
        },
        model,
    )


def write(answer: Answer, model: Model) -> dict[str, Any]:
    del model
    response = converse.write(answer, latency_ms=None)
    del response["metrics"]
    return response
