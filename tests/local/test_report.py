import json
import signal

import pytest

from local.localstack.batchline_localstack import report
from local.localstack.batchline_localstack.report import Failure, Spent


def message(body: bytes) -> str:
    return str(json.loads(body)["errorMessage"])


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (0, "exited without providing a reason"),
        (3, "exited with error: exit status 3"),
        (-signal.SIGKILL, "exited with error: signal: killed"),
        (-signal.SIGSEGV, "exited with error: signal: segmentation fault"),
    ],
)
def test_an_exit_says_how(code: int, how: str) -> None:
    assert message(report.exited("r", code)) == f"RequestId: r Error: Runtime {how}"


def test_a_time_out_says_the_limit() -> None:
    body = json.loads(report.timed_out("r", 3))
    assert body == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: r Error: Task timed out after 3.00 seconds",
    }


def test_the_log_of_a_warm_call() -> None:
    text = report.log("r", version="7", output="a\nb", memory_mb=128, spent=Spent(12.345, 60))
    assert text == (
        "START RequestId: r Version: 7\n"
        "a\nb\n"
        "END RequestId: r\n"
        "REPORT RequestId: r\tDuration: 12.35 ms\tBilled Duration: 13 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 60 MB\t\n"
    )


def test_the_log_of_a_cold_call_that_ran_out_of_time() -> None:
    text = report.log(
        "r",
        version="$LATEST",
        output="",
        memory_mb=128,
        spent=Spent(2000.5, 60, init_ms=100.25),
        failure=Failure.TIME,
    )
    assert text.splitlines()[-1] == (
        "REPORT RequestId: r\tDuration: 2000.50 ms\tBilled Duration: 2101 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 60 MB\tInit Duration: 100.25 ms\tStatus: timeout\t"
    )
