import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from batchline.aggregate import (
    Ending,
    Settled,
    Shape,
    Tally,
    comma_separated,
    ending,
    is_unsure,
    jsonl,
    parts,
    shape,
    together,
    written,
)
from batchline.errors import Code
from batchline.models import DocumentStatus, Failure
from batchline.pipelines import Pipeline
from hypothesis import given
from hypothesis import strategies as st

EARLIER = Failure(Code.ROWS_INVALID, "Line 9 is not CSV.")
BLOCKED = Failure(Code.ANSWER_BLOCKED, "The model stopped.")
EMPTY = Failure(Code.ANSWER_EMPTY, "The model answered nothing.")
INVALID = Failure(Code.ANSWER_INVALID, "The answer is not JSON.")
CANCELLED = Failure(Code.CANCELLED, "Cancelled.")
SURE = {"schema": {"properties": {"sure": {}}}, "confidence": {"field": "sure", "at_least": 0.8}}


def pipeline(combine: str = "concat", *, schema: bool = False, **keys: Any) -> Pipeline:
    output: dict[str, Any] = {"output": {"schema": {}}} if schema else {}
    return Pipeline.model_validate(
        {"model": "m", "prompt": "{{ text }}", "combine": combine, **output, **keys}
    )


def good(*outputs: Any) -> list[Settled]:
    return [Settled(f"m{n:07d}", output, None) for n, output in enumerate(outputs)]


def bad(*failures: Failure) -> list[Settled]:
    return [Settled(f"m{n:07d}", None, failure) for n, failure in enumerate(failures)]


def end(settled: list[Settled], of: Pipeline, earlier: Failure | None = None) -> Ending:
    tally = Tally()
    for one in settled:
        tally.add(one, of)
    return ending(tally, of, result=bool(tally.answered), earlier=earlier)


def combined(outputs: list[Any], of: Pipeline) -> Any:
    """Put answers together both ways, which must agree."""
    how = shape(of, len(outputs))
    value = together(parts(outputs, of, how), how)
    assert json.loads("".join(written(parts(outputs, of, how), how))) == value
    return value


@pytest.mark.parametrize(
    ("outputs", "how", "schema", "result"),
    [
        (["  one\n", "two"], "concat", False, "one\n\ntwo"),
        (["one "], "concat", False, "one"),
        (['"quoted"\n', "\u2028 and \\"], "concat", False, '"quoted"\n\nand \\'),
        (["one", "two"], "list", False, ["one", "two"]),
        (["one"], "list", False, ["one"]),
        # Values cannot be concatenated: one stands alone, more are a list.
        ([{"a": 1}], "concat", True, {"a": 1}),
        ([{"a": 1}, {"a": 2}], "concat", True, [{"a": 1}, {"a": 2}]),
        ([{"a": 1}, {"a": 1}], "concat", True, [{"a": 1}, {"a": 1}]),
        ([{"a": 1}], "list", True, [{"a": 1}]),
        # A list holds each item once; answers that are lists are joined.
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}], "list", True, [{"a": 1, "b": 2}, {"a": 2}]),
        ([["pay", "insure"], ["insure", "return"], []], "list", True, ["pay", "insure", "return"]),
        # An answer may be nothing, and be an answer.
        ([None], "list", True, [None]),
        ([0, False, "0"], "list", True, [0, False, "0"]),
        ([], "list", True, []),
    ],
)
def test_answers_are_put_together(outputs: list[Any], how: str, schema: bool, result: Any) -> None:
    assert combined(outputs, pipeline(how, schema=schema)) == result


def test_rows_may_have_the_same_answer() -> None:
    rows = pipeline("list", chunk={"by": "row"})
    assert combined(["yes", "no", "yes"], rows) == ["yes", "no", "yes"]


def test_what_two_overlapping_chunks_repeat_is_said_once() -> None:
    overlapping = pipeline(chunk={"max_tokens": 100, "overlap_tokens": 10})
    texts = ["He came. The door was locked.", "The door was locked. He went.", "Nobody saw him."]
    assert combined(texts, overlapping) == "He came. The door was locked.\n\nHe went.\n\nNobody saw him."
    assert combined(texts, pipeline()) == "\n\n".join(texts)
    # All of it was said before, and too little to be more than chance.
    assert combined(["The door was locked.", "The door was locked."], overlapping) == "The door was locked."
    assert combined(["He went home", "home he went"], overlapping) == "He went home\n\nhome he went"
    # Thirty repeated words are more than ten tokens can have overlapped.
    long = "over and over " * 30
    assert combined([long, long], overlapping).count("over and over") > 30


@given(st.text("ab", max_size=40), st.text("ab", max_size=40), st.text("ab", max_size=40))
def test_the_longest_repetition_goes(start: str, middle: str, rest: str) -> None:
    overlapping = pipeline(chunk={"max_tokens": 100, "overlap_tokens": 10})
    before, after = start + middle, middle + rest
    lengths = [n for n in range(16, len(after) + 1) if before.endswith(after[:n])]
    kept = after[max(lengths, default=0) :]
    assert combined([before, after], overlapping) == (f"{before}\n\n{kept}" if kept else before)


def test_some_failures_make_a_partial_result() -> None:
    assert end([*good("one"), *bad(BLOCKED, EMPTY, BLOCKED)], pipeline()) == Ending(
        DocumentStatus.PARTIAL,
        Failure(
            Code.RECORDS_FAILED,
            "3 of 4 records have no answer: ANSWER_BLOCKED 2, ANSWER_EMPTY 1. "
            "The first says: The model stopped.",
        ),
    )


