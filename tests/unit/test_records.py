import json
from typing import Any

import botocore.session
import orjson
import pytest
from batchline import catalog, records
from batchline.errors import Code, Refused
from batchline.pipelines import Pipeline
from batchline.tokens import count_tokens, estimate_tokens
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

NOVA = "us.amazon.nova-lite-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
TITAN_TEXT = "amazon.titan-text-express-v1"
TITAN = "amazon.titan-embed-text-v2:0"
SCHEMA = {"type": "object", "properties": {"必要": {"type": "string"}}}


@pytest.fixture(scope="module")
def converse() -> Any:
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    return service.operation_model("Converse").input_shape


def pipeline(**changes: Any) -> Pipeline:
    return Pipeline.model_validate({"model": NOVA, "prompt": "Sum up: {{ text }}"} | changes)


def body_of(one: records.Record) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(one.model_input)
    return body


@pytest.mark.parametrize("model", [NOVA, HAIKU, TITAN_TEXT, "example.unknown-v1"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"system": "Be brief."},
        {"output": {"schema": SCHEMA}},
        {"output": {"schema": SCHEMA}, "system": "Be brief."},
        {
            "inference": {
                "max_tokens": 100,
                "temperature": 0,
                "stop_sequences": ["END", "。"],
            }
        },
    ],
)
def test_bodies_are_what_converse_takes(converse: Any, model: str, changes: dict[str, Any]) -> None:
    spec = pipeline(model=model, **changes)
    body = body_of(records.record(spec, 0, {"text": "a text"}))
    report = ParamValidator().validate({"modelId": model, **body}, converse)
    assert not report.has_errors(), report.generate_report()


def test_a_body_says_what_the_pipeline_says() -> None:
    spec = pipeline(system="Be brief.", inference={"max_tokens": 100, "temperature": 0, "top_p": 0.5})
    assert body_of(records.record(spec, 3, {"text": "日本"})) == {
        "messages": [{"role": "user", "content": [{"text": "Sum up: 日本"}]}],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0, "topP": 0.5},
        "system": [{"text": "Be brief."}],
    }


def test_a_model_with_structured_output_gets_the_schema_as_such() -> None:
    body = body_of(records.record(pipeline(model=HAIKU, output={"schema": SCHEMA}), 0, {"text": "t"}))
    form = body["outputConfig"]["textFormat"]
    assert form["type"] == "json_schema"
    assert json.loads(form["structure"]["jsonSchema"]["schema"]) == SCHEMA
    assert "system" not in body


def test_a_model_without_it_is_asked_for_the_schema() -> None:
    spec = pipeline(output={"schema": SCHEMA}, system="Be brief.")
    body = body_of(records.record(spec, 0, {"text": "t"}))
    assert "outputConfig" not in body
    first, second = body["system"]
    assert first == {"text": "Be brief."}
    assert second["text"].endswith('\n{"type":"object","properties":{"必要":{"type":"string"}}}')


def test_a_line_is_what_a_batch_reads() -> None:
    one = records.record(pipeline(), 0, {"text": 'a "quoted"\nline'})
    line = one.line("mfzwizltmfzwizltm00000001")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert orjson.loads(line) == {"recordId": "mfzwizltmfzwizltm00000001", "modelInput": body_of(one)}


def test_tokens_are_those_of_prompt_system_and_frame() -> None:
    # "Sum up: " + 92 characters = 100 bytes * 0.25 = 25; + 12 for the frame
    assert records.record(pipeline(), 0, {"text": "x" * 92}).input_tokens == 25 + 12
    # + 40 bytes of system text * 0.25 = 10
    assert records.record(pipeline(system="y" * 40), 0, {"text": "x" * 92}).input_tokens == 35 + 12
    # A schema is read by the model as well.
    spec = pipeline(model=HAIKU, output={"schema": {"type": "string"}})
    assert spec.schema_text == '{"type":"string"}'
    tokens = estimate_tokens("Sum up: " + "x" * 92 + '{"type":"string"}', HAIKU)
    assert records.record(spec, 0, {"text": "x" * 92}).input_tokens == tokens + 12


def test_a_prompt_that_is_too_long_is_refused_with_the_numbers() -> None:
    # Nova Lite takes 300,000 tokens: 12 of the frame, 2 of "Sum up: ", 1,024 of the answer.
    room = 300_000 - 12 - 2 - 1_024
    assert records.record(pipeline(), 0, {"text": "x" * room * 4}).input_tokens == 300_000 - 1_024
    with pytest.raises(Refused) as caught:
        records.record(pipeline(), 7, {"text": "x" * (room * 4 + 1)})
    assert caught.value.code == Code.PROMPT_TOO_LONG
    assert caught.value.message == (
        f"Record 7 has about 298977 tokens and may answer 1024; {NOVA} takes 300000 in all. "
        "Lower chunk.max_tokens in the pipeline."
    )


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{{ row.missing }}", "no attribute 'missing'"),
        ("{{ row.price * 1.1 }}", "can't multiply sequence by non-int"),
        ("{{ row.price|int // 0 }}", "by zero"),
        ("{{ row.price.nothing.more }}", "no attribute 'nothing'"),
        ("{{ row.price.format(1)[9] }}", "no element 9"),
        ("{{ '%d'|format(row.price) }}", "%d format"),
        ("{{ row['price'].encode('nothing') }}", "unknown encoding"),
        ("{{ row.price }}{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(row) }}", "recursion"),
        ("{{ row.half }}", "the text holds half of a character"),
        ("{{ row.price }}{{ '\\ud800' }}", "the text holds half of a character"),
    ],
)
def test_an_expression_that_fails_refuses_the_document(prompt: str, said: str) -> None:
    spec = pipeline(prompt=prompt, chunk={"by": "row"})
    with pytest.raises(Refused) as caught:
        records.record(spec, 4, {"row": {"price": "12.50", "half": "\ud800"}, "text": ""})
    assert caught.value.code == Code.PROMPT_FAILED
    assert "for record 4: " in caught.value.message
    assert said in caught.value.message
    caught.value.message.encode()


