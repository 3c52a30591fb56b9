from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import pytest
from batchline import recommend
from batchline.chunk import Part
from batchline.models import Failure, Usage
from batchline.recommend import AnswersError, Asked, Reply, Sample, Standing
from batchline.records import Record

NOVA, MICRO = "us.amazon.nova-lite-v1:0", "us.amazon.nova-micro-v1:0"
WRONG = Failure("ANSWER_INVALID", "no JSON")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("the red car", "the red car", 1.0),
        ("The red car!", "the RED car", 1.0),
        # 2 of 3 and 2 of 4 words shared: 2 * 2 / 7.
        ("the red car", "the red lorry stops", 4 / 7),
        ("", "", 1.0),
        ("", "a", 0.0),
        # 東京都 and 東京: 2 * 2 / 5.
        ("東京都", "東京", 0.8),
        # Words are counted as often as they stand: 2 * 1 / 4.
        ("a a a", "a", 0.5),
        ({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, 1.0),
        ({"a": 1, "b": "x"}, {"a": 1.0, "b": "X"}, 0.5),
        # a is alike, b and c stand on one side only.
        ({"a": 1, "b": 2}, {"a": 1, "c": 3}, 1 / 3),
        ({"a": [1, 2]}, {"a": [1, 3]}, 0.5),
        ({"a": []}, {"a": [1]}, 0.0),
        ({"a": {}}, {"a": {}}, 1.0),
        ({"a": True}, {"a": 1}, 0.0),
        ({"a": None}, {"a": None}, 1.0),
        ({"a": 0.1}, {"a": Decimal("0.1")}, 1.0),
        ("1", 1, 0.0),
    ],
)
def test_likeness(one: object, other: object, expected: float) -> None:
    assert recommend.likeness(one, other) == pytest.approx(expected)
    assert recommend.likeness(other, one) == pytest.approx(expected)


def parts(count: int) -> Iterator[Part]:
    yield Part("a" * 16, tuple(Record(n, b"{}", 1) for n in range(count)), count)


def test_a_sample_holds_known_answers_first_and_of_the_rest_each_alike() -> None:
    sample = Sample(5, {("folder/a.csv", 3): "x", ("b.csv", 0): "y", ("b.csv", 99): "never"})
    sample.add("folder/a.csv", parts(50))
    sample.add("folder/b.csv", parts(50))
    taken = sample.taken
    assert [(one.document, one.record.index, one.known) for one in taken[:2]] == [
        ("folder/a.csv", 3, ("x",)),
        ("folder/b.csv", 0, ("y",)),
    ]
    assert (len(taken), sample.records, sample.documents) == (5, 100, 2)
    assert len({(one.document, one.record.index) for one in taken}) == 5


def test_each_record_has_the_same_chance() -> None:
    found: Counter[int] = Counter()
    sample = Sample(10)
    for _ in range(400):
        again = Sample(10, _chance=sample._chance)
        again.add("a", parts(100))
        found.update(one.record.index for one in again.taken)
    # 40 expected of each, with a standard deviation of 6.
    assert min(found.values()) > 15
    assert max(found.values()) < 65
    assert len(found) == 100


def asked(*known: str) -> list[Asked]:
    return [Asked("a", Record(n, b"{}", 1), (one,) if one else ()) for n, one in enumerate(known)]


def test_standings_are_worked_out() -> None:
    usage = Usage(1000, 100)
    strongest = [
        Reply(("a b",), usage=usage, seconds=2.0),
        Reply(("c d",), usage=usage, seconds=4.0),
        Reply(failure=WRONG, usage=usage, seconds=9.0),
        Reply(("e",), usage=usage, seconds=1.0),
    ]
    weak = [
        Reply(("a b",), usage=usage, seconds=1.0),
        Reply(("c x",), usage=usage, seconds=3.0),
        Reply(("z",), usage=usage, seconds=5.0),
        Reply(failure=Failure("MODEL_ERROR", "500: no")),
    ]
    sample = asked("", "c d", "", "")
    found = recommend.stand(NOVA, sample, weak, strongest, records_per_document=Decimal(3))
    assert (found.asked, found.answered, found.valid) == (4, 3, 0.75)
    # 1, 0.5 and 0; where the reference has no answer nothing is compared.
    assert found.agreement == pytest.approx(0.5)
    assert (found.correctness, found.quality) == (0.5, 0.5)
    assert (found.median_seconds, found.slowest_seconds) == (3.0, 5.0)
    # In batch 0.03 and 0.12 USD per million: 30 + 12 millionths for a record, 3 of them for a document.
    assert found.cost_per_document == Decimal("0.000126")
    # On demand, as it was asked: 3 * (60 + 24) millionths.
    assert found.paid == Decimal("0.000252")
    assert (found.failures, found.message) == ({"MODEL_ERROR": 1}, "500: no")


def test_a_model_that_never_answers_has_no_price_and_no_quality() -> None:
    silent = [Reply(failure=Failure("MODEL_ERROR", "403: no access"))]
    found = recommend.stand(MICRO, asked(""), silent, [Reply(("x",))], records_per_document=Decimal(1))
    assert (found.cost_per_document, found.quality, found.valid) == (None, 0.0, 0.0)
    assert recommend.choose([found], 0.0) is None


def standing(model: str, quality: float | None, usd: str, basis: str = "list") -> Standing:
    return Standing(model, 1, 1, 1.0, quality, None, 1.0, 1.0, Decimal(usd), Decimal(0), basis, {}, "")


def test_the_cheapest_good_enough_model_is_chosen() -> None:
    all_of_them = [
        standing("free", 1.0, "0", "unknown"),
        standing("cheap", 0.85, "0.01"),
        standing("middle", 0.9, "0.02"),
        standing("strong", 1.0, "0.03"),
        standing("silent", None, "0.001"),
    ]
    for quality, model in ((0.8, "cheap"), (0.9, "middle"), (0.91, "strong")):
        best = recommend.choose(all_of_them, quality)
        assert best is not None
        assert best.model == model
    assert recommend.choose(all_of_them[:3], 0.95) is None


def test_known_answers_are_read() -> None:
    lines = [
        b'{"document": "a.csv", "record": 2, "answer": {"x": 1}}\n',
        b"\n",
        b'{"document": "b", "answer": "y"}',
    ]
    assert recommend.read_answers(lines, "f") == {("a.csv", 2): {"x": 1}, ("b", 0): "y"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "f, line 1: not JSON"),
        (b"[]", "f, line 1: write an object with document, record and answer"),
        (b'{"document": "a"}', "f, line 1: write an object"),
        (b'{"document": "a", "answer": 1, "more": 2}', "f, line 1: write an object"),
        (b'{"document": "a", "answer": 1, "record": -1}', "record a number from 0 on"),
        (b'{"document": "a", "answer": 1, "record": true}', "record a number from 0 on"),
        (b"", "f holds no answers."),
    ],
)
def test_a_wrong_file_of_answers_is_refused(line: bytes, said: str) -> None:
    with pytest.raises(AnswersError, match=said):
        recommend.read_answers([line], "f")
