"""The pipeline file: which model, which prompt, how to chunk, what to answer, what it may cost."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

import jinja2.meta
import jsonschema
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from batchline import catalog
from batchline.errors import Code, Refused
from batchline.ids import MAX_ATTEMPTS
from batchline.models import Frozen

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAX_FILE_BYTES: Final = 100_000
VARIABLES: Final = ("text", "document", "chunk", "row")

TEMPLATES: Final = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=False, autoescape=False
)

_DURATION: Final = re.compile(r"(\d+)\s*(s|m|h)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def _seconds(value: object) -> object:
    """Read `90s`, `2m` or `1h`; a bare number counts seconds."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if not found:
            message = "write a duration like 30s, 2m or 1h"
            raise ValueError(message)
        return int(found[1]) * _SECONDS[found[2]]
    return value


class Chunk(Frozen):
    """How an upload is cut: by tokens, a record per row (CSV, JSONL), or the whole document."""

    by: Literal["tokens", "row", "document"] = "tokens"
    max_tokens: int = Field(default=2000, ge=50)
    overlap_tokens: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _overlap_below_half(self) -> Self:
        if self.overlap_tokens * 2 > self.max_tokens:
            message = "overlap_tokens may be at most half of max_tokens"
            raise ValueError(message)
        return self


class Output(Frozen):
    """What an answer must look like: a JSON Schema. Without it an answer is text."""

    json_schema: dict[str, Any] = Field(alias="schema")

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            message = f"not a JSON Schema: {error.message} at {error.json_path}"
            raise ValueError(message) from error
        if outside := next((ref for ref in _references(schema) if not ref.startswith("#")), None):
            message = f"$ref {outside} leads outside the file; put the definition under $defs"
            raise ValueError(message)
        return schema


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


