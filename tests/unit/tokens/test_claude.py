"""Claude's tokenizer must count what ctok counts, to the last token, whatever the text."""

import json
import re
import unicodedata
from functools import cache
from importlib import resources

import ctok
import pytest
from batchline.tokens import claude, marks, words
from batchline.tokens.claude import Claude
from ctok.normalize import _runs, classify, nfc
from hypothesis import example, given, settings
from hypothesis import strategies as st

FILES = {"3.0": "pieces_v3.json", "4.7": "pieces_v4_7.json", "4.8": "pieces_v4_7.json"}
VERSIONS = list(FILES)
PARTS = [
    *(
        "the",
        "Hello",
        "THE",
        "GaN",
        "x",
        "word.",
        "end.\n\nThe",
        "it's",
        "'s",
        "’s",
        "'",
        "(see",
        "12345",
        "3.",
        "½",
    ),
    *(
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\r\n",
        "\r",
        "\x00",
        "\x01",
        "\x0c",
        "\u00a0",
        "\u3000",
        "\u2028",
        "\n" * 40,
    ),
    *(
        "“",
        "—",
        "…",
        "--",
        "==",
        "=====",
        "$",
        "_",
        ",",
        "https://example.com/a?b=1",
        "AAAABBBB+/9f8a7b",
        "| a |",
    ),
    *("漢字", "々", "東京は", "です", "ヲ", "ー", "。", "、", "「", "」", "・", "〇", "！", "Ａ", "한국", "ᆨ"),
    *(
        "é",
        "e\u0301",
        "か\u3099",
        "\u0301",
        "\ufe0f",
        "\u200d",
        "\u200b",
        "ß",
        "İ",
        "ẞ",
        "ς",
        "ǅ",
        "①",
        "²",
        "٣",
        "➊",
    ),
    *(
        "👩\u200d👩",
        "❤\ufe0f",
        "🇯🇵",
        "⚖",
        "Ωμέγα",
        "Привет",
        "שָ",
        "بً",
        "สวัสดี",
        "नमस्ते",
        "\ud800",
        "\ufdd0",
        "\ue000",
    ),
]
TEXTS = st.tuples(
    st.sampled_from(["", " ", "\n"]), st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=14)
)
# Much of Japanese stands between two Chinese characters, of which rare ones have two tokens or three.
JAPANESE = st.lists(
    st.sampled_from(
        [
            "漢",
            "龘",
            "㐂",
            "々",
            "の",
            "です",
            "カー",
            "スです",
            "。",
            "、",
            "「",
            "・",
            "Ａb",
            "０",
            "12",
            " ",
        ]
    )
    | st.sampled_from(PARTS),
    max_size=20,
)
# Signs of ASCII with spaces, lines, words, digits and endings between them, in every order.
CODE = st.lists(
    st.sampled_from(["the", "x", "s", "t", "USA", "fooBar", "12", "7", "漢", "é"])
    | st.sampled_from(list('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~') + ["'", " ", "\t", "\n"] * 6),
    max_size=14,
)
made = cache(Claude)


