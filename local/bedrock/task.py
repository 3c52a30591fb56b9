"""Tells the document in a prompt from the instructions around it.

A model is told what to do in a few lines and given a document to do it with. The emulator's model
must work on the document and never repeat the instructions.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.bedrock.prompts import Prompt

_FENCES = (
    re.compile(
        r"<(document|text|article|transcript|content|context|passage|input|data|email)\b[^>]*>(.*?)</\1>",
        re.DOTALL,
    ),
    re.compile(r"()\"\"\"(.*?)\"\"\"", re.DOTALL),
    re.compile(r"()```\w*\n(.*?)```", re.DOTALL),
)
_IMPERATIVE = re.compile(
    r"""^\W*(?:please\s+|you\s+are\b|you\s+will\b|your\s+task|summari[sz]e|extract|list\b|return\b|
    respond\b|reply\b|answer\b|write\b|translate|classify|identify|find\b|read\b|give\b|describe|
    explain|analy[sz]e|output\b|provide|state\b|name\b|use\b|do\s+not\b|what\b|who\b|which\b|when\b|where\b|how\b|
    why\b|is\s+th|does\s+th|note:|rules?:|json\s+schema|schema:|context:|question:)""",
    re.IGNORECASE | re.VERBOSE,
)
_POINTER = re.compile(
    r"the following|below|json|schema|in (?:one|two|three|four|five|\d+) sentences?|この文書|"
    r"以下|次の|ください|せよ|しなさい|要約|抽出して|答えて|文で",
    re.IGNORECASE,
)
_NUMBER_WORDS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "single": 1}
_SENTENCE_COUNT = re.compile(
    r"\b(one|two|three|four|five|six|single|a|\d{1,2})[ -](?:short |brief |plain )?"
    r"(?:sentence|bullet|line|point)"
    r"|([0-9０-９一二三四五]{1,2})\s*(?:つの)?文(?:で|以内)",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"[?？]\s*$|か。?\s*$", re.MULTILINE)
_JAPANESE_DIGITS = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5}
_LONGEST_INSTRUCTION = 600
_LONGEST_LABEL = 200
DEFAULT_SENTENCES = 3


@dataclass(frozen=True)
class Task:
    """The parts of a prompt: what to do, with what, and in which form."""

    instruction: str
    document: str
    sentences: int
    schema: Mapping[str, Any] | None


def read(prompt: Prompt) -> Task:
    """Take a prompt apart."""
    text = prompt.text
    schema = prompt.schema
    if schema is None:
        text, schema = _without_schema(text)
    if schema is None and '"properties"' in prompt.system:
        schema = _without_schema(prompt.system)[1]
    instruction, document = _split(text)
    asked = f"{prompt.system}\n{instruction}" if prompt.system else instruction
    return Task(
        instruction, document, _sentence_count(asked, is_question=_QUESTION.search(instruction)), schema
    )


def _without_schema(text: str) -> tuple[str, Mapping[str, Any] | None]:
    """Return the text without the first JSON Schema that stands in it, and that schema."""
    if '"type"' not in text and '"properties"' not in text:
        return text, None
    decoder = json.JSONDecoder()
    for brace in re.finditer(r"\{", text):
        try:
            value, end = decoder.raw_decode(text, brace.start())
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(value, dict) and (isinstance(value.get("properties"), dict) or _is_typed(value)):
            return text[: brace.start()] + "\n" + text[end:], value
    return text, None


def _is_typed(value: Mapping[str, Any]) -> bool:
    return value.get("type") in {"object", "array"} and ("items" in value or "required" in value)


def _split(text: str) -> tuple[str, str]:
    for fence in _FENCES:
        if found := fence.findall(text):
            document = max((inner for _, inner in found), key=len).strip()
            if document:
                return fence.sub(" ", text).strip(), document
    lines = text.split("\n")
    first, last = 0, len(lines)
    while first < last and _is_instruction(lines[first]):
        first += 1
    while last > first and _is_instruction(lines[last - 1]):
        last -= 1
    document = "\n".join(lines[first:last]).strip()
    if document:
        return "\n".join([*lines[:first], *lines[last:]]).strip(), document
    return _split_one_line(text)


def _split_one_line(text: str) -> tuple[str, str]:
    """`Summarise this: The cat sat.`: the document begins after the first colon."""
    if match := re.match(r"(?s)(.{3,300}?[:：])\s*(\S.{15,})", text):
        return match[1], match[2].strip()
    return "", text.strip()


def _is_instruction(line: str) -> bool:
    stripped = line.strip()
    if not stripped:
        return True
    if len(stripped) > _LONGEST_INSTRUCTION or re.search(r"[:：]\s*\S.{80}", stripped):
        return False
    # `Text:`, `Document follows:`; a label with its value behind it belongs to the document.
    if stripped.endswith((":", "：")) and len(stripped) < _LONGEST_LABEL:
        return True
    return bool(_IMPERATIVE.match(stripped) or _POINTER.search(stripped))


def _sentence_count(text: str, *, is_question: object) -> int:
    match = _SENTENCE_COUNT.search(text)
    if not match:
        return 1 if is_question else DEFAULT_SENTENCES
    word = (match[1] or match[2]).lower()
    if word in _NUMBER_WORDS:
        return _NUMBER_WORDS[word]
    if word in _JAPANESE_DIGITS:
        return _JAPANESE_DIGITS[word]
    return max(1, int(word)) if word.isdigit() else 1
