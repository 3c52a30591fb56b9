"""Runs in a function's process: AWS's runtime client, and an end to the process if LocalStack dies.

Arguments: the file descriptor of a pipe whose other end LocalStack holds, then the handler's name.
"""

import os
import signal
import sys
import threading

from awslambdaric.__main__ import main


def end_with_localstack(pipe: int) -> None:
    """Kill this process and its children once nobody holds the pipe's other end any more."""
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_localstack, args=(int(sys.argv.pop(1)),), daemon=True).start()
    main(sys.argv)
