"""What Lambda itself says about an invocation: its log lines, and errors in a function's place.

Pure: no process, no clock, no LocalStack.
"""

import json
import math
import signal
from dataclasses import dataclass
from enum import Enum

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (synchronous answers)
MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100


class Failure(Enum):
    """Why the function did not end an invocation itself, as the REPORT line words it."""

    TIME = "Status: timeout"
    MEMORY = "Status: error\tError Type: Runtime.OutOfMemory"
    EXIT = "Status: error\tError Type: Runtime.ExitError"
    INIT = "Status: error\tError Type: Runtime.InitError"


@dataclass(frozen=True)
class Spent:
    """The cost of one invocation; `init_ms` only where the process was started for it."""

    duration_ms: float
    peak_mb: int
    init_ms: float | None = None


def error(kind: str, message: str) -> bytes:
    """Write the body of a failed invocation."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def timed_out(request_id: str, seconds: float) -> bytes:
    return error("Sandbox.Timedout", f"RequestId: {request_id} Error: {time_out_note(seconds)}")


def time_out_note(seconds: float) -> str:
    return f"Task timed out after {seconds:.2f} seconds"


def exited(request_id: str, code: int) -> bytes:
    """Tell that the process ended before it answered; a negative `code` is a signal's number."""
    if code == 0:
        how = "exited without providing a reason"
    elif code == -signal.SIGKILL:
        how = "exited with error: signal: killed"
    elif code < 0:
        how = f"exited with error: signal: {signal.strsignal(-code) or -code}".lower()
    else:
        how = f"exited with error: exit status {code}"
    return error("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime {how}")


def answer_too_large() -> bytes:
    return error(
        "Function.ResponseSizeTooLarge",
        f"Response payload size exceeded maximum allowed payload size ({MAX_ANSWER_BYTES} bytes).",
    )


def log(
    request_id: str,
    *,
    version: str,
    output: str,
    memory_mb: int,
    spent: Spent,
    failure: Failure | None = None,
) -> str:
    """Put the function's output between the lines that Lambda adds."""
    if output and not output.endswith("\n"):
        output += "\n"
    report = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {spent.duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(spent.duration_ms + (spent.init_ms or 0.0))} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {spent.peak_mb} MB",
    ]
    if spent.init_ms is not None:
        report.append(f"Init Duration: {spent.init_ms:.2f} ms")
    if failure is not None:
        report.append(failure.value)
    return (
        f"START RequestId: {request_id} Version: {version}\n"
        f"{output}"
        f"END RequestId: {request_id}\n"
        f"{'\t'.join(report)}\t\n"
    )
