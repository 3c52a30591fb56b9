"""What is left of functions when LocalStack ends, by order or by accident."""

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local import cloud, processes
from local.processes import Record
from local.settings import Settings
from tests.local.aws import Aws
from tests.ports import free_port
from tests.waiting import eventually

pytestmark = pytest.mark.localstack

# Ends neither when asked to nor when its caller has gone.
ENDLESS = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def handler(event, context):
    print("runs")
    while True:
        time.sleep(1)
"""


@pytest.mark.parametrize("by_accident", [False, True], ids=["by order", "by accident"])
def test_no_function_outlives_localstack(
    tmp_path_factory: pytest.TempPathFactory, *, by_accident: bool
) -> None:
    settings = Settings(
        run=tmp_path_factory.mktemp("cloud"), localstack_port=free_port(), bedrock_port=free_port()
    )
    cloud.up(settings, bedrock=False)
    record = Record.load(settings.run / "localstack.json")
    assert record is not None
    aws = Aws(settings)
    function = aws.function(ENDLESS, Timeout=300)

    def call() -> None:
        # However it ends, and it can't end well: its server goes away.
        with contextlib.suppress(BotoCoreError, ClientError):
            aws.invoke(function)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(call)
        children = eventually(lambda: processes.family(record.pid, processes.snapshot())[1:])
        if by_accident:
            os.kill(record.pid, signal.SIGKILL)
            eventually(lambda: not {one.pid for one in children} & set(processes.snapshot()), seconds=10)
        cloud.down(settings)
    assert not {one.pid for one in children} & set(processes.snapshot())
    assert {path.name for path in settings.run.iterdir()} == {"localstack.log"}
