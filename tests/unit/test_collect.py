import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest
from batchline import collect
from batchline.collect import Answer, Located, Summary, Tally, Verdict
from batchline.errors import Code
from batchline.ids import RecordId
from batchline.models import Failure, Usage
from batchline.pipelines import Pipeline
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

ID = "mfzwizltmfzwizltm00000011"


def pipeline(**changes: Any) -> Pipeline:
    return Pipeline.model_validate({"model": "m", "prompt": "{{ text }}", "attempts": 3} | changes)


def converse(text: str = "fine", stop: str = "end_turn", **changes: Any) -> bytes:
    output = {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": stop,
        "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15},
        "metrics": {"latencyMs": 7},
    }
    return orjson.dumps({"recordId": ID, "modelInput": {}, "modelOutput": output | changes})


# lines


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


FILES = st.lists(
    st.sampled_from([b"", b"{}", b" ", b"\r", "日本".encode(), b"x" * 9]) | st.binary(max_size=5), max_size=12
).map(b"\n".join)


@given(FILES, st.data(), st.integers(1, 8))
def test_ranges_share_a_files_lines_out_without_loss(data: bytes, draw: st.DataObject, size: int) -> None:
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=4).map(sorted))
    borders = [0, *cuts, len(data)]
    found: list[Located] = []
    for start, stop in itertools.pairwise(borders):
        rest = data[max(0, start - 1) :]
        found += collect.lines(blocks(rest, size), start=start, stop=stop)
    position, expected = 0, []
    for line in data.split(b"\n"):
        if line.strip():
            expected.append(Located(position, line))
        position += len(line) + 1
    assert found == expected
    for one in found:
        assert data[one.offset : one.offset + len(one.data)] == one.data


def test_a_range_reads_no_further_than_it_must() -> None:
    read = []

    def watched() -> Iterator[bytes]:
        for block in (b"one\n", b"two\n", b"three\n", b"four\n"):
            read.append(block)
            yield block

    assert [one.data for one in collect.lines(watched(), start=0, stop=4)] == [b"one"]
    assert len(read) == 2


# read


def test_an_answer_is_read() -> None:
    content = [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "a"}, {"text": "b"}]
    line = converse(output={"message": {"content": content}})
    assert collect.read(line) == Answer(ID, "ab", "end_turn", Usage(12, 3))


@pytest.mark.parametrize(
    ("error", "code", "message", "again"),
    [
        ({"errorCode": 400, "errorMessage": "bad"}, Code.MODEL_ERROR, "400: bad", False),
        ({"errorCode": 429, "errorMessage": "slow"}, Code.MODEL_ERROR, "429: slow", True),
        ({"errorCode": "503", "errorMessage": "busy"}, Code.MODEL_ERROR, "503: busy", True),
        ({"errorCode": 400, "errorMessage": "x", "retryable": True}, Code.MODEL_ERROR, "400: x", True),
        ({"errorMessage": "no code"}, Code.MODEL_ERROR, "0: no code", False),
        ({"errorCode": "Unknown"}, Code.MODEL_ERROR, "Unknown: ", False),
        ({"errorCode": 500, "errorMessage": None}, Code.MODEL_ERROR, "500: None", True),
    ],
)
def test_an_error_is_read(error: dict[str, Any], code: Code, message: str, again: bool) -> None:
    answer = collect.read(orjson.dumps({"recordId": ID, "error": error}))
    assert answer == Answer(ID, None, "error", Usage(), Failure(code, message), again)


