"""What every request comes down to, and what every answer is made from, whatever the dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


@dataclass(frozen=True)
class Tool:
    """A tool that the answer must call, with the JSON Schema of its input."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Turn:
    """One message; only its text is read."""

    role: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """A request without its dialect.

    `schema` is set where the request itself demands JSON of that form, `tool` where it demands a
    tool call. `extra_tokens` stands for what has no text, such as
    images. A model that `reasons_aloud` puts its reasoning before the answer, in the same text.
    """

    turns: tuple[Turn, ...]
    max_tokens: int
    system: str = ""
    stop_sequences: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    tool: Tool | None = None
    temperature: float | None = None
    extra_tokens: int = 0
    reasons_aloud: bool = False

    @property
    def text(self) -> str:
        """The last user turn, which holds the task."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def whole(self) -> str:
        """Everything the model reads."""
        parts = [self.system, *(turn.text for turn in self.turns)]
        return "\n".join(part for part in parts if part)


@dataclass(frozen=True)
class Answer:
    """A model's answer. `tool_input` is set where `stop_reason` is tool_use."""

    text: str
    stop_reason: StopReason
    input_tokens: int
    output_tokens: int
    stop_sequence: str | None = None
    tool: Tool | None = None
    tool_input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts to embed; `kept_characters` says how many are left of one that was cut."""

    texts: tuple[str, ...]
    dimensions: int
    normalize: bool
    kinds: tuple[str, ...] = ()
    kept_characters: int | None = None
