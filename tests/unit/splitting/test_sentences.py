from pathlib import Path

import pytest
from batchline.splitting import sentences
from hypothesis import given
from hypothesis import strategies as st

GOLD: dict[str, list[str]] = {}
for line in Path(__file__).with_name("sentences.txt").read_text("utf-8").splitlines():
    if line.startswith("## "):
        GOLD[line[3:]] = []
    elif not line.startswith("#"):
        GOLD[list(GOLD)[-1]].append(line)


def missed_and_invented(case: str) -> tuple[int, int, int]:
    """Count the ends that are right, those not found, and those that are none. The last end is no case."""
    parts = case.split("¦")
    text = "".join(parts)
    expected, place = set[int](), 0
    for part in parts[:-1]:
        place += len(part)
        expected.add(len(text[:place].rstrip()))
    found = {end for end in sentences.ends(text) if text[end:].strip()}
    return len(found & expected), len(expected - found), len(found - expected)


def test_the_gold_set_is_large_enough() -> None:
    assert sum(map(len, GOLD.values())) >= 300
    assert len(GOLD["ja"]) >= 150
    assert len({case for cases in GOLD.values() for case in cases}) == sum(map(len, GOLD.values()))


@pytest.mark.parametrize(("language", "least"), [("ja", 0.98), ("en", 0.97), ("zh", 0.95), ("ko", 0.97)])
def test_precision_and_recall_on_the_gold_set(language: str, least: float) -> None:
    sums = [0, 0, 0]
    wrong = []
    for case in GOLD[language]:
        counts = missed_and_invented(case)
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        if counts[1] or counts[2]:
            wrong.append(case)
    right, missed, invented = sums
    assert right / (right + invented) >= least, wrong
    assert right / (right + missed) >= least, wrong


def test_what_follows_decides_and_is_not_searched() -> None:
    text = "「行く。」と言った。次の日。"
    assert list(sentences.ends(text)) == [10, 14]
    assert list(sentences.ends(text, 0, 9)) == []
    assert list(sentences.ends(text, 0, 10)) == [10]


SIGNS = st.lists(
    st.sampled_from(["。", "「", "」", "(", ")", ". ", "A", "あ", "と", "3", "\n", "“", "”", "!"]),
    max_size=80,
)


@given(SIGNS.map("".join))
def test_ends_are_in_order_and_behind_something(text: str) -> None:
    found = list(sentences.ends(text))
    assert found == sorted(set(found))
    assert all(0 < end <= len(text) and not text[end - 1].isspace() for end in found)


@given(st.lists(st.sampled_from([case.replace("¦", "") for case in GOLD["ja"]]), min_size=1, max_size=60))
def test_looking_from_the_end_finds_the_same(lines: list[str]) -> None:
    text = "\n".join(lines)
    backwards = list(sentences.last_end(text, 0, len(text)))
    assert backwards == sorted(sentences.ends(text), reverse=True)
