"""Claude's tokenizer must count what ctok counts, to the last token, whatever the text."""

import re
import unicodedata
from functools import cache

import ctok
import pytest
from batchline import claude, words
from batchline.claude import Claude
from ctok.normalize import classify, nfc
from hypothesis import example, given, settings
from hypothesis import strategies as st

VERSIONS = ["3.0", "4.7", "4.8"]
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
    assert known.total(["y" * 41, "y" * 41]) == 2
    assert len(known) == 2
    known.total([str(number) for number in range(words.MOST_WORDS)])
    assert len(known) <= words.MOST_WORDS
