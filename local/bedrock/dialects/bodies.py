"""What the body models of all dialects share: strictness, and the two ways to word a refusal."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from local.bedrock.errors import ApiError, invalid
from local.bedrock.prompts import Turn


class Body(BaseModel):
    """A request body; members that its provider does not document are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def read_model[B: Body](kind: type[B], body: dict[str, Any]) -> B:
    """Validate as Bedrock does for Titan, Nova, Llama, Cohere and Mistral: JSON Schema wording."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _schema_violation(error) from error


def _schema_violation(error: ValidationError) -> ApiError:
    problems = error.errors(include_url=False, include_context=True)
    advice = "please reformat your input and try again."
    if len(problems) > 1:
        return invalid(f"Malformed input request: {len(problems)} schema violations found, {advice}")
    return invalid(f"Malformed input request: {_worded(problems[0])}, {advice}")


def _worded(problem: ErrorDetails) -> str:
    *parents, name = [str(step) for step in problem["loc"]] or [""]
    where = "#" + "".join(f"/{step}" for step in parents)
    match problem["type"]:
        case "missing":
            return f"{where}: required key [{name}] not found"
        case "extra_forbidden":
            return f"{where}: extraneous key [{name}] is not permitted"
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            limit = next(iter(problem.get("ctx", {}).values()), "")
            bound = "greater" if problem["type"].startswith("greater") else "less"
            return f"{where}/{name}: {problem['input']} is not {bound} or equal to {limit}"
        case _:
            return f"{where}/{name}: {problem['msg']}"


def text_of(content: str | list[dict[str, Any]]) -> str:
    """Return the text of a message's content: a string, or blocks of which some carry text."""
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if isinstance(block.get("text"), str))


def turns_of(messages: list[dict[str, Any]]) -> tuple[Turn, ...]:
    return tuple(Turn(str(m.get("role")), text_of(m.get("content") or "")) for m in messages)
