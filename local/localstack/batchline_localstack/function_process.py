"""One process of a function: AWS's runtime client on the function's code, watched from outside."""

import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from .report import Failure
from .runtime_api import Answer, Event, RuntimeApi

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
POLL_S = 0.05
KILL_S = 5.0


@dataclass(frozen=True)
class Folders:
    """Where a function finds what Lambda has under /var/task, /opt, /var/runtime and /tmp."""

    task: Path
    layers: Path
    runtime: Path
    scratch: Path


def environment(given: dict[str, str], *, runtime: str, folders: Folders) -> dict[str, str]:
    """Make the environment of a function's process: what LocalStack and the template say, paths.

    Nothing of LocalStack's own environment gets through, as nothing of the host does on AWS.
    """
    task, layers, scratch = str(folders.task), str(folders.layers), str(folders.scratch)
    own_path = [given["PYTHONPATH"]] if given.get("PYTHONPATH") else []
    site_packages = f"{layers}/python/lib/{runtime}/site-packages"
    return {
        "LANG": "en_US.UTF-8",
        "PATH": f"/usr/local/bin:/usr/bin:/bin:{layers}/bin",
        "LD_LIBRARY_PATH": f"{task}:{task}/lib:{layers}/lib",
        "HOME": scratch,
        "TMPDIR": scratch,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        # Compiled files are kept, since a cold start without them takes seconds, but not in the
        # function's folder, which may be somebody's source.
        "PYTHONPYCACHEPREFIX": f"{tempfile.gettempdir()}/lambda/pycache",
        "AWS_EC2_METADATA_DISABLED": "true",
        **given,
        "PYTHONPATH": ":".join([*own_path, task, site_packages, f"{layers}/python"]),
        "LAMBDA_TASK_ROOT": task,
        "LAMBDA_RUNTIME_DIR": str(folders.runtime),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
    }


@dataclass(frozen=True)
class Ended:
    """How an invocation came to its end: with an answer, or with a failure in its place."""

    outcome: Answer | Failure
    peak_mb: int


class FunctionProcess:
    """A started process and its Runtime API. It takes one event after another until it ends."""

    def __init__(self, handler: str, *, env: dict[str, str], folders: Folders) -> None:
        self.api = RuntimeApi()
        self.started = time.monotonic()
        # A file, not a pipe: nobody must read it lest the function blocks, and what a function
        # printed before it answered is in it by then. Appending, so that it can be emptied.
        self._output = tempfile.TemporaryFile(prefix="lambda-output-")  # noqa: SIM115
        fcntl.fcntl(self._output, fcntl.F_SETFL, os.O_APPEND)
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603
                # -P: the bootstrap's folder must not shadow the function's modules.
                [folders.runtime / "bin" / "python", "-P", BOOTSTRAP, str(lifeline), handler],
                cwd=folders.task,
                env={**env, "AWS_LAMBDA_RUNTIME_API": self.api.address},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=[lifeline],
                process_group=0,
            )
        finally:
            os.close(lifeline)
        self._usage = psutil.Process(self._process.pid)

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait_for_start(self, seconds: float) -> bool:
        """Wait until the handler is loaded; False when that failed, took too long or it exited."""
        deadline = self.started + seconds
        while not self.api.wait_for_start(POLL_S):
            if self.exit_code is not None or time.monotonic() >= deadline:
                break
        return self.api.ready

    def run(self, event: Event, *, seconds: float, memory_mb: int) -> Ended:
        """Give the process an event and watch its time, its memory and its life."""
        deadline = time.monotonic() + seconds
        self.api.offer(event)
        peak_mb = 0
        while True:
            left = deadline - time.monotonic()
            answer = self.api.wait_for_answer(max(0.0, min(POLL_S, left)))
            used_mb = self._memory_mb()
            peak_mb = max(peak_mb, used_mb)
            if answer is not None:
                return Ended(answer, peak_mb)
            if self.exit_code is not None:
                return Ended(Failure.EXIT, peak_mb)
            if used_mb > memory_mb:
                self.kill()
                return Ended(Failure.MEMORY, peak_mb)
            if left <= 0:
                self.kill()
                return Ended(Failure.TIME, peak_mb)

    def take_output(self) -> str:
        """Hand over what the function wrote since the last call."""
        self._output.seek(0)
        text = self._output.read()
        self._output.truncate(0)
        return text.decode("utf-8", "replace")

    def kill(self) -> None:
        """End the process and its children at once."""
        # macOS says "not permitted" where only a zombie is left of the group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(KILL_S)

    def close(self) -> None:
        """End the process and free what was held for it."""
        self.kill()
        self.api.close()
        os.close(self._lifeline)
        self._output.close()

    def _memory_mb(self) -> int:
        """Read the resident memory of the process, without that of any children."""
        try:
            return int(self._usage.memory_info().rss) // 2**20
        except psutil.NoSuchProcess:
            return 0
