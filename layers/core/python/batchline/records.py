"""Records: what the model is asked about one chunk, as the body of a request in its dialect."""

import base64
import copy
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import batched, count, repeat
from typing import Any, Final, Self
from uuid import uuid4

import msgspec
import orjson
from jinja2.meta import find_undeclared_variables

from batchline import catalog, dialects, prompts
from batchline.catalog import Model
from batchline.errors import Code, Refused
from batchline.formats.content import Image
from batchline.models import SHORT_PROMPT, Usage
from batchline.pipelines import TEMPLATES, Pipeline
from batchline.tokens import Counter, counter, rounded

# Tokens that a chat format adds around system text and message; measured 6 to 7 for Claude.
FRAME_TOKENS: Final = 12
# An estimate may be low by so much, so that near the limit it does not do.
ESTIMATE_OFF: Final = 3.5
# Of each variable its values, one for each of some chunks.
type Variables = Mapping[str, Sequence[Any]]
# The prompts of so many records are weighed as one text, which takes a quarter of the time.
WEIGHED: Final = 100


class Record(msgspec.Struct, frozen=True, gc=False):
    """A request without its id: the id also says the attempt, which is not decided here.

    It has so many `tokens`, and those of its prompt where there is a counter to weigh it when it is asked
    for: that takes longer than to make the record.
    """

    index: int
    model_input: bytes
    tokens: float
    prompt: str = ""
    counter: Counter | None = None

    @property
    def input_tokens(self) -> int:
        """Estimate the tokens of the request."""
        return rounded(self.tokens + (self.counter.weigh(self.prompt) if self.counter else 0))

    def line(self, record_id: str) -> bytes:
        """Write the record as a line of a batch job's input."""
        return b'{"recordId":"%b","modelInput":%b}\n' % (record_id.encode(), self.model_input)


def input_tokens(found: Sequence[Record]) -> int:
    """Estimate the tokens that records have together."""
    return sum(map(_together, batched(found, WEIGHED, strict=False)))


def _together(found: Sequence[Record]) -> int:
    counted = found[0].counter
    if len(found) < WEIGHED or counted is None or any(one.counter is not counted for one in found):
        return sum(one.input_tokens for one in found)
    # Weights add up; each record by itself is rounded up, by a half on average.
    told = sum([one.tokens for one in found]) + counted.weigh(*[one.prompt for one in found])
    return rounded(told) + len(found) // 2


def lengths(found: Iterable[Record]) -> list[int]:
    """Estimate the tokens of those requests whose prompt may be a long one."""
    return [one.input_tokens for one in found if len(one.model_input) > SHORT_PROMPT]


@dataclass(frozen=True, slots=True)
class Form:
    """What the requests of a pipeline have in common: everything but the prompt and a picture."""

    pipeline: Pipeline
    model: Model
    counter: Counter
    plain: prompts.Plain | None
    used: AbstractSet[str]  # the variables that the prompt names
    before: bytes  # the body around the prompt, which stands in it as a JSON string
    after: bytes
    told: float  # estimated tokens of what is said beside the prompt, and of the frame
    beside: float | None  # of what is said beside a text, where nothing else is put into the prompt
    densest: float  # the most tokens that a byte of a prompt is estimated at
    room: int  # tokens that a request may have

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        model, counted = catalog.model(pipeline.model), counter(pipeline.model)
        place = uuid4().hex  # stands nowhere else
        before, after = orjson.dumps(_body(pipeline, [{"text": place}])).split(f'"{place}"'.encode())
        told = "".join(part["text"] for part in dialects.instructions(pipeline, model))
        if model.structured_output:
            told += pipeline.schema_text or ""
        parsed = TEMPLATES.parse(pipeline.prompt)
        plain, used = prompts.Plain.of(parsed), find_undeclared_variables(parsed)
        room = model.context - pipeline.answer_tokens
        said = counted.weigh(told) + FRAME_TOKENS
        densest = max(counted.weights)
        return cls(pipeline, model, counted, plain, used, before, after, said, None, densest, room)

    def about(self, document: Mapping[str, Any]) -> Self:
        """Give the form for records of one document, of which plain prompts say the same."""
        if self.plain is None:
            return self
        plain = self.plain.given("document", document)
        around = plain.around("text")
        beside = None if around is None else self.told + self.counter.weigh(*around)
        return replace(self, plain=plain, beside=beside)

    def picture(self, index: int, variables: Variables, image: Image) -> Record:
        """Render the prompt for a picture, which stands before it.

        Raises Refused with PROMPT_FAILED or MODEL_CANNOT_SEE.
        """
        if not self.model.vision:
            raise Refused(
                Code.MODEL_CANNOT_SEE,
                f"The file holds pictures, and {self.pipeline.model} reads text only. Name a model that sees "
                "in the pipeline, or upload the text.",
            )
        ((prompt,), _) = self._prompts(index, variables, 1)
        body = orjson.dumps(_body(self.pipeline, [_picture(image), {"text": prompt}]))
        return Record(index, body, self._tokens(index, prompt, more=self.counter.family.picture))

    def records(
        self, first: int, variables: Variables, length: int, counted: Sequence[int | None] | None = None
    ) -> list[Record]:
        """Render the prompts for so many chunks, whose indexes are `first` and those after it.

        `counted` are the tokens of their texts, where they are known. Raises Refused with PROMPT_FAILED, or
        with PROMPT_TOO_LONG and the numbers.
        """
        filled, written = self._prompts(first, variables, length)
        bodies = [self.before + one + self.after for one in written]
        # Texts are weighed now, so that they are not kept as prompts and as bodies.
        if (
            counted is None
            and (self.told + self.densest * max(map(len, written))) * ESTIMATE_OFF <= self.room
        ):
            return list(map(Record, count(first), bodies, repeat(self.told), filled, repeat(self.counter)))
        known = [None] * length if counted is None else counted
        tokens = list(map(self._tokens, count(first), filled, known))
        return list(map(Record, count(first), bodies, tokens))

    def _tokens(self, index: int, prompt: str, text: int | None = None, *, more: int = 0) -> int:
        """Tell the tokens of a request that may be too long. Raises Refused(PROMPT_TOO_LONG)."""
        if text is None or self.beside is None:
            said = self.told + self.counter.weigh(prompt)
        else:
            said = self.beside + text
        if said * ESTIMATE_OFF > self.room:
            said = self.told + self.counter(prompt)
        tokens = rounded(said) + more
        if tokens > self.room:
            raise Refused(
                Code.PROMPT_TOO_LONG,
                f"Record {index} has about {tokens} tokens and may answer {self.pipeline.answer_tokens}; "
                f"{self.pipeline.model} takes {self.model.context} in all. Lower chunk.max_tokens in the "
                "pipeline.",
            )
        return tokens

    def _prompts(self, first: int, variables: Variables, length: int) -> tuple[list[str], list[bytes]]:
        """Render prompts; give them as texts and as JSON strings."""
        filled = self.plain.fill(variables, length) if self.plain else None
        if filled is None:
            each = ({name: values[at] for name, values in variables.items()} for at in range(length))
            filled = [self._rendered(index, one) for index, one in enumerate(each, first)]
        return filled, _written(first, filled)

    def _rendered(self, index: int, variables: Mapping[str, Any]) -> str:
        try:
            return prompts.render(self.pipeline.template, variables)
        except prompts.ERRORS as error:
            raise _failed(index, str(error)[:200].rstrip(".")) from error


