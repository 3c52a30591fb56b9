"""What a function imports before its first event comes: the parsers wait until their format does."""

import json
import os
import subprocess
import sys
from pathlib import Path

from batchline import formats

REPOSITORY = Path(__file__).parents[2]
# What reads files and counts tokens.
HEAVY = {
    "pypdfium2",
    "python_calamine",
    "PIL",
    "arro3",
    "turbohtml",
    "ijson",
    "chardet",
    "ctok",
    "quicktok",
}
SHOW = "import app, json, sys; print(json.dumps(sorted(sys.modules)))"


def imported(function: str) -> set[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "functions" / function),
        "POWERTOOLS_TRACE_DISABLED": "1",
    }
    run = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, check=True)
    return set(json.loads(run.stdout))


def test_chunk_imports_no_parser_before_its_format_comes() -> None:
    found = imported("chunk")
    assert not {name.partition(".")[0] for name in found} & HEAVY
    readers = {f"batchline.formats.{name}" for name in formats.READERS.values()}
    assert not found & readers
    assert "batchline.aws.chunk" in found


def test_the_server_of_parsers_imports_little_for_a_pdf() -> None:
    show = "import sys, batchline.formats.child, batchline.formats.pdf_pages; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run([sys.executable, "-S", "-c", show], env=environment, capture_output=True, check=True)
    found = set(run.stdout.decode().split())
    assert not found & {"dataclasses", "inspect", "logging", "orjson", "pathlib", "pypdfium2_raw"}
    assert "batchline.formats.pdfium" in found
