"""From a prompt to a finished answer: a writer proposes text, limits and stop sequences end it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from local.bedrock.faults import Distortion
from local.bedrock.prompts import Answer, Prompt
from local.bedrock.tokens import TokenCounter

# What a chat template adds around each message, whatever the model.
TOKENS_PER_TURN = 4


@dataclass(frozen=True)
class Draft:
    """What a writer wrote. A real model also knows its own token counts and whether it was cut."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cut: bool = False


class Writer(Protocol):
    """Proposes an answer; the extractive writer and a real model behind an endpoint are the two."""

    def write(self, prompt: Prompt) -> Draft: ...

    def fill(self, prompt: Prompt, schema: Mapping[str, Any]) -> Any: ...


def count_input(prompt: Prompt, counter: TokenCounter) -> int:
    """Return the tokens that the model reads: text, messages' frames and what has no text."""
    return counter.count(prompt.whole) + TOKENS_PER_TURN * len(prompt.turns) + prompt.extra_tokens


def generate(
    prompt: Prompt, writer: Writer, counter: TokenCounter, distortion: Distortion | None = None
) -> Answer:
    """Answer `prompt`: cut at max_tokens, end before a stop sequence, call the tool it demands.

    A distortion makes the answer go wrong in one way that models go wrong.
    """
    input_tokens = count_input(prompt, counter)
    if prompt.tool is not None:
        return _call_tool(prompt, writer, counter, input_tokens)
    draft = writer.write(prompt)
    if distortion is not None:
        draft, prompt = _distorted(draft, prompt, distortion, counter)
    if draft.input_tokens is not None:
        input_tokens = draft.input_tokens
    written = counter.count(draft.text) if draft.output_tokens is None else draft.output_tokens
    if found := _first_stop(draft.text, prompt.stop_sequences):
        kept = draft.text[: draft.text.index(found)]
        return Answer(kept, "stop_sequence", input_tokens, counter.count(kept), stop_sequence=found)
    if draft.cut:
        return Answer(draft.text, "max_tokens", input_tokens, written)
    if written > prompt.max_tokens:
        kept = counter.cut(draft.text, prompt.max_tokens)
        return Answer(kept, "max_tokens", input_tokens, prompt.max_tokens)
    return Answer(draft.text, "end_turn", input_tokens, written)


def _distorted(
    draft: Draft, prompt: Prompt, distortion: Distortion, counter: TokenCounter
) -> tuple[Draft, Prompt]:
    if distortion is Distortion.MALFORMED:
        return Draft(_malformed(draft.text), draft.input_tokens), prompt
    half = max(1, min(prompt.max_tokens, counter.count(draft.text) // 2))
    return Draft(draft.text, draft.input_tokens), replace(prompt, max_tokens=half)


def _call_tool(prompt: Prompt, writer: Writer, counter: TokenCounter, input_tokens: int) -> Answer:
    if prompt.tool is None:
        raise ValueError("the prompt demands no tool")
    arguments = writer.fill(prompt, prompt.tool.schema)
    arguments = arguments if isinstance(arguments, dict) else {}
    written = orjson.dumps(arguments).decode()
    tokens = counter.count(written)
    if tokens > prompt.max_tokens:
        # A call cut short is no call: models return what text there is and say max_tokens.
        return Answer("", "max_tokens", input_tokens, prompt.max_tokens)
    return Answer("", "tool_use", input_tokens, tokens, tool=prompt.tool, tool_input=arguments)


def _malformed(text: str) -> str:
    """Break an answer as models break JSON: talk before it, its last tenth and braces lost."""
    return f"Here is the result:\n{text[: len(text) * 9 // 10].rstrip('}]')}"


def _first_stop(text: str, stop_sequences: tuple[str, ...]) -> str | None:
    present = [stop for stop in stop_sequences if stop and stop in text]
    return min(present, key=text.index) if present else None