@given(st.text(st.characters(codec="utf-8")))
def test_every_text_arrives_as_it_is(text: str) -> None:
    body = body_of(records.record(pipeline(prompt="{{ text }}|"), 0, {"text": text}))
    assert body["messages"][0]["content"][0]["text"] == text + "|"


@pytest.mark.parametrize(
    ("model", "now", "then"),
    [
        (NOVA, 1_000, 2_000),
        (NOVA, 6_000, 10_000),  # the model's most
        (NOVA, 10_000, 10_000),
        ("example.unknown-v1", 1_000, 2_000),
        ("example.unknown-v1", 8_000, 8_000),  # 4,096 is only our guess
    ],
)
def test_a_cut_answer_gets_more_room(model: str, now: int, then: int) -> None:
    body = {"inferenceConfig": {"maxTokens": now, "topP": 1}, "messages": []}
    assert records.with_more_room(body, model)["inferenceConfig"] == {"maxTokens": then, "topP": 1}
    assert body["inferenceConfig"] == {"maxTokens": now, "topP": 1}
    assert catalog.model(NOVA).max_output == 10_000


def test_a_model_that_embeds_is_sent_the_text_alone() -> None:
    spec = pipeline(model=TITAN, combine="list", inference={"dimensions": 256})
    one = records.record(spec, 0, {"text": "日本"})
    assert body_of(one) == {"inputText": "Sum up: 日本", "dimensions": 256, "normalize": True}


def test_a_vector_needs_no_room_in_the_context() -> None:
    """Titan reads 8,192 tokens; 1,024 would be kept for the answer of a model that chats."""
    one = records.record(pipeline(model=TITAN, combine="list"), 0, {"text": "word " * 5_000})
    assert 8_192 - 1_024 < one.input_tokens <= 8_192


@pytest.mark.parametrize("spec", [pipeline(), pipeline(system="Be brief.", output={"schema": SCHEMA})])
@pytest.mark.parametrize("first", [NOVA, HAIKU, TITAN_TEXT, "example.unknown-v1"])
@pytest.mark.parametrize("then", [NOVA, HAIKU, TITAN_TEXT, "example.unknown-v1"])
def test_a_request_is_written_anew_for_the_next_model(spec: Pipeline, first: str, then: str) -> None:
    """It is the request that the next model would have been sent in the first place."""
    before, after = (spec.model_copy(update={"models": (one,)}) for one in (first, then))
    bodies = [body_of(records.record(one, 0, {"text": "a text"})) for one in (before, after)]
    assert records.for_model(bodies[0], spec, then) == bodies[1]


def test_a_picture_goes_along_to_the_next_model() -> None:
    picture = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    body = body_of(records.record(pipeline(), 0, {"text": "a text"}))
    body["messages"][0]["content"].insert(0, picture)
    content = records.for_model(body, pipeline(), HAIKU)["messages"][0]["content"]
    assert content == [picture, {"text": "Sum up: a text"}]


def test_room_that_was_raised_stays_within_the_next_model() -> None:
    body = body_of(records.record(pipeline(), 0, {"text": "a text"}))
    body["inferenceConfig"]["maxTokens"] = 9_000
    rooms = [
        records.for_model(body, pipeline(), model)["inferenceConfig"]["maxTokens"]
        for model in (HAIKU, TITAN_TEXT, "example.unknown-v1")
    ]
    assert rooms == [9_000, 8_000, 9_000]


def test_near_the_limit_tokens_are_counted_and_not_estimated() -> None:
    """Markup has far more tokens than its characters let expect; the estimate alone would let it pass."""
    spec = Pipeline.model_validate({"model": "openai.gpt-oss-20b-1:0", "prompt": "{{ text }}"})
    room = catalog.model(spec.model).context - spec.answer_tokens
    text = "<td>#!</td>{{}}\n"
    each = count_tokens(text * 1_000, spec.model) / 1_000
    count = int(room / each)
    assert estimate_tokens(text * (count + 100), spec.model) < room
    with pytest.raises(Refused, match=r"Record 0 has about") as caught:
        records.record(spec, 0, {"text": text * (count + 100)})
    assert caught.value.code == Code.PROMPT_TOO_LONG
    assert records.record(spec, 0, {"text": text * (count - 100)}).input_tokens <= room


def test_many_records_are_weighed_as_one_text() -> None:
    """Every other record is ten times as long and twice as dense, and the estimate shows it."""
    form = records.Form.of(pipeline(prompt="{{ text }}"))
    pair = form.records(0, {"text": ["x" * 40, "。" * 400]}, 2)
    few, many = records.input_tokens(pair * 100), records.input_tokens(pair * 5_000)
    assert few == pytest.approx(sum(one.input_tokens for one in pair) * 100, rel=0.01)
    assert many == pytest.approx(few * 50, rel=0.01)
