"""Makes the layer of what the functions need from PyPI, for the processor of the deployment.

sam runs it through the Makefile beside it, as `build.py arm64|x86_64 FOLDER`. The hashes of the lock are
checked for the very wheels that are deployed, whatever machine builds them. What no function needs is left
out, by the lists below: each line says why, and one that no longer fits the packages fails the build.
Modules are compiled here, because a function can't keep what it compiles: /opt is read-only.
"""

import argparse
import compileall
import importlib.util
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Final

LOCK: Final = Path(__file__).with_name("requirements.txt")
RUNTIME: Final = (3, 13)
# Lambda's names for processors, and those of wheels.
MACHINES: Final = MappingProxyType({"arm64": "aarch64", "x86_64": "x86_64"})
# The minor version of the glibc of Lambda's Amazon Linux 2023. The oldest that wheels are made for is 5.
GLIBC: Final = 34
OLDEST_GLIBC: Final = 5
# Lambda unpacks layers into /opt; tracebacks name files so.
DEPLOYED: Final = "/opt/python"

# Whose clients the functions make, in batchline.aws.clients; the tracer makes one of xray. Besides, botocore
# brings the models of 400 other services.
SERVICES: Final = frozenset(
    {
        "bedrock",
        "bedrock-runtime",
        "ce",
        "cloudformation",
        "dynamodb",
        "events",
        "s3",
        "service-quotas",
        "sqs",
        "sts",
        "xray",
    }
)

# Packages of the lock that are not installed.
LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "numpy": "for quicktok's counts of many texts at once",
    }
)

# Files and folders that are deleted once installed, by what they are for.
UNNEEDED: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "commands": ("bin", "pypdfium2_cli"),
        "the packages' own tests": ("*/tests", "jsonschema/benchmarks"),
        "checking types": ("**/*.pyi", "pydantic/mypy.py"),
        "compiling": ("**/*.c",),
        "AVIF; what is read is PNG, JPEG, WebP and GIF": ("PIL/_avif.*", "pillow.libs/libavif-*"),
        "drawing text": (
            "PIL/_imagingft.*",
            "pillow.libs/libbrotli*",
            "pillow.libs/libfreetype-*",
            "pillow.libs/libharfbuzz-*",
            "pillow.libs/libpng16-*",
        ),
        "colour profiles": ("PIL/_imagingcms.*", "pillow.libs/liblcms2-*"),
        "windows and arithmetic on pictures": (
            "PIL/_imagingtk.*",
            "PIL/_imagingmath.*",
            "PIL/_imagingmorph.*",
        ),
        "answering HTTP": ("aws_lambda_powertools/event_handler",),
        "Powertools for what Batchline does not do, or does by itself": (
            "aws_lambda_powertools/utilities/auth_alpha",
            "aws_lambda_powertools/utilities/circuit_breaker",
            "aws_lambda_powertools/utilities/data_masking",
            "aws_lambda_powertools/utilities/feature_flags",
            "aws_lambda_powertools/utilities/idempotency",
            "aws_lambda_powertools/utilities/kafka",
            "aws_lambda_powertools/utilities/parameters",
            "aws_lambda_powertools/utilities/parser",
        ),
        "boto3's resources; only clients are made": ("boto3/data", "boto3/examples"),
        "time zones; botocore reads times in UTC": ("dateutil/zoneinfo",),
        "the vocabularies of models that are not counted; Llama's licence asks more than a notice": (
            "quicktok/data/cl100k.*",
            "quicktok/data/llama3.*",
        ),
        "bringing in further vocabularies, from a network": (
            "quicktok/_import_core.py",
            "quicktok/import*.py",
        ),
        "pydantic 1": ("pydantic/v1",),
        "YAML by C; pipelines are read by yaml.SafeLoader": ("yaml/_yaml.*",),
    }
)
# botocore's own data, about all services.
BOTOCORE: Final = frozenset(
    {"_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json"}
)
LICENCES: Final = ("AUTHORS", "COPYING", "LICEN", "METADATA", "NOTICE")


def build(architecture: str, target: Path, *, lock: Path = LOCK, uv: str | None = None) -> None:
    """Install, prune and compile the packages of a lock into a new folder.

    `uv` is the program to install with; without it, it is this Python's pip. Exits with a sentence when
    neither is there, when a wheel is missing or not the one of the lock, or when a list above is outdated.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(without(LEFT_OUT, lock.read_text(encoding="utf-8")), encoding="utf-8")
        install(wanted, target, MACHINES[architecture], uv)
    prune(target)
    compiled = compileall.compile_dir(
        target,
        quiet=1,
        workers=0,
        stripdir=str(target),
        prependdir=DEPLOYED,
        # Not by time: the same packages are the same layer whenever they are built.
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit("A module of the layer is not Python 3.13: see above.")


def without(names: Mapping[str, str], lock: str) -> str:
    """Give a lock without the packages of these names."""
    entries = {entry.partition("==")[0]: entry for entry in re.split(r"^(?=\w)", lock, flags=re.MULTILINE)}
    if strangers := sorted(names.keys() - entries):
        sys.exit(f"LEFT_OUT names {', '.join(strangers)}, which the lock does not hold: take it out.")
    return "".join(entry for name, entry in entries.items() if name not in names)


def install(lock: Path, target: Path, machine: str, uv: str | None) -> None:
    """Unpack the wheels of a lock that fit Lambda's Python on this kind of processor."""
    if uv:
        program = [uv, "pip", "install", "--python", sys.executable, "--link-mode", "copy"]
        platforms = ["--python-platform", f"{machine}-manylinux_2_{GLIBC}"]
    elif importlib.util.find_spec("pip"):
        program = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
        platforms = ["--implementation", "cp"]
        for minor in range(GLIBC, OLDEST_GLIBC - 1, -1):
            platforms += ["--platform", f"manylinux_2_{minor}_{machine}"]
        platforms += ["--platform", f"manylinux2014_{machine}"]
    else:
        sys.exit(f"Neither uv nor pip is there: install uv, or pip for {sys.executable}, and build again.")
    done = subprocess.run(  # noqa: S603
        [
            *program,
            *platforms,
            "--quiet",
            # The lock is complete: what is missing from it is left out on purpose.
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            "--python-version={}.{}".format(*RUNTIME),
            "--target",
            str(target),
            "--requirement",
            str(lock),
        ],
        check=False,
    )
    if done.returncode:
        sys.exit("The packages of the layer could not be installed: see above.")


def prune(target: Path) -> None:
    """Delete what no function needs."""
    for pattern in chain.from_iterable(UNNEEDED.values()):
        found = sorted(target.glob(pattern))
        if not found:
            sys.exit(f"UNNEEDED names {pattern}, which no package brings any more: take it out.")
        for path in found:
            delete(path)
    for path in (target / "botocore" / "data").iterdir():
        if path.name not in SERVICES | BOTOCORE:
            delete(path)
    for folder in target.glob("*.dist-info"):
        for path in folder.iterdir():
            if not path.name.upper().startswith(LICENCES):
                delete(path)


def delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def main() -> None:
    if sys.version_info[:2] != RUNTIME:
        sys.exit("The layer is compiled for Python {}.{}: build it with that version.".format(*RUNTIME))
    parser = argparse.ArgumentParser(description="Make the layer of the functions' dependencies.")
    parser.add_argument("architecture", choices=MACHINES)
    parser.add_argument("target", type=Path, help="a folder that is made")
    arguments = parser.parse_args()
    build(arguments.architecture, arguments.target, uv=shutil.which("uv"))


if __name__ == "__main__":
    main()
