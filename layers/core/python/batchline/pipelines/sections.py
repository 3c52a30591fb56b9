"""The sections of a pipeline file: chunk, output, inference, budget, cache, review, combine."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

import jsonschema
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from batchline import structured
from batchline.pipelines import schemas
from batchline.pipelines.hints import did_you_mean
from batchline.pipelines.templates import variables
from batchline.pipelines.values import MODEL, Misfit, Part, listed, seconds

REDUCE_VARIABLES: Final = ("text", "parts", "document")


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
        BeforeValidator(lambda value: listed(value, "a column")),
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

    ttl: Annotated[int, BeforeValidator(seconds)] = Field(default=30 * 86400, ge=60, le=365 * 86400)


def cached(value: object) -> object:
    """Read `true` as a cache with its defaults and `false` as none."""
    if isinstance(value, bool):
        return {} if value else None
    if value is None or isinstance(value, Mapping | Cache):
        return value
    message = "write true, false or {ttl: 30d}"
    raise ValueError(message)


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
        BeforeValidator(lambda value: listed(value, "confidence, invalid or both")),
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
