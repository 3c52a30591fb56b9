"""A function's layers laid over each other in one folder, as Lambda has them under /opt."""

import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

_lock = threading.Lock()


def merged(names: Sequence[str], folders: Sequence[Path], *, root: Path) -> Path:
    """Make a folder under `root` of all `folders`; of equal paths the later layer's stays.

    `names` identify the layers' contents: the same names are merged once. Files are linked, not
    copied; `root` must be on the same file system as the layers.
    """
    target = root / ("+".join(names) or "none")
    with _lock:
        if target.exists():
            return target
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=root))
        for folder in folders:
            shutil.copytree(folder, staging, symlinks=True, copy_function=_link, dirs_exist_ok=True)
        staging.chmod(0o755)
        return staging.rename(target)


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    os.link(source, target)
