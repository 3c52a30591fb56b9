"""LocalStack's runtime executor `process`: each execution environment is a process on this machine.

Setting (environment of LocalStack): `LAMBDA_PROCESS_RUNTIMES`, a folder with a Python environment
for each Lambda runtime, named after it (`python3.13`), which has `awslambdaric` installed.

The processes have the rights of the user who started LocalStack: they are no sandbox.
"""

import logging
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import override

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import (
    LambdaRuntimeException,
    RuntimeExecutor,
)

from . import layers, report
from .function_process import Ended, Folders, FunctionProcess, environment
from .runtime_api import Event

LOG = logging.getLogger(__name__)
HOST = "127.0.0.1"
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
INIT_LIMIT_S = 10.0


def runtimes_folder() -> Path:
    return Path(os.environ["LAMBDA_PROCESS_RUNTIMES"])


def runtime_folder(runtime: str) -> Path:
    """The Python environment that stands for a Lambda runtime.

    Raises LambdaRuntimeException where there is none.
    """
    folder = runtimes_folder() / runtime
    if not (folder / "bin" / "python").exists():
        have = ", ".join(sorted(path.name for path in runtimes_folder().glob("python*")))
        raise LambdaRuntimeException(f"No runtime {runtime!r} here; there is: {have or 'none'}")
    return folder


def layers_folder(function_version: FunctionVersion) -> Path:
    """All layers of the function in one folder."""
    codes = [layer.code for layer in function_version.config.layers]
    for code in codes:
        code.prepare_for_execution()
    return layers.merged(
        [code.id for code in codes],
        [code.get_unzipped_code_location() for code in codes],
        root=Path(tempfile.gettempdir()) / "lambda" / "layers",
    )


class ProcessExecutor(RuntimeExecutor):
    """One execution environment. Its process is replaced after a time-out or an exit."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002
        super().__init__(id, function_version)
        self._env: dict[str, str] = {}
        self._folders: Folders | None = None
        self._process: FunctionProcess | None = None
        self._stopped = False
        self._lock = threading.Lock()

    @classmethod
    @override
    def validate_environment(cls) -> bool:
        return any(runtimes_folder().glob("python*/bin/python"))

    @classmethod
    @override
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        if not function_version.config.code:
            raise LambdaRuntimeException("Functions from container images need Docker")
        runtime_folder(function_version.config.runtime)
        function_version.config.code.prepare_for_execution()
        layers_folder(function_version)

    @classmethod
    @override
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Nothing: LocalStack deletes the code; merged layers may serve other functions."""

    @override
    def get_address(self) -> str:
        return HOST

    @override
    def get_endpoint_from_executor(self) -> str:
        return config.HOSTNAME_FROM_LAMBDA or HOST

    @override
    def get_runtime_endpoint(self) -> str:
        return f"http://{self._process.api.address}" if self._process else ""

    @override
    def get_logs(self) -> str:
        """Nothing: what a function prints is handed over with each invocation."""
        return ""

    @override
    def start(self, env_vars: dict[str, str]) -> None:
        function = self.function_version.config
        self._folders = Folders(
            task=Path(function.code.get_unzipped_code_location()),
            layers=layers_folder(self.function_version),
            runtime=runtime_folder(function.runtime),
            scratch=Path(tempfile.mkdtemp(prefix="lambda-tmp-")),
        )
        given = {name: str(value) for name, value in env_vars.items()}
        self._env = environment(given, runtime=function.runtime, folders=self._folders)
        self._spawn()

    @override
    def stop(self) -> None:
        with self._lock:
            self._stopped = True
        if self._process:
            self._process.close()
        if self._folders:
            shutil.rmtree(self._folders.scratch, ignore_errors=True)

    @override
    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        function, request_id = self.function_version.config, payload["invoke-id"]
        process = self._living_process()
        init_from = None if process.api.ready else process.started
        ready = process.wait_for_start(INIT_LIMIT_S)
        began = time.monotonic()
        if ready:
            ended = process.run(
                Event(
                    request_id=request_id,
                    payload=payload["payload"].encode(),
                    deadline_ms=int((time.time() + function.timeout) * 1000),
                    function_arn=payload["invoked-function-arn"],
                    trace_id=payload["trace-id"],
                ),
                seconds=function.timeout,
                memory_mb=function.memory_size,
            )
        else:
            ended = Ended(None, "init", 0)
        body, is_error = self._outcome(process, ended, request_id)
        spent = report.Spent(
            duration_ms=(time.monotonic() - began) * 1000,
            peak_mb=ended.peak_mb,
            init_ms=None if init_from is None else (began - init_from) * 1000,
        )
        logs = report.log(
            request_id,
            version=self.function_version.id.qualifier,
            output=process.take_output(),
            memory_mb=function.memory_size,
            spent=spent,
            failure="" if ended.answer else ended.failure,
        )
        if not ready:
            process.kill()
        return InvocationResult(request_id, body, is_error=is_error, logs=logs)

    def _outcome(
        self, process: FunctionProcess, ended: Ended, request_id: str
    ) -> tuple[bytes, bool]:
        """The body to hand back and whether it is an error."""
        if ended.answer is not None:
            if not ended.answer.is_error and len(ended.answer.body) > report.MAX_ANSWER_BYTES:
                return report.answer_too_large(), True
            return ended.answer.body, ended.answer.is_error
        if process.api.init_error is not None:
            return process.api.init_error, True
        if ended.failure == "timeout":
            return report.timed_out(request_id, self.function_version.config.timeout), True
        if process.exit_code is None:
            return report.timed_out(request_id, INIT_LIMIT_S), True
        return report.exited(request_id, process.exit_code), True

    def _living_process(self) -> FunctionProcess:
        """The process, started anew if the last invocation ended it."""
        if self._process is None or self._process.exit_code is not None:
            if self._process is not None:
                self._process.close()
            self._spawn()
        assert self._process is not None
        return self._process

    def _spawn(self) -> None:
        assert self._folders is not None
        with self._lock:
            if self._stopped:
                raise LambdaRuntimeException("The execution environment is stopped")
            self._process = FunctionProcess(
                self._env["_HANDLER"], env=self._env, folders=self._folders
            )


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    @override
    def load(self, *_args: object, **_kwargs: object) -> type[ProcessExecutor]:
        return ProcessExecutor
