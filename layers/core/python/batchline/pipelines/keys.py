"""The keys of a pipeline: which model, which prompt, how to chunk, what to answer, what it may cost."""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

import jinja2.meta
import jsonschema
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from batchline import catalog, parameters, prompts, structured
from batchline.ids import MAX_ATTEMPTS
from batchline.models import Frozen
from batchline.pipelines import schemas
from batchline.pipelines.hints import did_you_mean
from batchline.pipelines.templates import TEMPLATES, compiled, variables

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
VARIABLES: Final = ("text", "document", "chunk", "row", "rows")
REDUCE_VARIABLES: Final = ("text", "parts", "document")
# What Bedrock takes as a tag of a job: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Tag.html
TAG_KEY: Final = re.compile(r"[a-zA-Z0-9 ._:/=+@-]{1,128}")
TAG_VALUE: Final = re.compile(r"[a-zA-Z0-9 ._:/=+@-]{0,256}")
TAGS_OF_OTHERS: Final = ("aws:", "batchline:")
MAX_TAGS: Final = 40  # AWS takes 50 for one resource; some are ours
# What Bedrock takes as a model's id or ARN.
MODEL: Final = r"^[A-Za-z0-9][A-Za-z0-9.:/_-]*$"
IN_FORCE: Final = "in force"  # the context in which a version is read that was accepted before

