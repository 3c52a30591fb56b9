"""JSON that satisfies a schema and says what the text says."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from local.bedrock import schema_filling

LEASE = """LEASE AGREEMENT

This Lease is made on 1 April 2025 between Sunrise Properties Ltd ("Landlord") and Maria Lopez ("Tenant").

1. The Tenant shall pay rent of £1,450 per month in advance.
2. The Tenant must not keep animals without written consent.
3. The Landlord shall keep the roof in repair. The term is 24 months.
Contact: office@sunrise.example
"""


@pytest.mark.parametrize(
    ("name", "rules", "expected"),
    [
        ("start_date", {"type": "string", "format": "date"}, "2025-04-01"),
        ("monthlyRent", {"type": "number"}, 1450.0),
        ("term_months", {"type": "integer"}, 24),
        ("tenant", {"type": "string"}, "Maria Lopez"),
        ("landlord", {"type": "string"}, "Sunrise Properties Ltd"),
        ("title", {"type": "string"}, "LEASE AGREEMENT"),
        ("email", {"type": "string", "format": "email"}, "office@sunrise.example"),
        ("currency", {"type": "string", "pattern": "^[A-Z]{3}$"}, "GBP"),
        ("animals_mentioned", {"type": "boolean"}, False),
        ("purchase_order", {"type": ["string", "null"], "description": "order number"}, None),
        ("kind", {"enum": ["sale", "lease", "loan"]}, "lease"),
        ("version", {"const": 3}, 3),
    ],
)
def test_a_property_is_filled_by_what_its_name_asks_for(
    name: str, rules: dict[str, Any], expected: Any
) -> None:
    schema = {"type": "object", "properties": {name: rules}}
    assert schema_filling.fill(schema, LEASE) == {name: expected}


def test_obligations_are_the_sentences_that_bind() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "description": "obligations"}
    assert schema_filling.fill(schema, LEASE) == [
        "The Tenant shall pay rent of £1,450 per month in advance.",
        "The Tenant must not keep animals without written consent.",
        "The Landlord shall keep the roof in repair.",
    ]


def test_an_array_of_objects_has_one_for_each_fact() -> None:
    schema = {
        "type": "object",
        "properties": {
            "amounts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"value": {"type": "number"}, "currency": {"type": "string"}},
                },
            }
        },
    }
    text = "The fee is USD 100. The deposit is EUR 2,000. Nothing else is due."
    assert schema_filling.fill(schema, text) == {
        "amounts": [{"value": 100.0, "currency": "USD"}, {"value": 2000.0, "currency": "EUR"}]
    }


def test_references_alternatives_and_recursion() -> None:
    schema = {
        "$defs": {
            "node": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "child": {"$ref": "#/$defs/node"}},
            }
        },
        "anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}],
    }
    Draft202012Validator(schema).validate(schema_filling.fill(schema, LEASE))


LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda low: {"type": "string", "minLength": low}, st.integers(0, 30)),
    st.builds(lambda high: {"type": "string", "maxLength": high}, st.integers(0, 30)),
    st.sampled_from([{"type": "string", "format": f} for f in ("date", "date-time")]),
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-100, 100),
        st.integers(0, 50),
    ),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low}, st.integers(-100, 100)),
    st.builds(lambda step: {"type": "integer", "multipleOf": step}, st.integers(1, 9)),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"type": ["integer", "null"]}),
    st.builds(lambda options: {"enum": options}, st.lists(st.text(max_size=5), min_size=1, unique=True)),
    st.builds(lambda value: {"const": value}, st.integers()),
)
NAMES = st.sampled_from(["date", "total", "name", "obligations", "summary", "x", "party", "id", "tags"])


def _objects(children: Any) -> Any:
    properties = st.dictionaries(NAMES, children, max_size=4)
    return properties.map(
        lambda made: {
            "type": "object",
            "properties": made,
            "required": list(made),
            "additionalProperties": False,
        }
    )


def _arrays(children: Any) -> Any:
    return st.builds(
        lambda items, low, span: {
            "type": "array",
            "items": items,
            "minItems": low,
            "maxItems": low + span,
        },
        children,
        st.integers(0, 3),
        st.integers(0, 3),
    )


SCHEMAS = st.recursive(LEAVES, lambda children: _objects(children) | _arrays(children), max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(schema=SCHEMAS, text=st.sampled_from([LEASE, "", "雨。", "No. 5 costs $7 on 2025-01-02."]))
def test_every_value_satisfies_its_schema(schema: dict[str, Any], text: str) -> None:
    value = schema_filling.fill(schema, text)
    Draft202012Validator(schema).validate(value)