def test_an_endless_error_message_is_cut() -> None:
    answer = collect.read(orjson.dumps({"recordId": ID, "error": {"errorMessage": "x" * 10**6}}))
    assert answer.failure is not None
    assert len(answer.failure.message) < 600


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        converse()[:-5],
        b'{"recordId": "%b", "modelOutput": null}' % ID.encode(),
        b'{"recordId": "%b"}' % ID.encode(),
        b'{"recordId": "%b", "error": "a string"}' % ID.encode(),
        b'{"recordId": "%b", "error": [1]}' % ID.encode(),
        converse(usage={"inputTokens": "12", "outputTokens": 3}),
        converse(usage={"inputTokens": 12, "outputTokens": None}),
        converse(usage={"inputTokens": -12, "outputTokens": 3}),
        converse(usage={"inputTokens": True, "outputTokens": 3}),
        converse(usage={"inputTokens": 1.5, "outputTokens": 3}),
        converse(output={"message": {"content": [{"text": 5}]}}),
        converse(output={"message": {"content": None}}),
        b"[" * 10_000,
    ],
)
def test_a_broken_line_is_an_answer_that_may_be_had_again(line: bytes) -> None:
    answer = collect.read(line)
    assert answer.text is None
    assert answer.usage == Usage()
    assert answer.retryable
    assert answer.failure is not None
    assert answer.failure.code == Code.ANSWER_UNREADABLE
    assert answer.record_id == (ID if ID.encode() in line else "")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ODD_LINES = st.fixed_dictionaries(
    {},
    optional={
        "recordId": st.just(ID) | JSON,
        "error": JSON | st.fixed_dictionaries({"errorCode": JSON, "errorMessage": JSON}),
        "modelOutput": JSON
        | st.fixed_dictionaries(
            {
                "usage": JSON | st.fixed_dictionaries({"inputTokens": JSON, "outputTokens": JSON}),
                "output": JSON
                | st.fixed_dictionaries(
                    {"message": JSON | st.fixed_dictionaries({"content": JSON | st.lists(JSON, max_size=2)})}
                ),
                "stopReason": JSON,
            }
        ),
    },
).map(lambda line: json.dumps(line).encode())


@given(ODD_LINES | st.binary(max_size=80), st.integers(1, 3), st.booleans())
def test_no_line_whatever_stops_a_job(line: bytes, attempt: int, schema: bool) -> None:
    answer = collect.read(line)
    spec = pipeline(output={"schema": {"type": "object"}}) if schema else pipeline()
    verdict = collect.judge(answer, spec, attempt)
    assert verdict.outcome in {collect.SUCCEEDED, collect.FAILED, collect.RETRY}
    summary = Summary(answer.record_id, verdict.outcome, "", answer.usage)
    assert Summary.load(summary.dump()) == summary


# judge

S, F, R = collect.SUCCEEDED, collect.FAILED, collect.RETRY


@pytest.mark.parametrize(
    ("text", "stop", "first", "last", "code"),
    [
        ("fine", "end_turn", S, S, None),
        ("fine", "stop_sequence", S, S, None),
        ("fine", "tool_use", S, S, None),
        ("", "end_turn", R, F, Code.ANSWER_EMPTY),
        (" \n", "end_turn", R, F, Code.ANSWER_EMPTY),
        ("half an ans", "max_tokens", R, S, Code.ANSWER_TRUNCATED),
        ("", "max_tokens", R, F, Code.ANSWER_TRUNCATED),
        ("half", "model_context_window_exceeded", S, S, Code.ANSWER_TRUNCATED),
        ("I must not", "guardrail_intervened", F, F, Code.ANSWER_BLOCKED),
        ("I must not", "content_filtered", F, F, Code.ANSWER_BLOCKED),
    ],
)
def test_what_becomes_of_a_text(text: str, stop: str, first: str, last: str, code: Code | None) -> None:
    answer = collect.read(converse(text, stop))
    for attempt, outcome in ((1, first), (2, first), (3, last), (4, last)):
        verdict = collect.judge(answer, pipeline(), attempt)
        assert verdict.outcome == outcome
        if outcome == S:
            assert verdict == Verdict(S, text)
        else:
            assert verdict.output is None
            assert verdict.failure is not None
            assert verdict.failure.code == code


@pytest.mark.parametrize(("written", "outcome"), [(4095, R), (4096, S)])
def test_a_text_that_fills_the_model_is_not_tried_again(written: int, outcome: str) -> None:
    # A model that the catalog does not know answers 4,096 tokens at most.
    usage = {"inputTokens": 12, "outputTokens": written}
    answer = collect.read(converse("half", "max_tokens", usage=usage))
    spec = pipeline(model="nobody.knows-v1:0")
    assert collect.judge(answer, spec, 1).outcome == outcome


