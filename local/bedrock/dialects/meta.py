"""Meta's Llama body: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html."""

import re
from typing import Annotated, Any

from pydantic import Field

from local.bedrock.catalog import Model
from local.bedrock.dialects.bodies import Body, read_model
from local.bedrock.prompts import Answer, Prompt, Turn

_FRAME = re.compile(r"<\|(?:start_header_id|header_start)\|>(\w+)<\|(?:end_header_id|header_end)\|>")
_SPECIAL = re.compile(r"<\|[a-z_]+\|>|</?s>|\[/?INST\]")


class _Request(Body):
    prompt: str = Field(min_length=1)
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.5
    top_p: Annotated[float, Field(ge=0, le=1)] = 0.9
    max_gen_len: Annotated[int, Field(ge=1, le=8192)] = 512
    images: list[str] | None = None


def read(body: dict[str, Any], model: Model) -> Prompt:
    del model
    request = read_model(_Request, body)
    system, turns = _framed(request.prompt)
    return Prompt(
        turns=turns,
        system=system,
        max_tokens=request.max_gen_len,
        temperature=request.temperature,
    )


def _framed(prompt: str) -> tuple[str, tuple[Turn, ...]]:
    """Take Llama's chat frame apart; a bare prompt is one user turn."""
    parts = _FRAME.split(prompt)
    if len(parts) == 1:
        return "", (Turn("user", _SPECIAL.sub("", prompt).strip()),)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    turns = [Turn(role, _SPECIAL.sub("", text).strip()) for role, text in pairs]
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    return system, tuple(turn for turn in turns if turn.role != "system" and turn.text)


def write(answer: Answer, model: Model) -> dict[str, Any]:
    del model
    return {
        "generation": answer.text,
        "prompt_token_count": answer.input_tokens,
        "generation_token_count": answer.output_tokens,
        "stop_reason": "length" if answer.stop_reason == "max_tokens" else "stop",
    }
