import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest
from batchline import collect
from batchline.collect import Answer, Ending, Located, Verdict
from batchline.errors import Code
from batchline.models import Engine, Failure, Stop, Usage
from batchline.outcomes import Outcome, Tally
from batchline.pipelines import Pipeline
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


def test_the_tokens_of_a_prompt_cache_stand_beside_the_others() -> None:
    usage = {"inputTokens": 12, "outputTokens": 3, "cacheReadInputTokens": 900, "cacheWriteInputTokens": 80}
    assert collect.read(converse(usage=usage)).usage == Usage(12, 3, 900, 80)


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
    verdict = judge(answer, spec, attempt)
    assert verdict.outcome in {S, F, R}
    assert (verdict.failure is None) == (verdict.outcome == S)


# judge

S, F, R, E = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RETRY, Outcome.ESCALATE


def judge(answer: Answer, spec: Pipeline, attempt: int) -> Verdict:
    """Judge what the first model has answered."""
    return collect.judge(answer, spec, model=spec.model, attempt=attempt)


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
        verdict = judge(answer, pipeline(), attempt)
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
    assert judge(answer, spec, 1).outcome == outcome


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
    verdicts = [judge(answer, spec, attempt) for attempt in (1, 2, 3)]
    assert [one.outcome for one in verdicts] == [first, first, last]
    assert [one.failure.code if one.failure else None for one in verdicts] == [code] * 3


@pytest.mark.parametrize("status", [408, 424, 429, 500, 502, 503, 504, 529])
def test_an_error_that_may_pass_is_tried_again(status: int) -> None:
    answer = collect.read(orjson.dumps({"recordId": ID, "error": {"errorCode": status}}))
    assert [judge(answer, pipeline(), n).outcome for n in (1, 2, 3)] == [R, R, F]
    assert judge(answer, pipeline(attempts=1), 1).outcome == F


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 501])
def test_an_error_that_stays_is_final(status: int) -> None:
    answer = collect.read(orjson.dumps({"recordId": ID, "error": {"errorCode": status}}))
    assert judge(answer, pipeline(), 1).outcome == F


CHEAP, DEAR = "amazon.nova-micro-v1:0", "amazon.nova-pro-v1:0"
SURE = {
    "schema": {"type": "object", "properties": {"sure": {"type": "number"}}},
    "confidence": {"field": "sure", "at_least": 0.8},
}


@pytest.mark.parametrize(
    ("text", "stop", "by_cheap", "by_dear"),
    [
        ('{"sure": 0.8}', "end_turn", S, S),
        ('{"sure": 0.79}', "end_turn", E, S),
        ('{"sure": 1}', "end_turn", S, S),
        ("{}", "end_turn", E, S),
        ('{"sure": "very"}', "end_turn", E, R),
        ("no JSON", "end_turn", E, R),
        # A larger model may have more room; within its own, the same one gets more.
        ("{", "model_context_window_exceeded", E, F),
        ("{", "max_tokens", R, R),
        ("", "end_turn", R, R),
        # What a rule has stopped is not carried from model to model until one says it.
        ("{}", "content_filtered", F, F),
    ],
)
def test_the_next_model_gets_what_the_one_before_could_not(
    text: str, stop: str, by_cheap: Outcome, by_dear: Outcome
) -> None:
    spec = pipeline(model=[CHEAP, DEAR], output=SURE)
    answer = collect.read(converse(text, stop))
    assert collect.judge(answer, spec, model=CHEAP, attempt=1).outcome == by_cheap
    assert collect.judge(answer, spec, model=DEAR, attempt=2).outcome == by_dear
    assert collect.judge(answer, spec, model=CHEAP, attempt=3).outcome in {S, F}


def test_an_unsure_answer_that_nobody_betters_is_kept() -> None:
    answer = collect.read(converse('{"sure": 0.5}'))
    spec = pipeline(model=[CHEAP, DEAR], output=SURE)
    verdict = collect.judge(answer, spec, model=DEAR, attempt=2)
    assert verdict == Verdict(S, {"sure": Decimal("0.5")})
    first = collect.judge(answer, spec, model=CHEAP, attempt=1)
    assert first.failure is not None
    assert first.failure.code == Code.ANSWER_UNSURE


def missing(
    ending: Ending, *, attempt: int = 1, failures: int = 0, cancelled: bool = False, **keys: Any
) -> tuple[Outcome, str, str]:
    spec = pipeline(**({"model": [CHEAP, DEAR]} | keys))
    verdict = collect.missing(
        ending, spec, model=CHEAP, attempt=attempt, failures=failures, cancelled=cancelled
    )
    assert verdict.output is None
    assert verdict.failure is not None
    return verdict.outcome, verdict.failure.code, verdict.failure.message


@pytest.mark.parametrize("status", ["Completed", "PartiallyCompleted", "Expired", "Stopped"])
def test_a_missing_record_is_asked_for_again_until_its_last_attempt(status: str) -> None:
    said = f"The job ended as {status} without this record."
    for attempt, outcome in ((1, R), (2, R), (3, F)):
        assert missing(Ending(status), attempt=attempt) == (outcome, "ANSWER_MISSING", said)