class Inference(Frozen):
    """Parameters of the model, named as Bedrock names them."""

    max_tokens: int = Field(default=1024, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop_sequences: tuple[str, ...] = Field(default=(), max_length=4)


class Budget(Frozen):
    """What a pipeline may spend, in USD. Above it documents are HELD."""

    per_day_usd: Decimal = Field(gt=0)


class Pipeline(Frozen):
    """One version of a pipeline, as its file says it."""

    model: str = Field(min_length=1, max_length=2048)
    prompt: str = Field(min_length=1)
    system: str | None = None
    output: Output | None = None
    chunk: Chunk = Chunk()
    combine: Literal["concat", "list"] = "concat"
    inference: Inference = Inference()
    too_few: Literal["on_demand", "flex", "wait"] = "on_demand"
    max_wait: Annotated[int, BeforeValidator(_seconds)] = Field(default=120, ge=0, le=7 * 86400)
    attempts: int = Field(default=3, ge=1, le=MAX_ATTEMPTS)
    budget: Budget | None = None

    @field_validator("prompt")
    @classmethod
    def _prompt_reads_the_document(cls, prompt: str) -> str:
        try:
            used = jinja2.meta.find_undeclared_variables(TEMPLATES.parse(prompt))
        except jinja2.TemplateSyntaxError as error:
            message = f"the template is wrong in its line {error.lineno}: {error.message}"
            raise ValueError(message) from error
        if strange := sorted(used - set(VARIABLES)):
            message = f"unknown variable {strange[0]}{did_you_mean(strange[0], VARIABLES)}"
            raise ValueError(message)
        if not used & {"text", "row"}:
            message = "it uses neither {{ text }} nor {{ row }}, so no document would be read"
            raise ValueError(message)
        return prompt

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        known = catalog.model(self.model)
        uses_row = "row" in jinja2.meta.find_undeclared_variables(TEMPLATES.parse(self.prompt))
        if uses_row and self.chunk.by != "row":
            message = "the prompt uses {{ row }}, which needs `chunk: {by: row}`"
            raise ValueError(message)
        if self.inference.max_tokens > known.max_output and known.known:
            message = (
                f"inference.max_tokens is {self.inference.max_tokens}, but {known.base_id} answers "
                f"at most {known.max_output} tokens"
            )
            raise ValueError(message)
        if self.too_few == "flex" and not known.flex:
            message = f"too_few: flex needs a model with the flex tier; {known.base_id} has none"
            raise ValueError(message)
        return self

    @cached_property
    def template(self) -> jinja2.Template:
        return TEMPLATES.from_string(self.prompt)

    @property
    def schema_text(self) -> str | None:
        """The JSON Schema of an answer, on one line."""
        if self.output is None:
            return None
        return json.dumps(self.output.json_schema, ensure_ascii=False, separators=(",", ":"))

    def dump(self) -> str:
        """Write the version as JSON: only what the file says, so that defaults stay defaults."""
        return json.dumps(
            self.model_dump(mode="json", by_alias=True, exclude_unset=True),
            ensure_ascii=False,
            sort_keys=True,
        )

    @property
    def version(self) -> str:
        """A hash of what the file says: comments and layout do not count."""
        return hashlib.sha256(self.dump().encode()).hexdigest()[:12]


def load(text: str) -> Pipeline:
    """Read what `Pipeline.dump` wrote."""
    return Pipeline.model_validate_json(text)


def parse(data: bytes) -> Pipeline:
    """Read a pipeline file.

    Raises Refused(PIPELINE_INVALID) with the line and what to change.
    """
    if len(data) > MAX_FILE_BYTES:
        raise _invalid(f"the file has {len(data)} bytes; a pipeline file has at most {MAX_FILE_BYTES}")
    try:
        text = data.decode("utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except yaml.YAMLError as error:
        raise _invalid(_yaml_problem(error)) from error
    if not isinstance(root, yaml.MappingNode):
        raise _invalid("the file must hold keys and values, such as `model: …` and `prompt: …`")
    lines = dict(_lines(root, (), set()))
    try:
        return Pipeline.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise _invalid(_yaml_problem(error)) from error
    except ValidationError as error:
        problems = [_problem(dict(e), lines) for e in error.errors(include_url=False)]
        raise _invalid("; ".join(dict.fromkeys(problems))) from error


def did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    """Say which known word was probably meant, as the end of a sentence."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _invalid(message: str) -> Refused:
    return Refused(Code.PIPELINE_INVALID, f"{message}. Correct the file and upload it again.")


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return f"{where}not YAML: {getattr(error, 'problem', None) or error}"


type _Path = tuple[str | int, ...]


def _lines(node: yaml.Node, path: _Path, seen: set[int]) -> Iterator[tuple[_Path, int]]:
    """Yield the line of every key; refuse what YAML would take in silence."""
    if id(node) in seen and not isinstance(node, yaml.ScalarNode):
        raise _invalid(f"line {node.start_mark.line + 1}: anchors and aliases are not supported")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in keys:
                raise _invalid(f"line {line}: {key.value} is given twice")
            keys.add(key.value)
            yield (*path, key.value), line
            yield from _lines(value, (*path, key.value), seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*path, number), value.start_mark.line + 1
            yield from _lines(value, (*path, number), seen)


def _problem(error: Mapping[str, Any], lines: Mapping[_Path, int]) -> str:
    """Turn one of pydantic's errors into a sentence with its line."""
    path: _Path = error["loc"]
    known = path
    while known and known not in lines:
        known = known[:-1]
    where = f"line {lines[known]}: " if known else ""
    name = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        return f"{where}unknown key {name}{did_you_mean(str(path[-1]), _keys(path[:-1]))}"
    if error["type"] == "missing":
        return f"{where}{name} is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}{name + ': ' if name else ''}{said[0].lower()}{said[1:]}"


def _keys(path: _Path) -> list[str]:
    """Name the keys that a place of the file may have."""
    parts: dict[_Path, type[Frozen]] = {
        (): Pipeline,
        ("chunk",): Chunk,
        ("output",): Output,
        ("inference",): Inference,
        ("budget",): Budget,
    }
    fields = parts[path].model_fields
    return [field.alias or name for name, field in fields.items()]