def expected(text: str, version: str) -> int:
    # Six or seven tokens frame a message: what ctok says of a word that is one token, less one.
    return int(ctok.token_count(text, version) - ctok.token_count("the", version) + 1)


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example((" ", ["東", "'s", "12", "34", "x"]))
@example((" ", ["12", "’s", "a", "b"]))
@example(("", ["34", "\x01", "3"]))
@example((" ", ["x", "12", "34", "한", "국", "12", "end."]))
def test_the_count_is_that_of_ctok(version: str, parts: tuple[str, list[str]]) -> None:
    text = parts[0].join(parts[1])
    assert made(version).count(text) == expected(text, version)


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=300, deadline=None)
@given(JAPANESE)
@example(["漢", "\ufe0f", "字"])
@example(["漢", "か", "\u3099", "字"])
@example(["漢", "\u200d", "龘", "の", "漢"])
@example(["漢", " ", "'s", " ", "漢", "\n\n"])
@example(["東", "東"])
def test_the_count_of_japanese_is_that_of_ctok(version: str, parts: list[str]) -> None:
    text = "".join(parts)
    assert made(version).count(text) == expected(text, version)


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=300, deadline=None)
@given(CODE)
@example(["it", "'", "s"])
@example(["x", ".", "'", "s"])
@example(["12", " ", "'", "s"])
@example(["x", " ", "'", " ", "x"])
@example(["x", "  ", ",", "  ", "x"])
def test_the_count_of_signs_is_that_of_ctok(version: str, parts: list[str]) -> None:
    text = "".join(parts)
    assert made(version).count(text) == expected(text, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_piece_joins_white_space_with_other_signs(version: str) -> None:
    white = [one for one in made(version)._pieces if set(one) & set(" \t\n")]
    assert len(white) > 40
    assert all(len(set(one)) == 1 for one in white)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_piece_joins_katakana_with_other_signs(version: str) -> None:
    pieces = (one.strip(marks.BEGIN + marks.END) for one in made(version)._pieces)
    katakana = [one for one in pieces if re.search(f"[{claude.KATAKANA}]", one)]
    assert len(katakana) > 100
    assert all(re.fullmatch(f"[{claude.KATAKANA}]+", one) for one in katakana)


@pytest.mark.parametrize("version", VERSIONS)
def test_digits_have_a_token_for_each_three(version: str) -> None:
    pieces = [one for one in made(version)._pieces if set(one) & set("0123456789")]
    assert sorted(pieces) == sorted(f"{n:0{size}}" for size in (1, 2, 3) for n in range(10**size))


@pytest.mark.parametrize("version", VERSIONS)
def test_no_piece_joins_a_chinese_character_with_another_sign(version: str) -> None:
    data = json.loads(resources.files("ctok").joinpath("data", FILES[version]).read_bytes())
    pieces = [one for group in data["tokens"].values() for one in group]
    chinese = [one for one in pieces if re.search(f"[{claude.ALONE}]", one)]
    assert len(chinese) > 1_000
    assert {len(one) for one in chinese} == {1}


@given(TEXTS)
def test_units_are_the_whole_text(parts: tuple[str, list[str]]) -> None:
    text = parts[0].join(parts[1])
    assert "".join(claude.UNIT.findall(text)) == text


def test_signs_are_what_ctok_takes_them_for() -> None:
    for place in (*range(0xD800), *range(0xE000, 0x20000)):
        sign = chr(place)
        steady = (
            unicodedata.is_normalized("NFC", sign) and not unicodedata.combining(sign) and nfc(sign) == sign
        )
        if re.match(f"[{claude.ALONE}]", sign):
            assert steady, sign
            assert _runs(f"一{sign}一") == [("hard", f"一{sign}一")], sign
        if re.match(f"[{claude.LETTERS}]", sign):
            assert steady, sign
            assert classify(sign) == "wordy", sign
            assert unicodedata.category(sign)[0] == "L", sign
        elif re.match(f"[{claude.ALONE}]", sign):
            assert steady, sign
            assert classify(sign) == "hard", sign
        elif re.match(f"[{claude.APART}]", sign):
            assert classify(sign) != "wordy", sign
            assert nfc(sign, fold_quotes=False), sign
            assert not unicodedata.category(sign).startswith("M"), sign


def test_a_text_of_any_length_is_counted_as_a_whole() -> None:
    # "the" and " the" are one token each; so is the full stop, and the line feeds between two paragraphs.
    paragraph = "the " * 9_999 + "the."
    assert made("3.0").count("\n\n".join([paragraph] * 3)) == 3 * 10_001 + 2
    # A word without an end: 3 times as long is 3 times the tokens, or one or two less where the parts meet.
    once, thrice = made("3.0").count("ab" * 20_000), made("3.0").count("ab" * 60_000)
    assert 3 * once - 3 <= thrice <= 3 * once


def test_what_is_remembered_is_bounded() -> None:
    seen: list[str] = []

    def count(word: str) -> int:
        seen.append(word)
        return 1

    known = words.Words(count)
    assert known.total(["a", "b", "a"]) == 3
    assert seen == ["a", "b"]
    assert known.total(["y" * 101, "y" * 101]) == 2
    assert len(known) == 2
    known.total([str(number) for number in range(words.MOST_WORDS)])
    assert len(known) <= words.MOST_WORDS
