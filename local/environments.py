"""The Python environments of the local cloud, made by uv from the repository's locks.

LocalStack and sam pin versions that clash with the project's own, so each lives by itself.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local.errors import LocalCloudError
from local.settings import REPOSITORY, Settings

STAMP = "batchline-lock.sha256"
PLUGINS = REPOSITORY / "local" / "localstack"
# The functions' runtime in template.yaml.
RUNTIME = "python3.13"


@dataclass(frozen=True)
class Environment:
    """A virtual environment and the lock that says what is in it.

    `project` is a folder with a package of ours to install on top; `seed` adds pip for sam.
    """

    folder: Path
    lock: Path
    project: Path | None = None
    seed: bool = False

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def stamps(self) -> list[tuple[Path, str]]:
        """Files that tell what was installed, with what they must say to be up to date."""
        stamps = [(self.folder / STAMP, digest([self.lock]))]
        if self.project:
            sources = [*sorted(self.project.rglob("*.py")), self.project / "pyproject.toml"]
            stamps.append((self.folder / f"{self.project.name}.sha256", digest(sources)))
        return stamps


def localstack(settings: Settings) -> Environment:
    return Environment(
        settings.installed / "localstack", REPOSITORY / "requirements" / "localstack.txt", PLUGINS
    )


def runtime(settings: Settings) -> Environment:
    """Describe what functions run on; its parent folder holds one for each Lambda runtime."""
    return Environment(settings.installed / "runtimes" / RUNTIME, REPOSITORY / "requirements" / "runtime.txt")


def sam(settings: Settings) -> Environment:
    return Environment(settings.installed / "sam", REPOSITORY / "requirements" / "sam.txt", seed=True)


def ensure(environment: Environment) -> bool:
    """Install what is missing or out of date; True when there was something to do.

    Raises LocalCloudError when uv is missing or fails.
    """
    (lock_stamp, lock_digest), *project_stamps = environment.stamps()
    renewed = not _says(lock_stamp, lock_digest)
    if renewed:
        _create(environment)
        lock_stamp.write_text(lock_digest)
    for stamp, expected in project_stamps:
        if renewed or not _says(stamp, expected):
            _install(environment, "--no-deps", "--no-build-isolation", "--reinstall", environment.project)
            stamp.write_text(expected)
            renewed = True
    return renewed


def digest(files: Iterable[Path]) -> str:
    """One checksum over names and contents."""
    total = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        total.update(f"{file.relative_to(REPOSITORY)}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def _says(stamp: Path, expected: str) -> bool:
    return stamp.exists() and stamp.read_text() == expected


def _create(environment: Environment) -> None:
    _uv(
        "venv",
        "--clear",
        *(["--seed"] if environment.seed else []),
        "--python",
        _python(),
        environment.folder,
    )
    _install(environment, "--require-hashes", "-r", environment.lock)


def _install(environment: Environment, *what: str | Path | None) -> None:
    _uv("pip", "install", "--python", environment.program("python"), *what)


def _python() -> str:
    """Name the interpreter to build on: this one if its version fits, else uv chooses."""
    version = RUNTIME.removeprefix("python")
    return sys.executable if f"{sys.version_info[0]}.{sys.version_info[1]}" == version else version


def _uv(*arguments: str | Path | None) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if uv is None:
        raise LocalCloudError("uv is missing: install it (https://docs.astral.sh/uv) or run `make setup`.")
    done = subprocess.run(  # noqa: S603
        [uv, *[str(one) for one in arguments], "--quiet"],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    if done.returncode:
        raise LocalCloudError(f"uv {arguments[0]} failed: {done.stderr.strip()}")
