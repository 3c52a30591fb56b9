"""One process of a function: AWS's runtime client on the function's code, watched from outside."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

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

    @property
    def python(self) -> Path:
        return self.runtime / "bin" / "python"


@dataclass(frozen=True)
class Ended:
    """How an event came to its end: an answer, or `failure` with what happened instead."""

    answer: Answer | None
    failure: str
    peak_mb: int


def environment(given: dict[str, str], *, runtime: str, folders: Folders) -> dict[str, str]:
    """The environment of a function's process: what LocalStack and the template say, plus paths.

    Nothing of LocalStack's own environment gets through, as nothing of the host does on AWS.
    """
    task, layers, scratch = str(folders.task), str(folders.layers), str(folders.scratch)
    site_packages = f"{layers}/python/lib/{runtime}/site-packages"
    own_path = [given["PYTHONPATH"]] if given.get("PYTHONPATH") else []
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


class FunctionProcess:
    """A started process and its Runtime API. It serves events one after another until it ends."""

    def __init__(self, handler: str, *, env: dict[str, str], folders: Folders) -> None:
        self.api = RuntimeApi()
        self.started = time.monotonic()
        # A file, not a pipe: nobody must read it lest the function blocks, and what a function
        # printed before it answered is in it by then.
        self._output = tempfile.TemporaryFile(prefix="lambda-output-")  # noqa: SIM115
        reader, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603
                # -P: the bootstrap's folder must not shadow the function's modules.
                [folders.python, "-P", BOOTSTRAP, str(reader), handler],
                cwd=folders.task,
                env={**env, "AWS_LAMBDA_RUNTIME_API": self.api.address},
                stdin=subprocess.DEVNULL,
                stdout=self._output_for_appending(),
                stderr=subprocess.STDOUT,
                pass_fds=[reader],
                process_group=0,
            )
        finally:
            os.close(reader)

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
        """Give the process an event and watch it: time, memory and its life."""
        deadline = time.monotonic() + seconds
        self.api.offer(event)
        peak_mb = 0
        while True:
            left = deadline - time.monotonic()
            answer = self.api.wait_for_answer(max(0.0, min(POLL_S, left)))
            used_mb = self._memory_mb()
            peak_mb = max(peak_mb, used_mb)
            if answer is not None:
                return Ended(answer, "", peak_mb)
            if self.exit_code is not None:
                return Ended(None, "exit", peak_mb)
            if used_mb > memory_mb:
                self.kill()
                return Ended(None, "memory", peak_mb)
            if left <= 0:
                self.kill()
                return Ended(None, "timeout", peak_mb)

    def take_output(self) -> str:
        """What the function wrote since the last call."""
        self._output.seek(0)
        text = self._output.read()
        self._output.truncate(0)
        return text.decode("utf-8", "replace")

    def kill(self) -> None:
        """End the process and its children at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # macOS says "not permitted" where only a zombie is left of the group.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(KILL_S)

    def close(self) -> None:
        """End the process and free what was held for it."""
        self.kill()
        self.api.close()
        os.close(self._lifeline)
        self._output.close()

    def _output_for_appending(self) -> int:
        """The output's descriptor; appending, so that the file can be emptied between events."""
        import fcntl

        descriptor = self._output.fileno()
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
        return descriptor

    def _memory_mb(self) -> int:
        """Resident memory of the process and its children."""
        used = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            for one in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    used += one.memory_info().rss
        return used // 2**20
