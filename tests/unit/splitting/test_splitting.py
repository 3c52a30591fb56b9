import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from batchline import splitting, tokens
from batchline.formats.content import Section
from batchline.splitting import Piece
from hypothesis import example, given
from hypothesis import strategies as st

nova = tokens.counter("amazon.nova-lite-v1:0")

TEXTS = st.lists(
    st.sampled_from(
        [
            "e\u0301",
            "か\u3099",
            "👩\u200d👩",
            "x" * 30,
            "\t",
            "\u3000",
            "\ufe0f",
            "CHAPTER 1\n",
            "word",
            " ",
            "  ",
            "\n",
            "\n\n",
            ". ",
            "! ",
            "。",
            "」",
            "、",
            "と",
            "日本",
            "# Head\n",
            "第一条\n",
        ]
    )
    | st.text(max_size=5),
    max_size=60,
).map("".join)
LIMITS = st.integers(1, 60)


def split(text: str, **options: Any) -> Iterator[Piece]:
    return splitting.split([Section(text)], **options)


def texts(found: list[Piece]) -> list[str]:
    return [one.text for one in found]


@given(TEXTS, LIMITS, st.sampled_from([len, nova]))
@example("日" * 9, 1, nova)
def test_without_overlap_every_character_is_in_one_piece(text: str, limit: int, count: object) -> None:
    assert callable(count)
    found = list(split(text, max_tokens=limit, count=count))
    assert "".join("".join(one.text.split()) for one in found) == "".join(text.split())
    end = 0
    for one in found:
        assert text[one.start : one.stop] == one.text == one.text.strip() != ""
        assert not text[end : one.start].strip()
        assert count(one.text) <= limit or len(one.text) == 1
        end = one.stop


@given(TEXTS, LIMITS, st.data(), st.sampled_from([len, nova]))
def test_with_overlap_pieces_go_on_and_repeat_no_more_than_allowed(
    text: str, limit: int, data: st.DataObject, count: object
) -> None:
    assert callable(count)
    overlap = data.draw(st.integers(0, limit // 2))
    found = list(split(text, max_tokens=limit, count=count, overlap_tokens=overlap))
    covered = 0
    for one in found:
        assert text[one.start : one.stop] == one.text
        assert count(one.text) <= limit or len(one.text) == 1
        assert not text[covered : one.start].strip()
        covered = max(covered, one.stop)
    assert not text[covered:].strip()
    for before, after in itertools.pairwise(found):
        assert before.start < after.start
        assert before.stop < after.stop, "a piece that says nothing new"
        assert count(text[after.start : before.stop]) <= overlap


@given(TEXTS.filter(lambda text: len(text) > 1), LIMITS.filter(lambda limit: limit >= 4))
def test_accents_and_joined_signs_stay_with_their_character(text: str, limit: int) -> None:
    text = "e\u0301か\u3099x" + "".join(text.split()).replace("\u200d", "")
    for one in split(text, max_tokens=limit, count=len):
        if one.start and len(one.text) < limit:
            assert one.text[0] not in "\u0301\u3099"


def test_nothing_makes_nothing() -> None:
    assert list(split("", max_tokens=10, count=len)) == []
    assert list(split(" \n\u3000\t\n", max_tokens=2, count=len)) == []


def test_a_text_that_fits_is_one_piece() -> None:
    assert list(split("  One. Two.\n", max_tokens=9, count=len)) == [Piece(2, 11, "One. Two.", 9)]


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        # 40 characters fit, the heading begins at 26: more than half.
        (
            "Intro to it. More of it.\n\n# Two\nWhat the second part says.",
            40,
            ["Intro to it. More of it.", "# Two\nWhat the second part says."],
        ),
        ("前文である。\n\n第一条 甲は払う。\n", 14, ["前文である。", "第一条 甲は払う。"]),
        # A paragraph before a sentence, a sentence before a line, a line before a word.
        ("One two.\n\nThree. Four five six", 16, ["One two.", "Three.", "Four five six"]),
        ("One two three. Four\nfive six", 24, ["One two three.", "Four\nfive six"]),
        ("one two three\nfour five six", 20, ["one two three", "four five six"]),
        ("one two three four", 10, ["one two", "three four"]),
        # The limit falls right behind a sentence or a word.
        ("One two. Three.", 8, ["One two.", "Three."]),
        ("three fours", 5, ["three", "fours"]),
        ("甲は払う。乙は受ける。", 5, ["甲は払う。", "乙は", "受ける。"]),
        ("甲は払う。乙は受ける。", 6, ["甲は払う。", "乙は受ける。"]),
        # What follows a closing bracket decides whether the sentence goes on.
        ("彼は「行く。」と言った。次の日。", 13, ["彼は「行く。」と言った。", "次の日。"]),
        ("彼は「行く。」と言った", 8, ["彼は「行く。」と", "言った"]),
        ("終わりだ。」次の話", 6, ["終わりだ。」", "次の話"]),
        ("本当か！？ええ本当", 6, ["本当か！？", "ええ本当"]),
        ('He said "no." Then', 15, ['He said "no."', "Then"]),
        # Nothing to cut at.
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("cafe\u0301s", 4, ["caf", "e\u0301s"]),
        ("ab👩\u200d👩c", 4, ["ab", "👩\u200d👩c"]),
    ],
)
def test_the_best_boundary_is_taken(text: str, limit: int, expected: list[str]) -> None:
    assert texts(list(split(text, max_tokens=limit, count=len))) == expected


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1), st.integers(20, 50))
def test_words_are_never_cut_where_a_space_is_in_reach(words: list[str], limit: int) -> None:
    for one in split(" ".join(words), max_tokens=limit, count=len):
        assert set(one.text.split(" ")) <= set(words)


