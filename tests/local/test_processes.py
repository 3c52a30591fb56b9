import os
import signal
import sys
from pathlib import Path

import pytest

from local import processes
from local.processes import Process, Record
from tests.waiting import eventually

# A parent that ignores the polite signal, and its child; both would run for minutes.
STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(300)
"""


def process(pid: int, parent: int = 1, started: str = "100") -> Process:
    return Process(pid=pid, parent=parent, started=started, rss_bytes=0)


def start(tmp_path: Path, code: str, *arguments: str) -> Record:
    return processes.start(
        [sys.executable, "-c", code, *arguments], env=dict(os.environ), log=tmp_path / "log", port=1
    )


def test_a_line_of_proc_is_read_even_with_brackets_in_the_name() -> None:
    fields = ["S", "42", *["0"] * 17, "987654", "0", "3", "0"]
    line = f"7 (a (b) c) {' '.join(fields)}\n"
    assert processes.parse_stat(line) == Process(
        pid=7, parent=42, started="987654", rss_bytes=3 * os.sysconf("SC_PAGE_SIZE")
    )


def test_a_line_of_ps_is_read() -> None:
    line = "  501     1   2048 Ss   Sun Nov  2 01:58:46 2025    "
    assert processes.parse_ps(line) == Process(
        pid=501, parent=1, started="Sun Nov 2 01:58:46 2025", rss_bytes=2 * 2**20
    )


def test_processes_that_ended_are_left_out() -> None:
    fields = ["Z", "42", *["0"] * 17, "987654", "0", "3", "0"]
    assert processes.parse_stat(f"7 (x) {' '.join(fields)}") is None
    assert processes.parse_ps("501 1 0 Z+ Sun Nov  2 01:58:46 2025") is None


def test_the_snapshot_knows_this_process() -> None:
    me = processes.snapshot()[os.getpid()]
    assert me.parent == os.getppid()
    assert me.rss_bytes > 2**20


def test_a_process_with_the_same_id_but_another_start_is_not_ours() -> None:
    now = {7: process(7, started="100")}
    assert processes.alive(Record(pid=7, started="100", port=1), now)
    assert not processes.alive(Record(pid=7, started="99", port=1), now)
    assert not processes.alive(Record(pid=8, started="100", port=1), now)


def test_the_family_is_all_descendants() -> None:
    now = {
        one.pid: one
        for one in [process(10, 1), process(11, 10), process(12, 11), process(13, 12), process(20, 1)]
    }
    assert [one.pid for one in processes.family(10, now)] == [10, 11, 12, 13]
    assert processes.family(99, now) == []


def test_a_record_survives_on_disk(tmp_path: Path) -> None:
    record = Record(pid=7, started="100", port=4566)
    assert Record.load(tmp_path / "none.json") is None
    record.save(tmp_path / "one.json")
    assert Record.load(tmp_path / "one.json") == record


def test_a_started_process_has_a_session_of_its_own_and_writes_to_its_log(tmp_path: Path) -> None:
    record = start(tmp_path, "import os; print(os.getsid(0), flush=True); input()")
    eventually(lambda: not processes.alive(record, processes.snapshot()))
    words = (tmp_path / "log").read_text().split()
    assert words[0] == str(record.pid)
    # Its input is empty, not the terminal of whoever started it.
    assert words[-1] == "line"


def test_stopping_ends_the_whole_family_even_against_its_will(tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    record = start(tmp_path, STUBBORN, str(child_file))
    child = int(eventually(lambda: child_file.exists() and child_file.read_text()))
    processes.stop(record, seconds=0.3)
    now = processes.snapshot()
    assert record.pid not in now
    assert child not in now


def test_stopping_leaves_a_stranger_with_the_same_id_alone(tmp_path: Path) -> None:
    record = start(tmp_path, "import time; time.sleep(300)")
    processes.stop(record.model_copy(update={"started": "another time"}), seconds=0.1)
    assert processes.alive(record, processes.snapshot())
    processes.stop(record, seconds=5)
    assert not processes.alive(record, processes.snapshot())


def test_stopping_what_ended_by_itself_does_nothing(tmp_path: Path) -> None:
    record = start(tmp_path, "pass")
    eventually(lambda: not processes.alive(record, processes.snapshot()))
    processes.stop(record, seconds=0.1)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        processes.start(["/no-such-program"], env={}, log=tmp_path / "log", port=1)


def test_the_polite_signal_comes_first(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def leave(*_):\n"
        "    print('left politely', flush=True)\n"
        "    sys.exit()\n"
        f"signal.signal({int(signal.SIGTERM)}, leave)\n"
        "print('ready', flush=True)\n"
        "time.sleep(300)\n"
    )
    record = start(tmp_path, code)
    log = tmp_path / "log"
    eventually(lambda: "ready" in log.read_text())
    processes.stop(record, seconds=5)
    assert "left politely" in log.read_text()
