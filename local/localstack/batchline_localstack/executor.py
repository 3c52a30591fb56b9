"""LocalStack's runtime executor `process`: each execution environment is a process on this machine.

Setting (environment of LocalStack): `LAMBDA_PROCESS_RUNTIMES`, a folder with a Python environment
for each Lambda runtime, named after it (`python3.13`), which has `awslambdaric` installed.

The processes have the rights of the user who started LocalStack: they are no sandbox.
"""

import os
import shutil
import tempfile
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, override

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import (
    FunctionVersion,
    InvocationResult,
    S3Code,
)
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import (
    LambdaRuntimeException,
    RuntimeExecutor,
)

from . import layers, report
from .function_process import Ended, Folders, FunctionProcess, environment
from .report import Failure
from .runtime_api import Answer, Event

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
# A start that takes longer is begun again by Lambda as a part of the first invocation, with the time of that;
# here it goes on. https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
INIT_LIMIT_S = 10.0


class ProcessExecutor(RuntimeExecutor):
    """One execution environment. Its process is replaced after a time-out or an exit."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002
        super().__init__(id, function_version)
        self._launch: Callable[[], FunctionProcess] | None = None
        self._process: FunctionProcess | None = None
        self._scratch = Path(tempfile.mkdtemp(prefix="lambda-tmp-"))
        self._changing = threading.Lock()
        self._busy = threading.Lock()

    @classmethod
    @override
    def validate_environment(cls) -> bool:
        return any(_runtimes().glob("python*/bin/python"))

    @classmethod
    @override
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        function = function_version.config
        if not function.code or not function.runtime:
            raise LambdaRuntimeException("Functions from container images need Docker")
        _runtime_folder(function.runtime)
        function.code.prepare_for_execution()
        _layers_folder(function_version)

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
        """Nothing: this address serves Docker images with LocalStack's own runtime client."""
        return ""

    @override
    def get_logs(self) -> str:
        """Nothing: what a function prints is handed over with each invocation."""
        return ""

    @override
    def start(self, env_vars: dict[str, str]) -> None:
        function = self.function_version.config
        runtime = str(function.runtime)
        folders = Folders(
            task=Path(function.code.get_unzipped_code_location()),
            layers=_layers_folder(self.function_version),
            runtime=_runtime_folder(runtime),
            scratch=self._scratch,
        )
        given = {name: str(value) for name, value in env_vars.items()}
        env = environment(given, runtime=runtime, folders=folders)
        self._launch = partial(FunctionProcess, env["_HANDLER"], env=env, folders=folders)
        self._living_process()

    @override
    def stop(self) -> None:
        with self._changing:
            self._launch = None
            if self._process:
                # Ends a running invocation too, which then lets go of `_busy`.
                self._process.kill()
        with self._busy:
            if self._process:
                self._process.close()
                self._process = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    @override
    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        with self._busy:
            return self._invoke(self._living_process(), payload)

    def _invoke(self, process: FunctionProcess, payload: dict[str, str]) -> InvocationResult:
        function, request_id = self.function_version.config, payload["invoke-id"]
        was_ready = process.api.ready
        loaded = process.wait_for_start(INIT_LIMIT_S + function.timeout)
        began = time.monotonic()
        if loaded:
            event = Event(
                request_id=request_id,
                payload=payload["payload"].encode(),
                deadline_ms=int((time.time() + function.timeout) * 1000),
                function_arn=payload["invoked-function-arn"],
                trace_id=payload["trace-id"],
            )
            ended = process.run(event, seconds=function.timeout, memory_mb=function.memory_size)
        else:
            ended = Ended(Failure.INIT, 0)
        spent = report.Spent(
            duration_ms=(time.monotonic() - began) * 1000,
            peak_mb=ended.peak_mb,
            init_ms=None if was_ready else (began - process.started) * 1000,
        )
        answer = self._answer(process, ended, request_id)
        output = process.take_output()
        if ended.outcome is Failure.INIT:
            process.kill()
        elif ended.outcome is Failure.TIME:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            output += f"{now} {request_id} {report.time_out_note(function.timeout)}\n"
        logs = report.log(
            request_id,
            version=self.function_version.id.qualifier,
            output=output,
            memory_mb=function.memory_size,
            spent=spent,
            failure=ended.outcome if isinstance(ended.outcome, Failure) else None,
        )
        return InvocationResult(request_id, answer.body, is_error=answer.is_error, logs=logs)

    def _answer(self, process: FunctionProcess, ended: Ended, request_id: str) -> Answer:
        """Say what the caller gets: the function's answer, or Lambda's word in its place."""
        limit_s = self.function_version.config.timeout
        match ended.outcome:
            case Answer(body, is_error=False) if len(body) > report.MAX_ANSWER_BYTES:
                return Answer(report.answer_too_large(), is_error=True)
            case Answer():
                return ended.outcome
            case Failure.TIME:
                return Answer(report.timed_out(request_id, limit_s), is_error=True)
            case Failure.INIT if process.api.init_error is not None:
                return Answer(process.api.init_error, is_error=True)
        if process.exit_code is None:
            return Answer(report.timed_out(request_id, limit_s), is_error=True)
        return Answer(report.exited(request_id, process.exit_code), is_error=True)

    def _living_process(self) -> FunctionProcess:
        """Find the process, started anew if the last invocation ended it.

        Raises LambdaRuntimeException when the environment is stopped.
        """
        with self._changing:
            if self._launch is None:
                raise LambdaRuntimeException("The execution environment is stopped")
            if self._process is not None and self._process.exit_code is None:
                return self._process
            if self._process is not None:
                self._process.close()
            self._process = self._launch()
            return self._process


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    @override
    def load(self, *_args: object, **_kwargs: object) -> type[ProcessExecutor]:
        return ProcessExecutor


def _runtimes() -> Path:
    return Path(os.environ["LAMBDA_PROCESS_RUNTIMES"])


def _runtime_folder(runtime: str) -> Path:
    """Find the Python environment that stands for a Lambda runtime.

    Raises LambdaRuntimeException where there is none.
    """
    folder = _runtimes() / runtime
    if not (folder / "bin" / "python").exists():
        have = ", ".join(sorted(path.name for path in _runtimes().glob("python*")))
        raise LambdaRuntimeException(f"No runtime {runtime!r} here; there is: {have or 'none'}")
    return folder


def _layers_folder(function_version: FunctionVersion) -> Path:
    """Lay all layers of the function together in one folder."""
    codes = []
    for layer in function_version.config.layers:
        if not isinstance(layer.code, S3Code):
            raise LambdaRuntimeException(f"{layer.layer_version_arn} has no uploaded archive")
        layer.code.prepare_for_execution()
        codes.append(layer.code)
    return layers.merged(
        [code.id for code in codes],
        [code.get_unzipped_code_location() for code in codes],
        root=Path(tempfile.gettempdir()) / "lambda" / "layers",
    )