def test_nothing_but_failures_is_a_failure() -> None:
    found = end(bad(EMPTY), pipeline())
    assert found.status is DocumentStatus.FAILED
    assert found.failure is not None
    assert found.failure.message.startswith("1 of 1 records have no answer: ANSWER_EMPTY 1.")


def test_an_upload_that_was_wrong_further_down_keeps_its_own_reason() -> None:
    assert end(good("one"), pipeline(), EARLIER) == Ending(DocumentStatus.PARTIAL, EARLIER)
    assert end(bad(EMPTY), pipeline(), EARLIER) == Ending(DocumentStatus.FAILED, EARLIER)
    assert end([], pipeline(), EARLIER) == Ending(DocumentStatus.FAILED, EARLIER)


def test_no_records_are_no_success() -> None:
    found = end([], pipeline())
    assert found.status is DocumentStatus.FAILED
    assert found.failure is not None
    assert found.failure.code == Code.TEXT_MISSING


def test_a_document_is_cancelled_when_a_record_was_not_asked() -> None:
    assert end([*good("one"), *bad(CANCELLED, EMPTY)], pipeline()) == Ending(
        DocumentStatus.CANCELLED,
        Failure(Code.CANCELLED, "Cancelled: 1 of 3 records were not asked any more."),
    )


@pytest.mark.parametrize(
    ("output", "unsure"),
    [
        ({"sure": 0.8}, False),
        ({"sure": Decimal("0.79")}, True),
        ({"sure": 1}, False),
        ({"sure": True}, True),
        ({"sure": "very"}, True),
        ({}, True),
        ("text", True),
    ],
)
def test_an_answer_says_itself_how_sure_it_is(output: Any, unsure: bool) -> None:
    assert is_unsure(output, pipeline(output=SURE)) is unsure
    assert not is_unsure(output, pipeline(schema=True))


def test_a_person_looks_at_what_the_pipeline_names() -> None:
    both = pipeline(output=SURE, review={"when": ["confidence", "invalid"]})
    found = end([*good({"sure": 0.9}, {"sure": 0.1}), *bad(INVALID, INVALID)], both)
    assert found == Ending(
        DocumentStatus.HELD,
        Failure(
            Code.REVIEW_NEEDED,
            "2 answers are invalid and 1 answer is below the pipeline's confidence. "
            "Settle it with `batchline review`: --accept, --correct or --reject.",
        ),
    )
    assert end(good({"sure": 0.9}), both).status is DocumentStatus.COMPLETED
    only = pipeline(output=SURE, review={"when": "confidence"})
    assert end([*good({"sure": 0.9}), *bad(INVALID)], only).status is DocumentStatus.PARTIAL
    assert end(bad(CANCELLED, INVALID), both).status is DocumentStatus.CANCELLED


@given(
    st.lists(st.booleans(), max_size=20), st.none() | st.just(EARLIER), st.sampled_from(["concat", "list"])
)
def test_the_status_follows_from_the_counts(outcomes: list[bool], earlier: Failure | None, how: str) -> None:
    settled = [
        Settled(f"m{n:07d}", f"answer {n}" if fine else None, None if fine else EMPTY)
        for n, fine in enumerate(outcomes)
    ]
    found = end(settled, pipeline(how), earlier)
    wrong = earlier or not all(outcomes) or not outcomes
    assert (found.status is DocumentStatus.FAILED) == (not any(outcomes))
    assert (found.failure is not None) == bool(wrong)


def test_a_table_has_a_line_for_every_row() -> None:
    settled = [Settled("m0000000", {"a": 1}, None), Settled("m0000001", None, EMPTY)]
    assert [json.loads(line) for line in jsonl(settled)] == [
        {"row": 0, "output": {"a": 1}},
        {"row": 1, "error": {"code": "ANSWER_EMPTY", "message": "The model answered nothing."}},
    ]


def test_a_table_has_a_column_for_every_property() -> None:
    schema = {"type": "object", "properties": {"name": {}, "tags": {}, "price": {}}}
    rows = pipeline("csv", chunk={"by": "row"}, output={"schema": schema})
    settled = [
        Settled("m0000000", {"price": Decimal("0.5"), "name": 'a "b", c', "tags": ["x", "ü"]}, None),
        Settled("m0000001", None, EMPTY),
        Settled("m0000002", {"name": "two\nlines", "tags": None}, None),
    ]
    assert list(csv.reader(io.StringIO("".join(comma_separated(settled, rows)), newline=""))) == [
        ["row", "name", "tags", "price", "error"],
        ["0", 'a "b", c', '["x", "ü"]', "0.5", ""],
        ["1", "", "", "", "ANSWER_EMPTY"],
        ["2", "two\nlines", "", "", ""],
    ]


def test_a_table_of_texts_has_one_column() -> None:
    rows = pipeline("csv", chunk={"by": "row"})
    assert "".join(comma_separated(good("yes", "no"), rows)) == "row,output,error\n0,yes,\n1,no,\n"


def test_a_million_answers_pass_through_one_by_one() -> None:
    seen = 0

    def outputs() -> Any:
        nonlocal seen
        while seen < 1_000_000:
            seen += 1
            yield "yes"

    found = written(parts(outputs(), pipeline(), Shape.TEXT), Shape.TEXT)
    assert [next(found), next(found), next(found)] == ['"', "yes", "\\n\\nyes"]
    assert seen == 2
