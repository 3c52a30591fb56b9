"""A pipeline: which model, which prompt, how to chunk, what to answer, what it may cost."""

import hashlib
import json
import re
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

import jinja2.meta
from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from batchline import catalog, parameters, prompts
from batchline.ids import MAX_ATTEMPTS
from batchline.pipelines.sections import (
    Budget,
    Cache,
    Chunk,
    Combine,
    Inference,
    Output,
    Reduce,
    Review,
    cached,
)
from batchline.pipelines.templates import TEMPLATES, compiled, variables
from batchline.pipelines.values import MODEL, Misfit, Part, listed, seconds

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
VARIABLES: Final = ("text", "document", "chunk", "row", "rows")
# What Bedrock takes as a tag of a job: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Tag.html
TAG_KEY: Final = re.compile(r"[a-zA-Z0-9 ._:/=+@-]{1,128}")
TAG_VALUE: Final = re.compile(r"[a-zA-Z0-9 ._:/=+@-]{0,256}")
TAGS_OF_OTHERS: Final = ("aws:", "batchline:")
MAX_TAGS: Final = 40  # AWS takes 50 for one resource; some are ours
IN_FORCE: Final = "in force"  # the context in which a version is read that was accepted before


class Pipeline(Part):
    """One version of a pipeline, as its file says it.

    `models` are tried in their order: the next one gets what the one before could not answer well.
    """

    models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2048, pattern=MODEL)], ...],
        BeforeValidator(lambda value: listed(value, "a model")),
    ] = Field(alias="model")
    prompt: str = Field(min_length=1)
    system: str | None = None
    output: Output | None = None
    chunk: Chunk = Chunk()
    combine: Combine = "concat"
    inference: Inference = Inference()
    too_few: Literal["on_demand", "flex", "priority", "wait"] = "on_demand"
    max_wait: Annotated[int, BeforeValidator(seconds)] = Field(default=120, ge=0, le=7 * 86400)
    deadline: Annotated[int, BeforeValidator(seconds)] | None = Field(default=None, ge=60, le=7 * 86400)
    timeout_hours: int | None = Field(default=None, ge=24, le=168)
    attempts: int = Field(default=3, ge=1, le=MAX_ATTEMPTS)
    cache: Annotated[Cache | None, BeforeValidator(cached)] = None
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
