import orjson
from batchline import collect, invoke
from batchline.errors import Code
from batchline.invoke import Manifest
from batchline.models import Usage
from hypothesis import given
from hypothesis import strategies as st

ID = "mfzwizltmfzwizltm00000011"
BODY = {"messages": [{"role": "user", "content": [{"text": "日本"}]}]}


def output(read: int, written: int) -> dict[str, object]:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": "fine"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": read, "outputTokens": written, "totalTokens": read + written},
    }


def test_an_answer_is_written_as_collect_reads_it() -> None:
    line = invoke.answered(ID, BODY, output(12, 3))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert orjson.loads(line)["modelInput"] == BODY
    answer = collect.read(line)
    assert (answer.record_id, answer.text, answer.usage) == (ID, "fine", Usage(12, 3))


def test_an_error_is_written_as_collect_reads_it() -> None:
    answer = collect.read(invoke.failed(ID, BODY, 429, "too many"))
    assert answer.failure is not None
    assert (answer.failure.code, answer.failure.message) == (Code.MODEL_ERROR, "429: too many")
    assert answer.retryable
    assert not collect.read(invoke.failed(ID, BODY, 400, "bad")).retryable


def test_a_manifest_counts_lines_and_tokens() -> None:
    lines = [
        invoke.answered("a", BODY, output(10, 2)),
        invoke.failed("b", BODY, 400, "bad"),
        b"",
        invoke.answered("c", BODY, output(5, 0)),
    ]
    counts = invoke.manifest(lines)
    assert counts == Manifest(
        totalRecordCount=3,
        processedRecordCount=3,
        successRecordCount=2,
        errorRecordCount=1,
        inputTokenCount=15,
        outputTokenCount=2,
    )
    assert orjson.loads(counts.dump())["inputTokenCount"] == 15
    assert invoke.manifest([]) == Manifest()


def test_records_are_known_by_their_lines() -> None:
    lines = [invoke.answered("a", BODY, output(1, 1)), b"", invoke.failed("b", BODY, 500, "x")]
    assert invoke.record_ids(lines) == {"a", "b"}
    assert invoke.record_ids([]) == set()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)) | st.none()))
def test_a_manifest_says_what_collect_will_book(calls: list[tuple[int, int] | None]) -> None:
    lines = [
        invoke.answered(str(n), {}, output(*call)) if call else invoke.failed(str(n), {}, 500, "x")
        for n, call in enumerate(calls)
    ]
    counts = invoke.manifest(lines)
    booked = sum((collect.read(line).usage for line in lines), Usage())
    assert Usage(counts.inputTokenCount, counts.outputTokenCount) == booked
    assert counts.successRecordCount + counts.errorRecordCount == counts.totalRecordCount == len(calls)
