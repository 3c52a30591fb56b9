"""The most memory that a process has had."""

from pathlib import Path


def peak_bytes(pid: int | str = "self") -> int:
    """Read the peak of a process; 0 when it has ended and is waited for.

    Its ru_maxrss would also count its parent, as it was before exec.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