@pytest.mark.parametrize(
    ("sentences", "joint"),
    [
        ([f"This is the sentence number {n}." for n in range(40)], " "),
        ([f"これは「第{n}番目。」という文である。" for n in range(40)], ""),
    ],
)
def test_pieces_end_with_sentences(sentences: list[str], joint: str) -> None:
    found = list(split(joint.join(sentences), max_tokens=120, count=len))
    assert len(found) > 5
    rest = joint.join(sentences)
    for one in found:
        assert one.text.endswith((".", "である。"))
        rest = rest.removeprefix(one.text).removeprefix(joint)
    assert rest == ""


def test_an_overlap_begins_with_a_word() -> None:
    words = [f"word{n:02d}" for n in range(30)]  # 6 characters and a space each
    found = list(split(" ".join(words), max_tokens=34, count=len, overlap_tokens=14))
    # Five words are 34 characters; of the next 14 two are said again: " word03 word04" is 14.
    assert texts(found)[:3] == [
        "word00 word01 word02 word03 word04",
        "word03 word04 word05 word06 word07",
        "word06 word07 word08 word09 word10",
    ]


def test_an_early_boundary_is_not_said_again_and_again() -> None:
    # 1,000 characters of words, then a wall of them: without care each piece of the overlap begins one
    # word later and ends at the same place.
    text = "word " * 200 + "x" * 20_000
    found = list(split(text, max_tokens=8_000, count=len, overlap_tokens=4_000))
    # 1,000 + at least 4,000 new characters each: 20,000 / 4,000 = 5 more pieces at most
    assert len(found) <= 6


SIZE = 1_000_000
HARD = {
    "no boundary": "x" * SIZE,
    "line feeds": "\n" * SIZE,
    "spaces": " " * SIZE,
    "spaces of Japanese": "\u3000" * SIZE,
    "full stops of Japanese": "。" * SIZE,
    "stops that go on": ("。" * (SIZE // 4) + "と") * 4,
    "full stops": "." * SIZE,
    "blank lines": "\n " * (SIZE // 2),
    "quotes": '."' * (SIZE // 2),
    "closing brackets": "." + ")" * SIZE,
    "closing brackets of Japanese": "。" + "」" * (SIZE - 2) + "と",
    "marks": "!" * SIZE,
    "accents": "\u0301" * SIZE,
    "joiners": "\u200d" * SIZE,
    "headings": "\n\n第第第第第第" * (SIZE // 8),
}


@pytest.mark.parametrize("overlap", [0, 100_000])
@pytest.mark.parametrize("name", HARD)
def test_work_grows_with_the_text_alone(name: str, overlap: int) -> None:
    counted = 0

    def count(part: str) -> int:
        nonlocal counted
        counted += len(part)
        return -(-len(part) // 4)

    text = HARD[name]
    # Windows of 800,000 characters: what is quadratic in a window would take minutes.
    found = list(split(text, max_tokens=200_000, overlap_tokens=overlap, count=count))
    assert sum(len(one.text) for one in found) <= 2 * SIZE
    # Each search halves its window: 20 steps for a window of 800,000, over at most two windows,
    # and as many again for an overlap.
    assert counted <= 80 * SIZE


def test_small_chunks_of_a_large_text_cost_no_more() -> None:
    counted = 0

    def count(part: str) -> int:
        nonlocal counted
        counted += len(part)
        return -(-len(part) // 4)

    assert (
        sum(1 for _ in split("word " * (SIZE // 5), max_tokens=50, count=count)) >= 5_000
    )  # 200 characters each
    assert counted <= 40 * SIZE


def test_an_overlap_that_leaves_no_room_is_left_out() -> None:
    # Of 4 bytes the overlap "ab" leaves 2, and the next character has 3.
    found = split("xab日本", max_tokens=4, overlap_tokens=2, count=lambda part: len(part.encode()))
    assert texts(list(found)) == ["xab", "日", "本"]