def test_a_job_that_failed_as_a_whole_costs_no_attempt() -> None:
    for attempt in (1, 3):
        found = missing(Ending("Failed", "No access to S3."), attempt=attempt)
        assert found == (Outcome.REPEAT, "JOB_FAILED", "No access to S3.")
    assert missing(Ending("Failed"))[2] == "The job ended as Failed."


def test_the_fifth_whole_job_that_fails_is_the_last() -> None:
    assert missing(Ending("Failed"), failures=3)[0] is Outcome.REPEAT
    assert missing(Ending("Failed", "Bad input."), failures=4) == (F, "JOB_FAILED", "Bad input.")


def test_records_of_a_refused_job_go_to_the_next_model_or_fail() -> None:
    refused = Ending("REFUSED", "No such model.")
    assert missing(refused) == (E, "JOB_REFUSED", "No such model.")
    assert missing(refused, attempt=3) == (F, "JOB_REFUSED", "No such model.")
    assert missing(refused, model=CHEAP) == (F, "JOB_REFUSED", "No such model.")


def test_records_of_a_job_that_was_not_sent_wait_for_another() -> None:
    assert missing(Ending("NOT_SENT"), attempt=3)[0] is Outcome.REPEAT
    assert missing(Ending("Stopped", stop=Stop.DEADLINE), attempt=3)[0] is Outcome.REPEAT


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped", "REFUSED", "NOT_SENT"])
def test_what_is_cancelled_is_not_asked_for_again(status: str) -> None:
    said = (F, "CANCELLED", "The record was cancelled before it was answered.")
    assert missing(Ending(status), cancelled=True) == said
    assert missing(Ending(status, stop=Stop.CANCELLED)) == said


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped", "REFUSED", "NOT_SENT"])
def test_what_another_job_asks_is_awaited_unless_it_is_cancelled(status: str) -> None:
    def found(*, cancelled: bool) -> Verdict:
        ending = Ending(status)
        return collect.missing(
            ending, pipeline(), model=CHEAP, attempt=3, failures=9, cancelled=cancelled, elsewhere=True
        )

    assert found(cancelled=False) == Verdict(Outcome.AWAIT)
    assert found(cancelled=True).failure == collect.CANCELLED


def test_only_answers_that_are_good_and_whole_are_reused() -> None:
    def reusable(answer: bytes, **keys: Any) -> bool:
        found = collect.read(answer)
        verdict = collect.judge(found, pipeline(**keys), model=CHEAP, attempt=1)
        return collect.reusable(found, verdict)

    assert reusable(converse("good"))
    assert not reusable(converse("cut o", stop="max_tokens"))
    # At its last attempt a text that was cut counts as an answer, but for this record only.
    assert not reusable(converse("cut o", stop="max_tokens"), attempts=1)
    assert not reusable(converse(""), attempts=1)


# lanes


@pytest.mark.parametrize(
    ("tally", "codes", "works"),
    [
        (Tally(succeeded=1, failed=99), {"MODEL_ERROR": 99}, True),
        (Tally(failed=1), {"MODEL_ERROR": 1}, False),
        (Tally(retried=100), {"JOB_FAILED": 100}, False),
        (Tally(failed=5), {"JOB_REFUSED": 5}, False),
        (Tally(failed=9), {"CANCELLED": 9}, None),
        (Tally(failed=9, retried=1), {"CANCELLED": 9, "ANSWER_MISSING": 1}, False),
        # What came from the cache says nothing, neither good nor bad.
        (Tally(succeeded=5, cached=5, failed=3), {"MODEL_ERROR": 3}, False),
        (Tally(succeeded=5, cached=5), {}, False),
        # Few answers that are no good say nothing of the model; many do.
        (Tally(retried=9), {"ANSWER_INVALID": 9}, None),
        (Tally(retried=10), {"ANSWER_INVALID": 10}, False),
    ],
)
def test_what_a_job_says_of_its_lane(tally: Tally, codes: dict[str, int], works: bool | None) -> None:
    assert collect.lane_works(engine=Engine.BATCH, stopped=False, tally=tally, codes=codes) is works


def test_what_a_job_has_not_sent_says_nothing_of_its_lane() -> None:
    def works(tally: Tally, left_out: int) -> bool | None:
        return collect.lane_works(
            engine=Engine.BATCH, stopped=False, tally=tally, codes={}, left_out=left_out
        )

    assert works(Tally(succeeded=5, cached=5), 5) is None
    assert works(Tally(succeeded=5, cached=5, retried=2), 7) is None
    assert works(Tally(succeeded=5, cached=5, retried=2), 6) is False
    assert works(Tally(succeeded=6, cached=5), 5) is True


def test_a_job_that_we_stopped_or_did_not_send_says_nothing_bad_of_its_lane() -> None:
    def works(engine: Engine, tally: Tally, *, stopped: bool) -> bool | None:
        codes = {"ANSWER_MISSING": 100}
        return collect.lane_works(engine=engine, stopped=stopped, tally=tally, codes=codes)

    assert works(Engine.BATCH, Tally(retried=100), stopped=True) is None
    assert works(Engine.NOBODY, Tally(retried=100), stopped=False) is None
    assert works(Engine.BATCH, Tally(succeeded=1, retried=100), stopped=True) is True
