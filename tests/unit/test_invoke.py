import orjson
from batchline import collect, invoke
from batchline.errors import Code
from batchline.invoke import Manifest, Request, Schedule, Tally
from batchline.models import Usage
from batchline.pacing import Governor
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


def tallied(lines: list[bytes]) -> Tally:
    tally = Tally()
    assert list(tally.counting(line.rstrip(b"\n") for line in lines)) == [line for line in lines if line]
    return tally


def test_a_manifest_counts_lines_and_tokens() -> None:
    tally = tallied(
        [
            invoke.answered("a", BODY, output(10, 2)),
            invoke.failed("b", BODY, 400, "bad"),
            b"",
            invoke.answered("c", BODY, output(5, 0)),
            invoke.failed("d", BODY, 408, "nobody knows"),
            invoke.answered("e", BODY, {"embedding": [1], "inputTextTokenCount": 7}),
        ]
    )
    assert tally.manifest == Manifest(
        totalRecordCount=5,
        processedRecordCount=5,
        successRecordCount=3,
        errorRecordCount=2,
        inputTokenCount=22,
        outputTokenCount=2,
    )
    assert tally.unconfirmed == 1
    assert orjson.loads(tally.manifest.dump())["inputTokenCount"] == 22
    assert tallied([]).manifest == Manifest()


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
    counts = tallied(lines).manifest
    booked = sum((collect.read(line).usage for line in lines), Usage())
    assert Usage(counts.inputTokenCount, counts.outputTokenCount) == booked
    assert counts.successRecordCount + counts.errorRecordCount == counts.totalRecordCount == len(calls)


# --- which record is asked next


def requests(count: int) -> list[Request]:
    return [Request(f"r{n}", BODY, tokens=10) for n in range(count)]


def schedule(count: int, governor: Governor, chance: float = 1.0) -> Schedule:
    return Schedule(iter(requests(count)), governor, lambda: chance)


def taken(found: Schedule, now: float, under_way: int = 0) -> str | None:
    took = found.take(now, under_way)
    return took[0].record_id if took else None


def test_records_are_asked_in_their_order_as_far_as_there_is_room() -> None:
    found = schedule(3, Governor(2))
    assert [taken(found, 0, n) for n in (0, 1, 2)] == ["r0", "r1", None]
    assert not found.empty
    assert taken(found, 0, 1) == "r2"
    assert found.empty
    assert found.take(0, 0) is None


def test_the_pace_is_kept() -> None:
    found = schedule(3, Governor(8, requests_per_minute=2))
    assert [taken(found, 0), taken(found, 0), taken(found, 0)] == ["r0", "r1", None]
    assert found.delay(1) == 59
    assert taken(found, 60) == "r2"


def test_what_was_refused_comes_again_after_its_backoff_and_others_meanwhile() -> None:
    found = schedule(2, Governor(8))
    first = found.take(0, 0)
    assert first
    assert found.refused(*first, now=0, code=503)
    assert taken(found, 0.5) == "r1"
    assert (taken(found, 0.5), found.delay(0.5), found.empty) == (None, 0.5, False)
    again = found.take(1, 0)
    assert again
    assert (again[0].record_id, again[0].asked) == ("r0", 2)
    assert found.empty


def test_only_a_refusal_for_speed_slows_down() -> None:
    governor = Governor(8)
    found = schedule(2, governor)
    for code, share in ((503, 1.0), (429, 0.5)):
        took = found.take(0, 0)
        assert took
        found.refused(*took, now=0, code=code)
        assert governor.share(0) == share


def test_a_refused_call_has_used_no_tokens() -> None:
    found = schedule(2, Governor(8, tokens_per_minute=10))
    took = found.take(0, 0)
    assert took
    assert taken(found, 0) is None
    found.refused(*took, now=0, code=503)
    assert taken(found, 0) == "r1"


def test_a_record_is_given_up_after_eight_refusals() -> None:
    found, now = schedule(1, Governor(8)), 0.0
    for n in range(1, 9):
        took = found.take(now, 0)
        assert took
        assert found.refused(*took, now=now, code=503) == (n < 8)
        now += 60
    assert found.empty


@given(st.lists(st.sampled_from([200, 429, 503]), max_size=200), st.integers(0, 30), st.integers(1, 5))
def test_every_record_is_asked_until_it_is_answered_or_given_up(
    answers: list[int], count: int, width: int
) -> None:
    found, now = schedule(count, Governor(width, 30, 400), chance=0.3), 0.0
    settled: list[str] = []
    replies = iter(answers)
    for _ in range(10_000):
        if found.empty:
            break
        took = found.take(now, 0)
        if took is None:
            now += max(found.delay(now), 0.01)
            continue
        code = next(replies, 200)
        if code == 200 or not found.refused(*took, now=now, code=code):
            settled.append(took[0].record_id)
    assert sorted(settled) == sorted(one.record_id for one in requests(count))
