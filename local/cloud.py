"""The local cloud: LocalStack and the Bedrock emulator, started and stopped together."""

import contextlib
import dataclasses
import fcntl
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from local import environments, processes, servers
from local.errors import LocalCloudError
from local.processes import Record
from local.servers import Server
from local.settings import HOST, Settings

# LocalStack takes 3 s; a machine under load ten times that.
START_LIMIT_S = 90.0
# LocalStack takes 1.5 s, but 12 s with a full stack, to end politely what is thrown away anyhow.
STOP_LIMIT_S = 3.0
HEALTH_LIMIT_S = 2.0
LOG_LINES = 12

type Tell = Callable[[str], None]


@dataclass(frozen=True)
class Condition:
    """How a server is. `pid`, `processes` and `memory_mb` are known only of one that we started.

    Memory and processes count LocalStack's functions too.
    """

    name: str
    url: str
    healthy: bool
    pid: int | None = None
    processes: int = 0
    memory_mb: int = 0


def up(settings: Settings, *, bedrock: bool = True, tell: Tell = print) -> None:
    """Start what does not run yet and wait until it answers.

    A LocalStack of somebody else's (`settings.foreign_endpoint`) is used as it is. `bedrock=False`
    leaves out the emulator. Raises LocalCloudError, which says what is in the way.
    """
    with one_at_a_time(settings, "run"):
        settings = as_running(settings)
        localstack = servers.localstack(settings)
        if settings.foreign_endpoint is None:
            if not _says_that_it_runs(settings, localstack, tell):
                _prepare(settings, tell)
                _start(settings, localstack, tell)
        elif is_healthy(localstack.health_url):
            tell(f"{localstack.title} of AWS_ENDPOINT_URL answers: {settings.foreign_endpoint}")
        else:
            raise LocalCloudError(
                f"No LocalStack answers at AWS_ENDPOINT_URL ({settings.foreign_endpoint}): start "
                "it, or unset AWS_ENDPOINT_URL to have one started."
            )
        emulator = servers.bedrock(settings)
        if bedrock and not _says_that_it_runs(settings, emulator, tell):
            _start(settings, emulator, tell)


def down(settings: Settings, *, tell: Tell = print) -> None:
    """Stop what `up` started and delete what it wrote, except for the logs."""
    with one_at_a_time(settings, "run"):
        records = {path.stem: Record.load(path) for path in sorted(settings.run.glob("*.json"))}
        # In the order of their names the emulator, which talks to LocalStack, comes first.
        for name, record in records.items():
            if record is not None:
                processes.stop(record, seconds=STOP_LIMIT_S)
            _record_file(settings, name).unlink()
            tell(f"Stopped {name}.")
        if not records:
            tell("Nothing runs that was started here.")
        shutil.rmtree(settings.run / "tmp", ignore_errors=True)


def status(settings: Settings) -> list[Condition]:
    """How LocalStack and the emulator are, whoever started them."""
    settings = as_running(settings)
    now = processes.snapshot()
    conditions = []
    for server in (servers.localstack(settings), servers.bedrock(settings)):
        condition = Condition(server.name, server.url, is_healthy(server.health_url))
        record = _running_record(settings, server.name)
        if record is not None:
            family = processes.family(record.pid, now)
            condition = dataclasses.replace(
                condition,
                pid=record.pid,
                processes=len(family),
                memory_mb=sum(process.rss_bytes for process in family) // 2**20,
            )
        conditions.append(condition)
    return conditions


def as_running(settings: Settings) -> Settings:
    """Put the ports that our servers really have, if they run, into the settings."""
    localstack = _running_record(settings, "localstack")
    bedrock = _running_record(settings, "bedrock")
    return dataclasses.replace(
        settings,
        localstack_port=localstack.port if localstack else settings.localstack_port,
        bedrock_port=bedrock.port if bedrock else settings.bedrock_port,
    )


def log_file(settings: Settings, name: str) -> Path:
    """Find the log of the server's last run. Raises LocalCloudError where there is none yet."""
    path = settings.run / f"{name}.log"
    if not path.exists():
        raise LocalCloudError(f"There is no log of {name} yet: `batchline local up` starts it.")
    return path


def is_healthy(url: str) -> bool:
    """Whether the URL answers 200 in good time."""
    # Without proxies: the address is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=HEALTH_LIMIT_S) as response:
            return bool(response.status == HTTPStatus.OK)
    except (OSError, urllib.error.HTTPError):
        return False


@contextlib.contextmanager
def one_at_a_time(settings: Settings, work: str) -> Iterator[None]:
    """Let only one command at a time do this work in this repository; others wait.

    Clouds on other ports count too: they share the environments and sam's build folder.
    """
    settings.run.mkdir(parents=True, exist_ok=True)
    settings.installed.mkdir(parents=True, exist_ok=True)
    with (settings.installed / f"{work}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _says_that_it_runs(settings: Settings, server: Server, tell: Tell) -> bool:
    """Whether our server is up. One that runs but does not answer in time is ended."""
    record = _running_record(settings, server.name)
    if record is None:
        return False
    if processes.wait_until(lambda: is_healthy(server.health_url), HEALTH_LIMIT_S):
        tell(f"{server.title} runs already: {server.url} (pid {record.pid})")
        return True
    tell(f"{server.title} does not answer; starting it again.")
    processes.stop(record, seconds=STOP_LIMIT_S)
    return False


def _prepare(settings: Settings, tell: Tell) -> None:
    """Install what LocalStack needs and give it an empty folder."""
    for environment in (environments.localstack(settings), environments.runtime(settings)):
        if environments.ensure(environment):
            tell(f"Installed {environment.folder.name}.")
    shutil.rmtree(settings.run / "tmp", ignore_errors=True)
    (settings.run / "tmp").mkdir()


def _start(settings: Settings, server: Server, tell: Tell) -> None:
    _expect_free_port(server)
    began = time.monotonic()
    log = settings.run / f"{server.name}.log"
    record = processes.start(server.command, env=server.env, log=log, port=server.port)
    record.save(_record_file(settings, server.name))

    def ended() -> bool:
        return not processes.alive(record, processes.snapshot())

    processes.wait_until(lambda: is_healthy(server.health_url) or ended(), START_LIMIT_S)
    if not ended() and is_healthy(server.health_url):
        seconds = time.monotonic() - began
        tell(f"{server.title} is ready: {server.url} (pid {record.pid}, {seconds:.1f} s)")
        return
    why = "ended while starting" if ended() else f"did not answer within {START_LIMIT_S:.0f} s"
    processes.stop(record, seconds=STOP_LIMIT_S)
    _record_file(settings, server.name).unlink()
    raise LocalCloudError(f"{server.title} {why}; the end of {log}:\n{_tail(log)}")


def _expect_free_port(server: Server) -> None:
    with socket.socket() as probe:
        # As the servers do: a port that a stopped server has just left is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, server.port))
        except OSError as error:
            raise LocalCloudError(
                f"{server.title} can't have port {server.port} ({error.strerror}): stop what uses "
                f"it, or choose another with {server.port_variable}."
            ) from error


def _record_file(settings: Settings, name: str) -> Path:
    return settings.run / f"{name}.json"


def _running_record(settings: Settings, name: str) -> Record | None:
    record = Record.load(_record_file(settings, name))
    return record if record and processes.alive(record, processes.snapshot()) else None


def _tail(log: Path) -> str:
    with log.open(errors="replace") as lines:
        return "".join(deque(lines, LOG_LINES)).rstrip()