_DURATION: Final = re.compile(r"(\d+)\s*(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
YES_OR_NO: Final = frozenset({"cache"})  # keys that may be `true` or `false`


def _seconds(value: object) -> object:
    """Read `90s`, `2m`, `1h` or `7d`; a bare number counts seconds."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if not found:
            message = "write a duration like 30s, 2m, 1h or 7d"
            raise ValueError(message)
        return int(found[1]) * _SECONDS[found[2]]
    return value


def _listed(value: object, what: str) -> object:
    """Take a single word for a list of one; refuse an empty list."""
    if value in ([], ()):
        message = f"the list is empty; name {what}"
        raise ValueError(message)
    return (value,) if isinstance(value, str) else value


class Part(Frozen):
    """A part of the file. Where a key is no yes or no, `true` is not taken for a 1."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_a_truth_value(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name not in YES_OR_NO:
            message = f"{str(value).lower()} means nothing here"
            raise ValueError(message)
        return value


class Chunk(Part):
    """How an upload is cut: by tokens, by pages, `rows` rows of a table per record, or not at all.

    `columns` names those of CSV and TSV files whose first line is a row like all others.
    """

    by: Literal["tokens", "page", "row", "document"] = "tokens"
    max_tokens: int = Field(default=2000, ge=50)
    overlap_tokens: int = Field(default=0, ge=0)
    rows: int = Field(default=1, ge=1, le=1000)
    columns: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        BeforeValidator(lambda value: _listed(value, "a column")),
    ] = ()

    @field_validator("columns")
    @classmethod
    def _columns_differ(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for name in columns:
            if columns.count(name) > 1:
                message = f"{name} is named twice"
                raise ValueError(message)
        return columns

    @model_validator(mode="after")
    def _overlap_below_half(self) -> Self:
        if self.overlap_tokens * 2 > self.max_tokens:
            message = "overlap_tokens may be at most half of max_tokens"
            raise ValueError(message)
        return self


class Confidence(Part):
    """Which number of an answer says how sure the model is, and from where on it is sure enough."""

    field: str = Field(min_length=1)
    at_least: float


class Output(Part):
    """What an answer must look like: a JSON Schema. Without it an answer is text."""

    json_schema: dict[str, Any] = Field(alias="schema")
    confidence: Confidence | None = None

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            message = f"not a JSON Schema: {error.message} at {error.json_path}"
            raise ValueError(message) from error
        schemas.refuse_references(schema)
        try:
            structured.Schema(schema)
        except structured.NotASchema as error:
            message = f"not a JSON Schema: {error}"
            raise ValueError(message) from error
        return schema

    @cached_property
    def reader(self) -> structured.Schema:
        """What reads answers and holds them against the schema."""
        return structured.Schema(self.json_schema)

    def is_sure(self, answer: Any) -> bool:
        """Tell whether an answer is as sure as the pipeline asks for.

        An answer that leaves the number out, or has something else in its place, is not.
        """
        if self.confidence is None:
            return True
        said = answer.get(self.confidence.field) if isinstance(answer, Mapping) else None
        if isinstance(said, bool) or not isinstance(said, int | float | Decimal):
            return False
        # In the words of both: 0.8 as a float is a little more than 0.8.
        return Decimal(str(said)) >= Decimal(str(self.confidence.at_least))

    @model_validator(mode="after")
    def _confidence_is_in_the_schema(self) -> Self:
        fields = self.json_schema.get("properties", {})
        if self.confidence is None or (named := self.confidence.field) in fields:
            return self
        message = f"the schema has no property {named}{did_you_mean(named, sorted(fields))}"
        raise Misfit(message, "output", "confidence", "field")


class Inference(Part):
    """Parameters of the model, named as Bedrock names them; `dimensions` is the length of a vector."""

    max_tokens: int = Field(default=1024, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop_sequences: tuple[str, ...] = Field(default=(), max_length=4)
    dimensions: int | None = Field(default=None, ge=1)


class Budget(Part):
    """What a pipeline may spend in a day and on one document, in USD. Above it documents are HELD."""

    per_day_usd: Decimal | None = Field(default=None, gt=0)
    per_document_usd: Decimal | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.per_day_usd is None and self.per_document_usd is None:
            message = "it limits nothing; write per_day_usd, per_document_usd or both"
            raise ValueError(message)
        return self


class Cache(Part):
    """For how many seconds the answer to a request is used again for the same request."""

    ttl: Annotated[int, BeforeValidator(_seconds)] = Field(default=30 * 86400, ge=60, le=365 * 86400)


def _cached(value: object) -> object:
    """Read `true` as a cache with its defaults and `false` as none."""
    if isinstance(value, bool):
        return {} if value else None
    if value is None or isinstance(value, Mapping | Cache):
        return value
    message = "write true, false or {ttl: 30d}"
    raise ValueError(message)


class Misfit(ValueError):
    """Two keys that do not fit each other; the one at `path` is to be corrected."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


class Reduce(Part):
    """A last request, or several in stages, that makes one answer of the answers to a document's parts.

    `model` is the pipeline's first one unless it is named; `max_tokens` the pipeline's.
    """

    prompt: str = Field(min_length=1)
    model: str | None = Field(default=None, min_length=1, max_length=2048, pattern=MODEL)
    max_tokens: int | None = Field(default=None, ge=1)

    @field_validator("prompt")
    @classmethod
    def _prompt_reads_the_parts(cls, prompt: str) -> str:
        if not variables(prompt, REDUCE_VARIABLES) & {"text", "parts"}:
            message = "it uses neither {{ text }} nor {{ parts }}, so no answer would be read"
            raise ValueError(message)
        return prompt


class Review(Part):
    """When a person looks at a document before it ends: answers below the confidence, or invalid ones."""

    when: Annotated[
        tuple[Literal["confidence", "invalid"], ...],
        BeforeValidator(lambda value: _listed(value, "confidence, invalid or both")),
    ]


# Steps that pydantic puts into the place of an error to say which kind of value it took one for.
WORD: Final = "<word>"
KEYS: Final = "<keys>"


def _kind_of_combine(value: object) -> str:
    return KEYS if isinstance(value, Mapping | Reduce) else WORD


type Combine = Annotated[
    Annotated[Literal["concat", "list", "jsonl", "csv"], Tag(WORD)] | Annotated[Reduce, Tag(KEYS)],
    Discriminator(_kind_of_combine),
]


class Pipeline(Part):
    """One version of a pipeline, as its file says it.

    `models` are tried in their order: the next one gets what the one before could not answer well.
    """

    models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2048, pattern=MODEL)], ...],
        BeforeValidator(lambda value: _listed(value, "a model")),
    ] = Field(alias="model")
    prompt: str = Field(min_length=1)
    system: str | None = None
    output: Output | None = None
    chunk: Chunk = Chunk()
    combine: Combine = "concat"
    inference: Inference = Inference()
    too_few: Literal["on_demand", "flex", "priority", "wait"] = "on_demand"
    max_wait: Annotated[int, BeforeValidator(_seconds)] = Field(default=120, ge=0, le=7 * 86400)
    deadline: Annotated[int, BeforeValidator(_seconds)] | None = Field(default=None, ge=60, le=7 * 86400)
    timeout_hours: int | None = Field(default=None, ge=24, le=168)
    attempts: int = Field(default=3, ge=1, le=MAX_ATTEMPTS)
    cache: Annotated[Cache | None, BeforeValidator(_cached)] = None
    budget: Budget | None = None
    review: Review | None = None
    tags: dict[str, str] = Field(default={}, max_length=MAX_TAGS)

    @field_validator("tags")
    @classmethod
    def _tags_are_such_as_aws_takes(cls, tags: dict[str, str]) -> dict[str, str]:
        for key, value in tags.items():
            if not TAG_KEY.fullmatch(key) or not TAG_VALUE.fullmatch(value):
                message = (
                    f"{key}: a tag has a name of 1 to 128 and a value of at most 256 letters of a to z, "
                    "digits, spaces and . _ : / = + @ -"
                )
                raise ValueError(message)
            if key.lower().startswith(TAGS_OF_OTHERS):
                message = f"{key}: names of tags that begin with {' or '.join(TAGS_OF_OTHERS)} are taken"
                raise ValueError(message)
        return tags

    @field_serializer("models")
    def _as_the_file_says(self, models: tuple[str, ...]) -> str | list[str]:
        return models[0] if len(models) == 1 else list(models)

    @property
    def model(self) -> str:
        """The model that is asked first."""
        return self.models[0]

    def next_model(self, model: str) -> str | None:
        """Name the model to ask after this one. None: it is the last, or not of this pipeline."""
        return dict(pairwise(self.models)).get(model)

    @field_validator("prompt")
    @classmethod
    def _prompt_reads_the_document(cls, prompt: str) -> str:
        if not variables(prompt, VARIABLES) & {"text", "row", "rows"}:
            message = "it uses neither {{ text }} nor {{ row }}, so no document would be read"
            raise ValueError(message)
        return prompt

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        if info.context is IN_FORCE:
            return self
        self._rows_fit_together()
        if self.combine in {"jsonl", "csv"} and self.chunk.by != "row":
            message = f"combine: {self.combine} writes a row per input row, which needs `chunk: {{by: row}}`"
            raise Misfit(message, "combine")
        for known in map(catalog.model, self.models):
            if wrong := parameters.misfit(known, self._given(known)):
                raise Misfit(wrong.message, "inference", wrong.key)
            self._fit_an_embedding(known)
            if not {"flex": known.flex, "priority": known.priority}.get(self.too_few, True):
                tier = self.too_few
                message = f"too_few: {tier} needs a model with the {tier} tier; {known.base_id} has none"
                raise Misfit(message, "too_few")
        if len(self.models) > self.attempts:
            message = f"{len(self.models)} models need as many attempts, but attempts is {self.attempts}"
            raise Misfit(message, "attempts" if "attempts" in self.model_fields_set else "model")
        if len(set(self.models)) < len(self.models):
            message = "a model is named twice"
            raise Misfit(message, "model")
        if self.review and "confidence" in self.review.when and not (self.output and self.output.confidence):
            message = "review.when is confidence, which needs output.confidence"
            raise Misfit(message, "review", "when")
        return self

    def _rows_fit_together(self) -> None:
        used = jinja2.meta.find_undeclared_variables(TEMPLATES.parse(self.prompt))
        for name in sorted(used & {"row", "rows"}):
            if self.chunk.by != "row":
                message = f"the prompt uses {{{{ {name} }}}}, which needs `chunk: {{by: row}}`"
                raise Misfit(message, "prompt")
        if self.chunk.rows > 1 and self.chunk.by != "row":
            message = "chunk.rows counts the rows of a table, which needs `by: row`"
            raise Misfit(message, "chunk", "rows")
        if self.chunk.rows > 1 and "row" in used:
            message = (
                f"the prompt uses {{{{ row }}}}, but a record has {self.chunk.rows} rows; use {{{{ rows }}}}"
            )
            raise Misfit(message, "prompt")

    @property
    def template(self) -> jinja2.Template:
        return compiled(self.prompt)

    @property
    def uses_tags(self) -> bool:
        """Whether the prompt may read the tags of an upload, for which S3 must be asked."""
        return prompts.may_read(TEMPLATES.parse(self.prompt), "document", "tags")

    @property
    def reducing(self) -> "Pipeline | None":
        """The pipeline as it asks for the answers of parts to be made one. None: it does not."""
        if not isinstance(self.combine, Reduce):
            return None
        step = self.combine
        asked = {"max_tokens": step.max_tokens} if step.max_tokens else {}
        return self.model_copy(
            update={
                "models": (step.model,) if step.model else self.models,
                "prompt": step.prompt,
                "inference": self.inference.model_copy(update=asked),
            }
        )

    def _given(self, model: catalog.Model) -> dict[str, Any]:
        """Say which parameters a model is sent. Those that chat are always told how long an answer may be."""
        given = self.inference.model_dump(exclude_unset=True, exclude_none=True)
        return given if model.embeds else given | {"max_tokens": self.inference.max_tokens}

    def _fit_an_embedding(self, model: catalog.Model) -> None:
        """Raise Misfit for what has no meaning where the answer is a vector."""
        if not model.embeds:
            return
        what = f"{model.base_id} answers with a vector"
        for key in ("system", "output", "review"):
            if getattr(self, key) is not None:
                raise Misfit(f"{what} and takes no {key}: leave it out", key)
        if self.combine not in {"list", "jsonl"}:
            message = f"{what}, and vectors are not put together as text: write `combine: list`"
            raise Misfit(message, "combine" if "combine" in self.model_fields_set else "model")
        if len(self.models) > 1:
            message = f"{what}, and vectors of different models cannot be compared: name one model"
            raise Misfit(message, "model")

    @property
    def answer_tokens(self) -> int:
        """The most tokens of an answer; a vector has none."""
        return 0 if catalog.model(self.model).embeds else self.inference.max_tokens

    @property
    def schema_text(self) -> str | None:
        """The JSON Schema of an answer, on one line."""
        if self.output is None:
            return None
        return json.dumps(self.output.json_schema, ensure_ascii=False, separators=(",", ":"))

    def dump(self) -> str:
        """Write the version as JSON: only what the file says, so that defaults stay defaults.

        Keys come in the order of the model. Only a schema keeps its own: models answer in it.
        """
        return json.dumps(
            self.model_dump(mode="json", by_alias=True, exclude_unset=True),
            ensure_ascii=False,
        )

    @property
    def version(self) -> str:
        """A hash of what the file says: comments, layout and the order of its keys do not count."""
        return hashlib.sha256(self.dump().encode()).hexdigest()[:12]


def load(text: str) -> Pipeline:
    """Read what `Pipeline.dump` wrote. What a newer catalog says of its model does not matter any more."""
    return Pipeline.model_validate_json(text, context=IN_FORCE)
