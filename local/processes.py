"""Processes that outlive the command that started them, and how to be sure they are still ours.

A process id alone proves nothing, since systems use ids again: a record also keeps the time at
which the process started. Works without root on Linux (/proc) and macOS (ps).
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

PROC = Path("/proc")
POLL_S = 0.05
# What its children may take to see that their parent has gone.
ORPHANS_S = 0.5


@dataclass(frozen=True)
class Process:
    """One running process. `started` is opaque: equal for the same process, and only for it."""

    pid: int
    parent: int
    started: str
    rss_bytes: int


class Record(BaseModel):
    """What is kept in a file about a process that we started."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: str
    port: int

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json())

    @staticmethod
    def load(path: Path) -> "Record | None":
        """Read the record; None where there is none."""
        try:
            return Record.model_validate_json(path.read_text())
        except FileNotFoundError:
            return None


def snapshot() -> dict[int, Process]:
    """All processes of the machine by id, without those that ended and wait for their parent."""
    if (PROC / "self" / "stat").exists():
        found = (_from_proc(folder) for folder in PROC.iterdir() if folder.name.isdecimal())
        return {process.pid: process for process in found if process}
    listing = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,rss=,stat=,lstart="],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"},
    )
    found = (parse_ps(line) for line in listing.stdout.splitlines())
    return {process.pid: process for process in found if process}


def parse_stat(text: str) -> Process | None:
    """Read a line of /proc/<pid>/stat; None for a zombie. The name may hold spaces and brackets."""
    pid, _, rest = text.partition(" ")
    fields = rest.rpartition(")")[2].split()
    state, parent, started, pages = fields[0], fields[1], fields[19], fields[21]
    if state in {"Z", "X"}:
        return None
    return Process(int(pid), int(parent), started, int(pages) * os.sysconf("SC_PAGE_SIZE"))


def parse_ps(line: str) -> Process | None:
    """Read a line of `ps -o pid=,ppid=,rss=,stat=,lstart=`; None for a zombie."""
    pid, parent, rss_kb, state, started = line.split(maxsplit=4)
    if state.startswith("Z"):
        return None
    return Process(int(pid), int(parent), " ".join(started.split()), int(rss_kb) * 1024)


def _from_proc(folder: Path) -> Process | None:
    try:
        return parse_stat((folder / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(record: Record, processes: Mapping[int, Process]) -> bool:
    """Whether the recorded process itself, not another one with its id, still runs."""
    process = processes.get(record.pid)
    return process is not None and process.started == record.started


def family(pid: int, processes: Mapping[int, Process]) -> list[Process]:
    """List the process and all its descendants, parents first."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found = [processes[pid]] if pid in processes else []
    for process in found:
        found.extend(children.get(process.pid, []))
    return found


def start(command: Sequence[str | Path], *, env: Mapping[str, str], log: Path, port: int) -> Record:
    """Start a process that survives the shell, in a session of its own; it writes to `log`."""
    arguments = [str(part) for part in command]
    pid = os.posix_spawn(
        arguments[0],
        arguments,
        dict(env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    process = snapshot().get(pid)
    return Record(pid=pid, started=process.started if process else "", port=port)


def stop(record: Record, *, seconds: float) -> None:
    """End the recorded process and all its descendants: politely, then after `seconds` by force.

    Does nothing where the process has ended, even if another one has its id by now.
    """
    processes = snapshot()
    if not alive(record, processes):
        return
    ours = family(record.pid, processes)
    _signal(ours[:1], signal.SIGTERM)
    wait_until(lambda: not _running(ours[:1]), seconds)
    wait_until(lambda: not _running(ours), ORPHANS_S)
    _signal(_running(ours), signal.SIGKILL)
    wait_until(lambda: not _running(ours), seconds)


def _running(processes: Iterable[Process]) -> list[Process]:
    """Those that still run; our own children that ended are taken off the system's list."""
    for process in processes:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    now = snapshot()
    return [one for one in processes if one.pid in now and now[one.pid].started == one.started]


def _signal(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; False when time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
