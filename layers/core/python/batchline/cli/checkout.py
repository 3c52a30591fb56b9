"""What a checkout of the repository adds to the installed package: the local cloud and the samples."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Final

from batchline.cli.session import Problem

PACKAGE: Final = "local"
NEEDS_REPOSITORY: Final = (
    "The local cloud needs Batchline's repository: run this from a checkout of it, where `make demo` "
    "installs all it takes."
)


def module(name: str) -> ModuleType:
    """Import a module of the local cloud. Raises Problem where it is not installed."""
    try:
        return importlib.import_module(f"{PACKAGE}.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != PACKAGE:
            raise
        raise Problem(NEEDS_REPOSITORY) from error


def client_environment() -> dict[str, str]:
    """Name the variables that lead boto3 to the local cloud. Raises Problem."""
    settings, cloud, errors = module("settings"), module("cloud"), module("errors")
    try:
        found: dict[str, str] = cloud.as_running(settings.from_environment()).client_environment()
    except errors.LocalCloudError as error:
        raise Problem(str(error)) from error
    return found


def samples() -> Path:
    """Find the folder of samples. Raises Problem."""
    repository: Path = module("settings").REPOSITORY
    return repository / "samples"
