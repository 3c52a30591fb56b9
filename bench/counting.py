"""Measures how fast tokens are counted: Claude's by Batchline and by ctok itself, gpt-oss's.

`python bench/counting.py [--megabytes 8]`

Pieces of about 1,000 tokens, each counted once, by a counter that remembers nothing yet. The English and
Japanese text is that of chunking.py; of the addresses hardly a word comes twice.
ctok counts a hundredth of it. Each measurement is a process; loading is not counted.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable

from chunking import paragraphs

# Characters of a piece.
SIZES = {"en": 3_400, "ja": 900, "urls": 1_500}
COUNTERS = ("claude", "ctok", "o200k")
SHARE = 100


def text(kind: str, size: int) -> str:
    if kind != "urls":
        return "\n\n".join(paragraphs(kind, size))
    pick = random.Random(kind)
    return "\n".join(f"https://example.com/{pick.getrandbits(64):x}/{n}" for n in range(size // 44))


def counter(name: str) -> Callable[[str], int]:
    if name == "ctok":
        import ctok

        return lambda piece: int(ctok.token_count(piece, "3.0"))
    from batchline.tokens import tokenizers

    return lambda piece: tokenizers.count(piece, "o200k" if name == "o200k" else "claude-3")


def measure(name: str, kind: str, size: int) -> None:
    whole = text(kind, size // SHARE if name == "ctok" else size)
    pieces = [whole[at : at + SIZES[kind]].strip() for at in range(0, len(whole), SIZES[kind])]
    count = counter(name)
    count("the")
    start = time.process_time()
    for piece in pieces:
        count(piece)
    taken = time.process_time() - start
    print(f"{kind:5}{name:8}{len(whole.encode()) / 1e6 / taken:8.2f} MB/s", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=8)
    size = int(parser.parse_args().megabytes * 1e6)
    for kind in SIZES:
        for name in COUNTERS:
            subprocess.run([sys.executable, __file__, "--one", name, kind, str(size)], check=True)


if __name__ == "__main__":
    main()
