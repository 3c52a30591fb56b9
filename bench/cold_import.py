"""Measures the deployment's size and how long its functions take to import, beside `import boto3` alone.

Run it when nothing else runs: `.venv/bin/python bench/cold_import.py`. The layer is built as `sam build`
builds it, for both processors. Each import is a new interpreter that finds the function, the layers and
nothing else; the least processor time of several runs counts. "From source" is what it would take if the
packages were not compiled either: a function can't keep what it compiles.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LAYER = REPOSITORY / "layers" / "dependencies"
INTERPRETER = getattr(sys, "_base_executable", sys.executable)
RUNS = 5
TIME = "import time; start = time.process_time(); import {0}; print(time.process_time() - start)"
LARGEST = 12  # packages to name


def build(architecture: str, target: Path) -> Path:
    """Build the layer of a processor; return the folder to import from."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["make", "--silent", "--makefile", f"{architecture}/Makefile", "build-DependenciesLayer"],
        cwd=LAYER,
        env=os.environ | {"PATH": beside, "ARTIFACTS_DIR": str(target)},
        check=True,
    )
    return target / "python"


def copy(source: Path, target: Path) -> Path:
    """Copy code as it is deployed: without what Python has compiled into the checkout."""
    return shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


def size(folder: Path) -> int:
    """Sum the bytes of files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def packages(python: Path) -> Counter[str]:
    """Sum the bytes of a layer by its top folders, libraries beside a package included."""
    sizes: Counter[str] = Counter()
    for path in python.rglob("*"):
        if path.is_file():
            name = re.split(r"[.-]|_raw", path.relative_to(python).parts[0])[0]
            sizes["PIL" if name == "pillow" else name] += path.stat().st_size
    return sizes


def seconds(module: str, paths: Iterable[Path], *, source: bool = False) -> float:
    """Import a module in new interpreters; return the least processor time."""
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        # Somewhere else is nothing compiled.
        **({"PYTHONPYCACHEPREFIX": "/nonexistent"} if source else {}),
    }
    command = [INTERPRETER, "-S", "-c", TIME.format(module)]
    runs = (
        subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
        for _ in range(RUNS)
    )
    return min(map(float, runs))


def main() -> None:
    here = "x86_64" if platform.machine() in {"x86_64", "AMD64"} else "arm64"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        core = copy(REPOSITORY / "layers" / "core" / "python", folder / "core")
        functions = copy(REPOSITORY / "functions", folder / "functions")
        layers = {name: build(name, folder / name) for name in ("arm64", "x86_64")}
        for name, python in layers.items():
            largest = packages(python).most_common(LARGEST)
            whole = sum(map(size, (python, core, functions)))
            print(f"{name}: {whole / 1e6:.1f} MB unzipped, {size(python) / 1e6:.1f} of them packages")
            print("  " + ", ".join(f"{one} {count / 1e6:.1f}" for one, count in largest))
        boto3 = seconds("boto3", [layers[here]])
        print(f"import boto3: {boto3:.2f} s")
        for function in sorted(functions.iterdir()):
            took = seconds("app", [function, layers[here], core])
            print(f"import {function.name}: {took:.2f} s, {took / boto3:.1f} times boto3")
        source = seconds("app", [functions / "chunk", layers[here], core], source=True)
        print(f"import chunk from source: {source:.2f} s")


if __name__ == "__main__":
    main()
