"""Amazon's own bodies: Titan Text and Titan's embeddings.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from local.bedrock import embeddings
from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model
from local.bedrock.errors import invalid
from local.bedrock.prompts import Answer, EmbeddingRequest, Prompt, Turn
from local.bedrock.tokens import TokenCounter

_MOST_EMBEDDED_TOKENS = 8192
_MOST_TOKENS_BESIDE_A_PICTURE = 128
_MOST_EMBEDDED_CHARACTERS = 50_000


class _TitanConfig(Body):
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    topP: Annotated[float, Field(ge=0, le=1)] | None = None  # noqa: N815
    maxTokenCount: Annotated[int, Field(ge=0)] = 512  # noqa: N815
    stopSequences: list[str] = Field(default_factory=list)  # noqa: N815


class _TitanRequest(Body):
    inputText: str = Field(min_length=1)  # noqa: N815
    textGenerationConfig: _TitanConfig = Field(default_factory=_TitanConfig)  # noqa: N815


class _EmbeddingBodyV1(Body):
    inputText: str = Field(min_length=1)  # noqa: N815


class _PictureConfig(Body):
    outputEmbeddingLength: Literal[1024, 384, 256] = 1024  # noqa: N815


class _PictureBody(Body):
    inputText: str = Field(min_length=1)  # noqa: N815
    embeddingConfig: _PictureConfig = Field(default_factory=_PictureConfig)  # noqa: N815


class _EmbeddingBody(Body):
    inputText: str = Field(min_length=1)  # noqa: N815
    dimensions: Literal[1024, 512, 256] = 1024
    normalize: bool = True
    embeddingTypes: tuple[Literal["float", "binary"], ...] = Field(  # noqa: N815
        default=("float",), strict=False
    )


def read_titan(body: dict[str, Any], model: Model) -> Prompt:
    request = read_model(_TitanRequest, body)
    config = request.textGenerationConfig
    if config.maxTokenCount > model.max_output_tokens:
        raise invalid(
            "Malformed input request: #/textGenerationConfig/maxTokenCount: "
            f"{config.maxTokenCount} is not less or equal to {model.max_output_tokens}, "
            "please reformat your input and try again."
        )
    return Prompt(
        turns=(Turn("user", request.inputText),),
        max_tokens=config.maxTokenCount,
        stop_sequences=tuple(config.stopSequences),
        temperature=config.temperature,
    )


def write_titan(answer: Answer, model: Model) -> dict[str, Any]:
    del model
    reasons = {"max_tokens": "LENGTH", "stop_sequence": "STOP_CRITERIA_MET"}
    return {
        "inputTextTokenCount": answer.input_tokens,
        "results": [
            {
                "tokenCount": answer.output_tokens,
                "outputText": answer.text,
                "completionReason": reasons.get(answer.stop_reason, "FINISH"),
            }
        ],
    }


def read_embedding(body: dict[str, Any], model: Model) -> EmbeddingRequest:
    """Check a body of version 2; ValidationException above 8,192 tokens or 50,000 characters."""
    request = read_model(_EmbeddingBody, body)
    _refuse_long(request.inputText, model, _MOST_EMBEDDED_TOKENS)
    return EmbeddingRequest(
        (request.inputText,), request.dimensions, request.normalize, request.embeddingTypes
    )


def read_embedding_v1(body: dict[str, Any], model: Model) -> EmbeddingRequest:
    """Check a body of the first Titan Text Embeddings, which knows one length."""
    request = read_model(_EmbeddingBodyV1, body)
    _refuse_long(request.inputText, model, _MOST_EMBEDDED_TOKENS)
    return EmbeddingRequest((request.inputText,), 1536, normalize=True)


def read_picture_embedding(body: dict[str, Any], model: Model) -> EmbeddingRequest:
    """Check a body of Titan Multimodal Embeddings; only its text is embedded."""
    request = read_model(_PictureBody, body)
    _refuse_long(request.inputText, model, _MOST_TOKENS_BESIDE_A_PICTURE)
    length = request.embeddingConfig.outputEmbeddingLength
    return EmbeddingRequest((request.inputText,), length, normalize=True)


def _refuse_long(text: str, model: Model, most: int) -> None:
    tokens = TokenCounter(model.tokens).count(text)
    if tokens > most or len(text) > _MOST_EMBEDDED_CHARACTERS:
        raise invalid(
            f"400 Bad Request: Too many input tokens. Max input tokens: {most}, "
            f"request input token count: {tokens} "
        )


def write_plain_embedding(request: EmbeddingRequest, input_tokens: int) -> dict[str, Any]:
    """Write the answer of the models that know no types."""
    vector = embeddings.embed(request.texts[0], dimensions=request.dimensions, normalize=True)
    return {"embedding": vector, "inputTextTokenCount": input_tokens}


def write_embedding(request: EmbeddingRequest, input_tokens: int) -> dict[str, Any]:
    vector = embeddings.embed(request.texts[0], dimensions=request.dimensions, normalize=request.normalize)
    by_kind: dict[str, list[float] | list[int]] = {}
    if "float" in request.kinds:
        by_kind["float"] = vector
    if "binary" in request.kinds:
        by_kind["binary"] = embeddings.binary(vector)
    answer: dict[str, Any] = {"inputTextTokenCount": input_tokens, "embeddingsByType": by_kind}
    if "float" in request.kinds:
        answer["embedding"] = vector
    return answer
