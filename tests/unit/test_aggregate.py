from typing import Any

import pytest
from batchline.aggregate import Combined, Settled, combine
from batchline.errors import Code
from batchline.models import DocumentStatus, Failure
from batchline.pipelines import Pipeline
from hypothesis import given
from hypothesis import strategies as st

EARLIER = Failure(Code.ROWS_INVALID, "Line 9 is not CSV.")
BLOCKED = Failure(Code.ANSWER_BLOCKED, "The model stopped.")
EMPTY = Failure(Code.ANSWER_EMPTY, "The model answered nothing.")


def pipeline(combine: str = "concat", *, schema: bool = False) -> Pipeline:
    output: dict[str, Any] = {"output": {"schema": {}}} if schema else {}
    return Pipeline.model_validate({"model": "m", "prompt": "{{ text }}", "combine": combine, **output})


def good(*outputs: Any) -> list[Settled]:
    return [Settled(f"m{n:07d}", output, None) for n, output in enumerate(outputs)]


def bad(*failures: Failure) -> list[Settled]:
    return [Settled(f"m{n:07d}", None, failure) for n, failure in enumerate(failures)]


@pytest.mark.parametrize(
    ("outputs", "how", "schema", "result"),
    [
        (["  one\n", "two"], "concat", False, "one\n\ntwo"),
        (["one "], "concat", False, "one"),
        (["one", "two"], "list", False, ["one", "two"]),
        (["one"], "list", False, ["one"]),
        # Values cannot be concatenated: one stands alone, more are a list.
        ([{"a": 1}], "concat", True, {"a": 1}),
        ([{"a": 1}, {"a": 2}], "concat", True, [{"a": 1}, {"a": 2}]),
        ([{"a": 1}], "list", True, [{"a": 1}]),
        # An answer may be nothing, and be an answer.
        ([None], "list", True, [None]),
        ([[], 0, False], "list", True, [[], 0, False]),
    ],
)
def test_answers_are_put_together(outputs: list[Any], how: str, schema: bool, result: Any) -> None:
    found = combine(good(*outputs), pipeline(how, schema=schema))
    assert found == Combined(DocumentStatus.COMPLETED, result, None)


def test_some_failures_make_a_partial_result() -> None:
    settled = [*good("one"), *bad(BLOCKED, EMPTY, BLOCKED)]
    found = combine(settled, pipeline())
    assert (found.status, found.result) == (DocumentStatus.PARTIAL, "one")
    assert found.failure == Failure(
        Code.RECORDS_FAILED,
        "3 of 4 records have no answer: ANSWER_BLOCKED 2, ANSWER_EMPTY 1. The first says: The model stopped.",
    )


def test_nothing_but_failures_is_a_failure() -> None:
    found = combine(bad(EMPTY), pipeline())
    assert (found.status, found.result) == (DocumentStatus.FAILED, None)
    assert found.failure is not None
    assert found.failure.message.startswith("1 of 1 records have no answer: ANSWER_EMPTY 1.")


def test_an_upload_that_was_wrong_further_down_keeps_its_own_reason() -> None:
    assert combine(good("one"), pipeline(), earlier=EARLIER) == Combined(
        DocumentStatus.PARTIAL, "one", EARLIER
    )
    assert combine(bad(EMPTY), pipeline(), earlier=EARLIER) == Combined(DocumentStatus.FAILED, None, EARLIER)
    assert combine([], pipeline(), earlier=EARLIER) == Combined(DocumentStatus.FAILED, None, EARLIER)


def test_no_records_are_no_success() -> None:
    found = combine([], pipeline())
    assert found.status is DocumentStatus.FAILED
    assert found.failure is not None
    assert found.failure.code == Code.TEXT_MISSING


@given(
    st.lists(st.booleans(), max_size=20), st.none() | st.just(EARLIER), st.sampled_from(["concat", "list"])
)
def test_the_status_follows_from_the_counts(outcomes: list[bool], earlier: Failure | None, how: str) -> None:
    settled = [
        Settled(f"m{n:07d}", f"answer {n}" if fine else None, None if fine else EMPTY)
        for n, fine in enumerate(outcomes)
    ]
    found = combine(settled, pipeline(how), earlier=earlier)
    wrong = earlier or not all(outcomes) or not outcomes
    assert (found.status is DocumentStatus.FAILED) == (not any(outcomes))
    assert (found.failure is not None) == bool(wrong)
    expected = [f"answer {n}" for n, fine in enumerate(outcomes) if fine]
    if expected:
        assert found.result == (expected if how == "list" else "\n\n".join(expected))
