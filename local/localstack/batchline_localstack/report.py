"""What Lambda itself says about an invocation: its log lines and the errors it answers for a function.

Pure: no process, no clock, no LocalStack.
"""

import json
import math
import signal
from dataclasses import dataclass

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (synchronous answers)
MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100


@dataclass(frozen=True)
class Spent:
    """The cost of one invocation; `init_ms` only where the process was started for it."""

    duration_ms: float
    peak_mb: int
    init_ms: float | None = None


def error(kind: str, message: str) -> bytes:
    """The body of a failed invocation."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def timed_out(request_id: str, seconds: float) -> bytes:
    return error(
        "Sandbox.Timedout",
        f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds",
    )


def exited(request_id: str, code: int) -> bytes:
    """The function's process ended before it answered; a negative `code` is a signal's number."""
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
    failure: str = "",
) -> str:
    """The function's output between the lines that Lambda adds.

    `failure` is the status of an invocation that the function itself did not end, such as `timeout`.
    """
    if output and not output.endswith("\n"):
        output += "\n"
    init_ms = spent.init_ms or 0.0
    report = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {spent.duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(spent.duration_ms + init_ms)} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {spent.peak_mb} MB",
    ]
    if spent.init_ms is not None:
        report.append(f"Init Duration: {spent.init_ms:.2f} ms")
    if failure:
        report.append(f"Status: {failure}")
    return (
        f"START RequestId: {request_id} Version: {version}\n"
        f"{output}"
        f"END RequestId: {request_id}\n"
        f"{'\t'.join(report)}\t\n"
    )