@pytest.mark.parametrize(
    ("text", "stop", "first", "last", "code"),
    [
        ('{"a": 1}', "end_turn", S, S, None),
        ('{"a": "x"}', "end_turn", R, F, Code.ANSWER_INVALID),
        ("no JSON", "end_turn", R, F, Code.ANSWER_INVALID),
        # Cut JSON is no answer, not even at the last attempt.
        ('{"a": 1}', "max_tokens", R, F, Code.ANSWER_TRUNCATED),
    ],
)
def test_what_becomes_of_an_answer_with_a_schema(
    text: str, stop: str, first: str, last: str, code: Code | None
) -> None:
    spec = pipeline(output={"schema": {"properties": {"a": {"type": "integer"}}}})
    answer = collect.read(converse(text, stop))
    verdicts = [collect.judge(answer, spec, attempt) for attempt in (1, 2, 3)]
    assert [one.outcome for one in verdicts] == [first, first, last]
    assert [one.failure.code if one.failure else None for one in verdicts] == [code] * 3


@pytest.mark.parametrize("status", [408, 424, 429, 500, 502, 503, 504, 529])
def test_an_error_that_may_pass_is_tried_again(status: int) -> None:
    answer = collect.read(orjson.dumps({"recordId": ID, "error": {"errorCode": status}}))
    assert [collect.judge(answer, pipeline(), n).outcome for n in (1, 2, 3)] == [R, R, F]
    assert collect.judge(answer, pipeline(attempts=1), 1).outcome == F


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 501])
def test_an_error_that_stays_is_final(status: int) -> None:
    answer = collect.read(orjson.dumps({"recordId": ID, "error": {"errorCode": status}}))
    assert collect.judge(answer, pipeline(), 1).outcome == F


@pytest.mark.parametrize(
    ("ended", "message", "attempt", "outcome", "code", "said"),
    [
        ("Failed", "Access denied.", 1, F, Code.JOB_FAILED, "Access denied."),
        ("Failed", "", 3, F, Code.JOB_FAILED, "The job ended as Failed."),
        ("REFUSED", "No such model.", 1, F, Code.JOB_REFUSED, "No such model."),
        ("Expired", "", 1, R, Code.ANSWER_MISSING, "The job ended as Expired without this record."),
        ("Stopped", "", 2, R, Code.ANSWER_MISSING, "The job ended as Stopped without this record."),
        ("PartiallyCompleted", "", 3, F, Code.ANSWER_MISSING, "without this record"),
        ("Completed", "", 1, R, Code.ANSWER_MISSING, "without this record"),
    ],
)
def test_what_becomes_of_a_missing_record(
    ended: str, message: str, attempt: int, outcome: str, code: Code, said: str
) -> None:
    record = RecordId("mfzwizltmfzwizlt", "m", 1, attempt)
    verdict = collect.missing(ended=ended, message=message, record_id=record, attempts=3)
    assert verdict.outcome == outcome
    assert verdict.failure is not None
    assert verdict.failure.code == code
    assert said in verdict.failure.message


# structured


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
    found, failure = collect.structured(text, {})
    assert failure is None
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "{'a': 1}",
        '{"a": 1',
        "NaN",
        "Infinity",
        "1e999",
        "9" * 400,
        '"\\ud800"',
        "```json\n[1]",
        "```",
    ],
)
def test_what_is_not_json_is_invalid(text: str) -> None:
    value, failure = collect.structured(text, {})
    assert value is None
    assert failure is not None
    assert failure.code == Code.ANSWER_INVALID
    assert failure.message.startswith("The answer is not JSON: ")


@pytest.mark.parametrize(
    "text", ["```json\n" + "\n" * 300_000, "```" * 100_000, "`" * 300_000, " " * 300_000]
)
def test_odd_fences_are_read_in_linear_time(text: str) -> None:
    assert collect.structured(text, {})[1] is not None


TREE = {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "null"}]}