def record(pipeline: Pipeline, index: int, variables: Mapping[str, Any]) -> Record:
    """Make one record; for many, keep the form. Raises what `Form.records` does."""
    (made,) = Form.of(pipeline).records(index, {name: [value] for name, value in variables.items()}, 1)
    return made


def _body(pipeline: Pipeline, content: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return dialects.body(pipeline, content, pipeline.model, max_tokens=pipeline.inference.max_tokens)


def _picture(image: Image) -> dict[str, Any]:
    """Write a picture as the content block of a JSON request, where bytes are Base64."""
    data = base64.b64encode(image.data).decode("ascii")
    return {"image": {"format": image.format, "source": {"bytes": data}}}


def _written(first: int, found: Iterable[str]) -> list[bytes]:
    """Write prompts as JSON strings."""
    written: list[bytes] = []
    for index, prompt in enumerate(found, first):
        try:
            written.append(orjson.dumps(prompt))
        except orjson.JSONEncodeError as error:
            raise _failed(index, "the text holds half of a character") from error
    return written


def _failed(index: int, how: str) -> Refused:
    return Refused(
        Code.PROMPT_FAILED,
        f"The prompt cannot be rendered for record {index}: {how}. Correct the pipeline's prompt or the "
        "document.",
    )


def demand(body: dict[str, Any], model: str) -> Usage:
    """Estimate what a request takes: the tokens that the model reads, and the most that it may answer."""
    counted = counter(model)
    told = counted.weigh("".join(dialects.texts(body)))
    read = (rounded(told) if told else 0) + FRAME_TOKENS + dialects.pictures(body) * counted.family.picture
    return Usage(read, body.get("inferenceConfig", {}).get("maxTokens", 0))


def for_model(body: Mapping[str, Any], pipeline: Pipeline, model_id: str) -> dict[str, Any]:
    """Write a request anew for another model of the pipeline's list: the same content, in its words.

    The room for the answer stays as it is, within what the model has.
    """
    told = (pipeline.system, dialects.SCHEMA_REQUEST + (pipeline.schema_text or ""))
    asked = body["messages"][0]["content"]
    content = [block for block in asked if "text" not in block or block["text"] not in told]
    most = body["inferenceConfig"]["maxTokens"]
    model = catalog.model(model_id)
    if model.known:
        most = min(most, model.max_output)
    return dialects.body(pipeline, content, model_id, max_tokens=most)


def with_more_room(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Double the answer's limit of a request whose answer was cut off, up to the model's own.

    Never lower it: the limit of an unknown model is a guess.
    """
    longer = copy.deepcopy(dict(body))
    config = longer["inferenceConfig"]
    now = config["maxTokens"]
    config["maxTokens"] = max(now, min(now * 2, catalog.model(model).max_output))
    return longer
