"""The splitter with the counters of real models: limits hold, streams equal wholes, offsets are true."""

import itertools
import random
from pathlib import Path

import pytest
from batchline import splitting, tokens
from batchline.formats.content import Section
from batchline.splitting import Piece, sentences
from hypothesis import given, settings
from hypothesis import strategies as st

CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0"
GPT = "openai.gpt-oss-20b-1:0"
MODELS = [
    CLAUDE,
    "anthropic.claude-opus-4-8",
    GPT,
    "meta.llama3-1-8b-instruct-v1:0",
    "us.amazon.nova-lite-v1:0",
]
# A model of each family that has a tokenizer.
OFFLINE = [
    CLAUDE,
    GPT,
    "meta.llama3-1-8b-instruct-v1:0",
    "qwen.qwen3-32b-v1:0",
    "mistral.mistral-large-2407-v1:0",
]
CASES = [
    line.replace("¦", "")
    for line in Path(__file__).with_name("sentences.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
BLOCKS = [
    *CASES,
    "# Heading\n\n",
    "\n\n",
    "```\nx = {'a': 1}\n\ny. Z\n```\n",
    "| a. B | b |\n| - | - |\n| 1. One | 2 |\n",
    "e\u0301か\u3099👩\u200d👩🇯🇵",
    "9f8a7b6c5d4e3f2a1b0c" * 3,
    "AAAABBBB+/" * 8,
    " " * 30,
    "Ωμέγα Привет สวัสดี नमस्ते",
]
TEXTS = st.lists(st.sampled_from(BLOCKS) | st.text(max_size=8), max_size=40).map("".join)


LINE = "line. Line\n"


def cut_at(text: str, places: list[int]) -> list[Section]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [Section(text[a:b]) for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=30, deadline=None)
@given(TEXTS, st.integers(12, 200), st.integers(0, 6), st.lists(st.integers(0, 5_000), max_size=8))
def test_the_limit_holds_and_nothing_is_lost(
    model: str, text: str, limit: int, part: int, places: list[int]
) -> None:
    count = tokens.counter(model)
    overlap = limit * part // 12
    found = list(splitting.split([Section(text)], max_tokens=limit, count=count, overlap_tokens=overlap))
    covered = 0
    for one in found:
        assert text[one.start : one.stop] == one.text == one.text.strip() != ""
        assert not text[covered : one.start].strip()
        assert count(one.text) <= limit or len(one.text) == 1
        covered = one.stop
    assert not text[covered:].strip()
    for before, after in itertools.pairwise(found):
        assert before.start < after.start
        assert before.stop < after.stop, "a piece that says nothing new"
        assert overlap or before.stop <= after.start
        assert count(text[after.start : before.stop]) <= overlap
    stream = splitting.split(cut_at(text, places), max_tokens=limit, count=count, overlap_tokens=overlap)
    assert list(stream) == found


PROSE = [case for case in CASES if case.isascii() and case[0].isupper()]
JAPANESE = [case for case in CASES if case.endswith("。") and "　" not in case and "」" not in case]


def prose(language: list[str], joint: str, size: int) -> str:
    pick = random.Random(7)
    paragraphs = (joint.join(pick.choices(language, k=pick.randint(4, 60))) for _ in itertools.count())
    text = ""
    for one in paragraphs:
        text += one + "\n\n"
        if len(text) >= size:
            return text
    raise AssertionError


@pytest.mark.parametrize(("language", "joint"), [(PROSE, " "), (JAPANESE, "")])
@pytest.mark.parametrize("model", [CLAUDE, GPT, "us.amazon.nova-lite-v1:0"])
def test_chunks_of_a_long_text_are_full_and_end_with_sentences(
    language: list[str], joint: str, model: str
) -> None:
    text = prose(language, joint, 150_000)
    count = tokens.counter(model)
    found = list(splitting.split([Section(text)], max_tokens=400, count=count))
    ends = set(sentences.ends(text))
    good = sum(one.stop in ends for one in found)
    assert good / len(found) >= 0.99
    sizes = [count(one.text) for one in found[:-1]]
    assert max(sizes) <= 400
    assert sum(sizes) / len(sizes) >= 260, "chunks are far from full"


def mixed(seed: int, size: int) -> str:
    """Make a text that changes its kind all the time: prose, code, Japanese, base64, emoji, tables."""
    pick = random.Random(seed)

    def run(signs: str, joint: str = "", each: int = 1) -> str:
        return joint.join("".join(pick.choices(signs, k=each)) for _ in range(pick.randint(20, 900)))

    kinds = [
        lambda: " ".join(pick.choices(PROSE, k=pick.randint(1, 9))),
        lambda: "".join(pick.choices(JAPANESE, k=pick.randint(1, 15))),
        lambda: run("ABCDEFabcdefXYZxyz0123456789+/"),
        lambda: run("0123456789abcdef"),
        lambda: run("abcdefghijklmnopqrstuvwxyz", " ", 6),
        lambda: run("👩🇯🇵🎉❤\ufe0f\u200d漢😀"),
        lambda: "".join(f"| {n} | {n * 37 % 101:.2f} | Å-{n} |\n" for n in range(pick.randint(2, 60))),
        lambda: "".join(f"    if x[{n}] != y_{n}:  # {n}\n\n" for n in range(pick.randint(2, 40))),
        lambda: run("鬱龘靐齉龗麤爨癵籱𠮷", "", 2),
        lambda: run("กขคงจ นमस्तेΩж é\u0301 ﷽ ا", " ", 4),
        lambda: run(" \n\t\u3000\u00a0", "x", 7),
    ]
    text = ""
    while len(text) < size:
        text += pick.choice(kinds)() + pick.choice(["", " ", "\n", "\n\n", "。"])
    return text


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [60, 500, 1500])
@pytest.mark.parametrize("model", [*OFFLINE, "anthropic.claude-opus-4-8"])
def test_a_text_that_changes_its_kind_keeps_to_the_limit(model: str, limit: int, seed: int) -> None:
    count = tokens.counter(model)
    text = mixed(seed, 25_000)
    for one in splitting.split([Section(text)], max_tokens=limit, count=count):
        assert count(one.text) <= limit
        assert text[one.start : one.stop] == one.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 40 characters fit. A row or a block that fits by itself is not parted.
        (
            "Before the table. It is short.\n| One. | Two. |\n| Three. | Four. |\n",
            ["Before the table. It is short.", "| One. | Two. |\n| Three. | Four. |"],
        ),
        (
            "Before the block.\n\n```\na = 1\n\nb. C = 2\n```\nAfter.",
            ["Before the block.", "```\na = 1\n\nb. C = 2\n```\nAfter."],
        ),
        # A block that is too long is cut between its lines, of which three fit.
        (
            "```\n" + LINE * 8 + "```",
            ["```\n" + LINE * 2 + LINE[:-1], LINE * 2 + LINE[:-1], LINE * 2 + "```"],
        ),
    ],
)
def test_rows_and_blocks_stay_whole_where_they_can(text: str, expected: list[str]) -> None:
    assert [one.text for one in splitting.split([Section(text)], max_tokens=40, count=len)] == expected


def test_a_piece_has_the_page_and_the_headings_of_its_start() -> None:
    sections = [
        Section("Intro text.\n", 1, ()),
        Section("One\nFirst part of it.\n", 1, ("One",)),
        Section("Second part.\n", 2, ("One",)),
        Section("Deep\nThe end.", 2, ("One", "Deep")),
    ]
    assert list(splitting.split(sections, max_tokens=24, count=len)) == [
        # 24 characters reach into "First part"; the headings change at 12, half of the room.
        Piece(0, 11, "Intro text.", 11, 1, ()),
        Piece(12, 33, "One\nFirst part of it.", 21, 1, ("One",)),
        Piece(34, 46, "Second part.", 12, 2, ("One",)),
        Piece(47, 60, "Deep\nThe end.", 13, 2, ("One", "Deep")),
    ]
