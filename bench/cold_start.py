"""How long the functions take to import, and how large what is deployed is.

Run it when nothing else runs: `.venv/bin/python bench/cold_start.py`. The least of several runs counts: each
one is a new interpreter, and the first one also reads the files from the disk.
"""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RUNS = 7
TIME = "import time; start = time.perf_counter(); import app; print(time.perf_counter() - start)"


def seconds(function: str) -> float:
    """Import a function's module in new interpreters; return the least time."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "functions" / function),
        "POWERTOOLS_TRACE_DISABLED": "1",
    }
    runs = [
        subprocess.run([sys.executable, "-c", TIME], env=environment, capture_output=True, check=True)
        for _ in range(RUNS)
    ]
    return min(float(run.stdout) for run in runs)


def built_bytes() -> int:
    """Sum what `sam build` has made: the layers and the functions."""
    build = REPOSITORY / ".aws-sam" / "local" / "build"
    return sum(path.stat().st_size for path in build.rglob("*") if path.is_file())


def main() -> None:
    for path in sorted((REPOSITORY / "functions").iterdir()):
        print(f"import {path.name}: {seconds(path.name):.2f} s")
    if size := built_bytes():
        print(f"deployed: {size / 1e6:.0f} MB unzipped")


if __name__ == "__main__":
    main()
