import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from batchline.errors import Code
from batchline.models import Failure
from batchline.structured import NotASchema, Schema, storable
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, true, null, "x"]}', {"a": [1, True, None, "x"]}),
        ("  [1]\n", [1]),
        ("```json\n[1]\n```", [1]),
        ("\n```\n[1]\n```\n", [1]),
        ("```JSON\n[1]\n  ```", [1]),
        ('"```"', "```"),
        ('{"a": "```\\nx\\n```"}', {"a": "```\nx\n```"}),
        ("0.1", Decimal("0.1")),
        ("-1.50e2", Decimal(-150)),
        ("1.23456789012345678901234567890123456789012", Decimal("1.2345678901234567890123456789012345679")),
        ("0.0", Decimal(0)),
        ("0e-300", Decimal(0)),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", Decimal(2**64)),
        ("-9223372036854775809", Decimal(-(2**63) - 1)),
        ("9" * 40, Decimal("1E40")),
    ],
)
def test_answers_become_values(text: str, value: object) -> None:
    found, failure = Schema({}).read(text)
    assert failure is None
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        '{"a": 1',
        '[1, {"a": 2}',
        "[[1], [2]",
        'Sure: {"a": [1, 2',
        "NaN",
        "Infinity",
        "1e999",
        "9" * 400,
        '"\\ud800"',
        "```",
        "``` none ```",
    ],
)
def test_what_is_not_json_is_invalid(text: str) -> None:
    value, failure = Schema({}).read(text)
    assert value is None
    assert failure is not None
    assert failure.code == Code.ANSWER_INVALID
    assert failure.message.startswith("The answer is not JSON: ")


@pytest.mark.parametrize(
    "text", ["```json\n" + "\n" * 300_000, "```" * 100_000, "`" * 300_000, " " * 300_000]
)
def test_odd_fences_are_read_in_linear_time(text: str) -> None:
    assert Schema({}).read(text)[1] is not None


TREE = {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "null"}]}


@pytest.mark.parametrize(("depth", "schema"), [(100, {}), (100, {"type": "array"}), (20, TREE)])
def test_nested_answers_are_read(depth: int, schema: dict[str, Any]) -> None:
    text = "[" * depth + "]" * depth
    value, failure = Schema(schema).read(text)
    assert failure is None
    assert orjson.dumps(value).decode() == text


@pytest.mark.parametrize("schema", [{}, TREE])
@pytest.mark.parametrize(("depth", "said"), [(102, "100 levels"), (1_000, "100 levels"), (3_000, "not JSON")])
def test_deeper_answers_are_invalid_and_not_the_end(depth: int, said: str, schema: dict[str, Any]) -> None:
    _, failure = Schema(schema).read("[" * depth + "]" * depth)
    assert failure is not None
    assert failure.code == Code.ANSWER_INVALID
    assert said in failure.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Here it is:\n```json\n{"n": 1.50}\n```\nAnything else?', Decimal("1.50")),
        ('```json\n{"n": 1}', 1),
        ('{"n": 1} I hope that this helps.', 1),
        ("{'n': 1}", 1),
        ('{"n": 1,}', 1),
        ('{"n": 1, // one\n}', 1),
        ("{n: 1}", 1),
        ('I found [2] of them: {"n": 1}', 1),
        ('Not {"m": 1} but {"n": 2}', 2),
        ('{"n": 0.12345678901234567890} as asked', Decimal("0.12345678901234567890")),
    ],
)
def test_slips_are_forgiven(text: str, value: object) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}}
    assert Schema(schema).read(text) == ({"n": value}, None)


def test_what_was_mended_is_held_against_the_schema() -> None:
    schema = {"properties": {"n": {"type": "integer"}}}
    value, failure = Schema(schema).read("{'n': 'one',}")
    assert value is None
    assert failure is not None
    assert failure.message == 'The answer breaks the schema at $.n (type: "integer").'


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://example.com/schema"},
        {"$ref": "#/$defs/none"},
        {"type": "text"},
        {"pattern": "("},
    ],
)
def test_no_answer_is_held_against_what_is_no_schema(schema: dict[str, Any]) -> None:
    with pytest.raises(NotASchema):
        Schema(schema)


SECRET = "Frau Müller has a debt"


