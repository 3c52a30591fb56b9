"""Writes tests/unit/tokens/token_counts.json: reference counts of the published tokenizers.

Run it in an environment that has bench/token_counts.in:
`python bench/token_counts.py tests/unit/tokens/token_counts.json`. The texts are kept in the file, so that
the counts stay true whatever becomes of the files that they were taken from.
"""

import json
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import ctok
import quicktok
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

ROOT = Path(__file__).parent.parent
CHARACTERS = 2_500


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


def main() -> None:
    tekken = Tekkenizer.from_file(str(files("mistral_common") / "data" / "tekken_240911.json"))
    encodings = {"gpt-oss": "o200k_harmony", "llama": "llama3", "qwen": "qwen3"}
    samples = []
    for name, text in texts().items():
        counts = {family: len(quicktok.get_encoding(one).encode(text)) for family, one in encodings.items()}
        counts["mistral"] = len(tekken.encode(text, bos=False, eos=False))
        # Without the tokens that the chat format adds to a message.
        counts["claude"] = ctok.token_count(text, "3.0") - 7
        counts["claude-4.7"] = ctok.token_count(text, "4.8") - 6
        samples.append({"kind": name, "counts": counts, "text": text})
    origin = ", ".join(f"{name} {version(name)}" for name in ("ctok", "quicktok-v1", "mistral-common"))
    document = {"origin": origin, "samples": samples}
    Path(sys.argv[1]).write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