@pytest.mark.parametrize(("depth", "schema"), [(100, {}), (100, {"type": "array"}), (20, TREE)])
def test_nested_answers_are_read(depth: int, schema: dict[str, Any]) -> None:
    text = "[" * depth + "]" * depth
    value, failure = collect.structured(text, schema)
    assert failure is None
    assert orjson.dumps(value).decode() == text


@pytest.mark.parametrize("schema", [{}, TREE])
@pytest.mark.parametrize(("depth", "said"), [(102, "100 levels"), (1_000, "100 levels"), (3_000, "not JSON")])
def test_deeper_answers_are_invalid_and_not_the_end(depth: int, said: str, schema: dict[str, Any]) -> None:
    _, failure = collect.structured("[" * depth + "]" * depth, schema)
    assert failure is not None
    assert failure.code == Code.ANSWER_INVALID
    assert said in failure.message


def test_a_schema_without_end_is_a_failure_of_the_record() -> None:
    assert collect.structured("1", {"$ref": "#"})[1] is not None


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
        ({"properties": {"a": False}}, {"a": SECRET}, "$", "false"),
        ({"anyOf": [{"type": "null"}]}, SECRET, "$", 'anyOf: [{"type": "null"}]'),
        ({"not": {}}, {SECRET: SECRET}, "$", "not: {}"),
        ({"$ref": "#/$defs/名", "$defs": {"名": {"type": "null"}}}, SECRET, "$", 'type: "null"'),
    ],
)
def test_a_broken_rule_is_named_but_never_the_value(
    schema: dict[str, Any], answer: object, place: str, rule: str
) -> None:
    value, failure = collect.structured(json.dumps(answer), schema)
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
    value, failure = collect.structured(form.replace("{}", text), {})
    if failure:  # integers beyond a double, half characters
        assert "not JSON" in failure.message
        return
    orjson.dumps(value, default=str)
    if collect.storable(value):
        TypeSerializer().serialize(value)


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
    assert collect.storable(value) is expected
    if expected:
        TypeSerializer().serialize(value)


def test_dynamodb_holds_32_levels() -> None:
    # The row's attribute is one of them, and its item another.
    def nested(depth: int) -> object:
        return [nested(depth - 1)] if depth else 1

    assert collect.storable(nested(30))
    assert not collect.storable(nested(31))


# merge and tally

SUMMARIES = st.builds(
    Summary,
    st.sampled_from(["a", "b", "c", "d", ""]),
    st.sampled_from([S, F, R]),
    st.sampled_from(["", "MODEL_ERROR"]),
    st.builds(Usage, st.integers(0, 99), st.integers(0, 99)),
)


def test_the_first_line_of_a_record_counts() -> None:
    first, second = Summary("a", S, "", Usage(1, 2)), Summary("a", F, "X", Usage(10, 20))
    stranger = Summary("x", S, "", Usage(100, 200))
    merged = collect.merge([first, second, stranger], ["b", "a"])
    assert merged == collect.Merged({"a": first}, ("b",), 1, 1, Usage(110, 220))


@given(st.lists(SUMMARIES), st.lists(st.sampled_from("abcd"), unique=True))
def test_merging_loses_and_invents_nothing(summaries: list[Summary], expected: list[str]) -> None:
    merged = collect.merge(summaries, expected)
    assert sorted([*merged.by_record, *merged.missing]) == sorted(expected)
    assert len(merged.by_record) + merged.duplicates + merged.foreign == len(summaries)
    owned = sum((one.usage for one in merged.by_record.values()), Usage())
    assert owned + merged.unowned == sum((one.usage for one in summaries), Usage())


@given(st.lists(SUMMARIES))
def test_a_tally_counts_each_outcome_once(summaries: list[Summary]) -> None:
    tally = Tally()
    for one in summaries:
        tally.add(one.outcome, one.usage)
    assert tally.succeeded + tally.failed + tally.retried == len(summaries)
    assert tally.usage == sum((one.usage for one in summaries), Usage())


@given(SUMMARIES)
def test_summaries_are_read_back(summary: Summary) -> None:
    line = summary.dump()
    assert line.endswith(b"\n")
    assert Summary.load(line) == summary