@pytest.mark.parametrize(
    ("schema", "answer", "place", "rule"),
    [
        ({"type": "array"}, {SECRET: 1}, "$", 'type: "array"'),
        ({"required": ["a"]}, {}, "$", 'required: ["a"]'),
        ({"properties": {"a": {"items": {"type": "null"}}}}, {"a": [None, SECRET]}, "$.a[1]", 'type: "null"'),
        ({"enum": ["yes", "no"]}, SECRET, "$", 'enum: ["yes", "no"]'),
        ({"additionalProperties": False}, {SECRET: SECRET}, "$", "additionalProperties: false"),
        ({"additionalProperties": {"type": "null"}}, {SECRET: SECRET}, "$.*", 'type: "null"'),
        ({"patternProperties": {".": {"maxLength": 2}}}, {SECRET: SECRET}, "$.*", "maxLength: 2"),
        ({"propertyNames": {"maxLength": 2}}, {SECRET: 1}, "$", "maxLength: 2"),
        ({"const": "a" * 200}, SECRET, "$", 'const: "' + "a" * 99),
        ({"uniqueItems": True}, [SECRET, SECRET], "$", "uniqueItems: true"),
        ({"pattern": "^a"}, SECRET, "$", 'pattern: "^a"'),
        ({"properties": {"a": False}}, {"a": SECRET}, "$.a", "false"),
        ({"items": False}, [SECRET], "$[0]", "items: false"),
        ({"allOf": [False]}, SECRET, "$", "false"),
        ({"anyOf": [{"type": "null"}]}, SECRET, "$", 'anyOf: [{"type": "null"}]'),
        ({"not": {}}, {SECRET: SECRET}, "$", "not: {}"),
        ({"$ref": "#/$defs/名", "$defs": {"名": {"type": "null"}}}, SECRET, "$", 'type: "null"'),
    ],
)
def test_a_broken_rule_is_named_but_never_the_value(
    schema: dict[str, Any], answer: object, place: str, rule: str
) -> None:
    value, failure = Schema(schema).read(json.dumps(answer))
    assert value is None
    assert failure == Failure(Code.ANSWER_INVALID, f"The answer breaks the schema at {place} ({rule}).")
    assert "Müller" not in failure.message


ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(ANSWERS, st.sampled_from(["{}", "```json\n{}\n```", " {}\n"]))
def test_every_value_that_was_answered_can_be_kept(answer: object, form: str) -> None:
    text = json.dumps(answer)
    value, failure = Schema({}).read(form.replace("{}", text))
    if failure:  # integers beyond a double, half characters
        assert "not JSON" in failure.message
        return
    orjson.dumps(value, default=str)
    if storable(value):
        TypeSerializer().serialize(value)


PROSE = st.text(st.characters(codec="utf-8", exclude_characters="{}[]"), max_size=20)
OBJECTS = st.dictionaries(
    st.sampled_from("abc"), st.integers(-9, 9) | st.lists(st.booleans(), max_size=3), max_size=3
)


@given(OBJECTS, PROSE, PROSE, st.sampled_from(["{}", "```json\n{}\n```", "```\n{}\n```"]))
def test_text_around_an_answer_changes_nothing(answer: object, before: str, after: str, form: str) -> None:
    text = before + form.replace("{}", json.dumps(answer)) + after
    assert Schema({"type": "object"}).read(text) == (answer, None)


@given(OBJECTS, st.data())
def test_an_answer_that_breaks_off_is_never_completed(answer: object, draw: st.DataObject) -> None:
    text = json.dumps(answer)
    cut = text[: draw.draw(st.integers(0, len(text) - 1))]
    assert Schema({"type": "object"}).read(cut)[0] is None


@given(st.text(alphabet="{}[]\",:1a\\ '", max_size=40))
def test_no_text_whatever_stops_a_job(text: str) -> None:
    value, failure = Schema({"type": "object"}).read(text)
    assert isinstance(value, dict) == (failure is None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", True),
        ("x", True),
        (None, True),
        (True, True),
        ([], True),
        ({}, True),
        ({"": 1}, False),  # an attribute has a name
        ({"a": {"": 1}}, False),
        (10**38 - 1, True),
        (10**38, False),
        (-(10**38), False),
        (1.5, False),
        (Decimal("1.5"), True),
        (Decimal("9.9999999999999999999999999999999999999E125"), True),
        (Decimal("1E126"), False),
        (Decimal("1E-130"), True),
        (Decimal("1E-131"), False),
        (Decimal("0E-165"), False),
        (Decimal("0E200"), False),
        (Decimal(0), True),
        (Decimal("-0.0"), True),
        (Decimal("1." + "1" * 38), False),
        (Decimal("NaN"), False),
        (Decimal("Infinity"), False),
        ([[Decimal("NaN")]], False),
    ],
)
def test_what_dynamodb_can_hold(value: object, expected: bool) -> None:
    assert storable(value) is expected
    if expected:
        TypeSerializer().serialize(value)


def test_dynamodb_holds_32_levels() -> None:
    # The row's attribute is one of them, and its item another.
    def nested(depth: int) -> object:
        return [nested(depth - 1)] if depth else 1

    assert storable(nested(30))
    assert not storable(nested(31))
