"""The dependencies layer as `sam build` makes it, and functions run on nothing but the layers."""

import os
import subprocess
import sys
from pathlib import Path

from local.settings import REPOSITORY

SOURCE = REPOSITORY / "layers" / "dependencies"
CORE = REPOSITORY / "layers" / "core" / "python"
FUNCTIONS = sorted(path.parent for path in (REPOSITORY / "functions").glob("*/app.py"))
# Under the virtual environment, so that nothing of its packages can be found.
INTERPRETER = getattr(sys, "_base_executable", sys.executable)


def make(
    architecture: str, target: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Build the layer into the folder `target`/python, as sam does."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["/usr/bin/env", "make", "--makefile", f"{architecture}/Makefile", "build-DependenciesLayer"],
        cwd=SOURCE,
        env=os.environ | {"PATH": beside, "ARTIFACTS_DIR": str(target)} | (environment or {}),
        check=False,
        capture_output=True,
        text=True,
    )


def run(layer: Path, code: str, *arguments: Path | str, function: Path = FUNCTIONS[0]) -> str:
    """Run Python with a function, the layers and nothing else to import; return what it prints."""
    done = subprocess.run(
        [INTERPRETER, "-S", "-c", code, *map(str, arguments)],
        env={
            "PYTHONPATH": os.pathsep.join(map(str, [function, layer / "python", CORE])),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def size(folder: Path) -> int:
    """Sum the bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def machine(library: Path) -> int:
    """Read which processor a compiled file is for: 62 is x86_64, 183 is arm64 (`e_machine` of ELF)."""
    head = library.read_bytes()[:20]
    assert head[:6] == b"\x7fELF\x02\x01", library
    return int.from_bytes(head[18:20], "little")
