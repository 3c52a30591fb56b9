"""Starting and stopping, with small servers in the place of LocalStack and the emulator."""

import dataclasses
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import cloud, environments, processes, servers
from local.errors import LocalCloudError
from local.processes import Record
from local.servers import Server
from local.settings import HOST, Settings
from tests.ports import free_port
from tests.waiting import eventually

SERVER = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if "health" in self.path else 404)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""
BROKEN = "print('first line'); raise SystemExit('the reason')"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A cloud of two small servers that need nothing installed."""
    own = Settings(
        installed=tmp_path / "installed",
        run=tmp_path / "run",
        localstack_port=free_port(),
        bedrock_port=free_port(),
    )
    monkeypatch.setattr(environments, "ensure", lambda *_: False)
    real = {name: getattr(servers, name) for name in ("localstack", "bedrock")}
    for name, describe in real.items():
        monkeypatch.setattr(servers, name, lambda of, describe=describe: with_code(describe(of), SERVER))
    yield own
    cloud.down(own)


def with_code(server: Server, code: str) -> Server:
    command = (sys.executable, "-c", code, str(server.port))
    return dataclasses.replace(server, command=command, env=dict(os.environ))


def up(settings: Settings) -> list[str]:
    told: list[str] = []
    cloud.up(settings, tell=told.append)
    return told


def down(settings: Settings) -> list[str]:
    told: list[str] = []
    cloud.down(settings, tell=told.append)
    return told


def record(settings: Settings, name: str) -> Record:
    found = Record.load(settings.run / f"{name}.json")
    assert found is not None
    return found


def test_up_starts_both_and_a_second_up_starts_nothing(settings: Settings) -> None:
    first = up(settings)
    pids = [one.pid for one in cloud.status(settings)]
    second = up(settings)
    assert [line.split(":")[0] for line in first] == [
        "LocalStack is ready",
        "The Bedrock emulator is ready",
    ]
    assert [line.split(":")[0] for line in second] == [
        "LocalStack runs already",
        "The Bedrock emulator runs already",
    ]
    assert [one.pid for one in cloud.status(settings)] == pids


def test_status_counts_the_children_too(settings: Settings) -> None:
    before = cloud.status(settings)
    up(settings)
    after = cloud.status(settings)
    assert [(one.healthy, one.pid, one.processes) for one in before] == [(False, None, 0)] * 2
    assert [(one.healthy, one.processes) for one in after] == [(True, 2), (True, 2)]
    assert all(one.memory_mb > 1 for one in after)


def test_down_leaves_neither_processes_nor_files(settings: Settings) -> None:
    up(settings)
    (settings.run / "tmp" / "object").write_text("data")
    pids = {
        process.pid
        for name in ("localstack", "bedrock")
        for process in processes.family(record(settings, name).pid, processes.snapshot())
    }
    assert len(pids) == 4
    assert down(settings) == ["Stopped bedrock.", "Stopped localstack."]
    assert pids.isdisjoint(processes.snapshot())
    assert {path.name for path in settings.run.iterdir()} == {"bedrock.log", "localstack.log"}
    assert down(settings) == ["Nothing runs that was started here."]


def test_down_spares_a_process_that_only_has_the_same_id(settings: Settings) -> None:
    up(settings)
    true = record(settings, "bedrock")
    true.model_copy(update={"started": "long ago"}).save(settings.run / "bedrock.json")
    down(settings)
    assert processes.alive(true, processes.snapshot())
    processes.stop(true, seconds=5)


def test_up_replaces_a_server_that_died(settings: Settings) -> None:
    up(settings)
    dead = record(settings, "bedrock")
    children = processes.family(dead.pid, processes.snapshot())[1:]
    os.kill(dead.pid, signal.SIGKILL)
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: not processes.alive(dead, processes.snapshot()))
    assert [line.split(":")[0] for line in up(settings)] == [
        "LocalStack runs already",
        "The Bedrock emulator is ready",
    ]


def test_up_without_the_emulator(settings: Settings) -> None:
    cloud.up(settings, bedrock=False)
    assert [one.healthy for one in cloud.status(settings)] == [True, False]


def test_a_taken_port_is_named_with_the_way_out(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, settings.localstack_port))
        taken.listen()
        with pytest.raises(LocalCloudError) as refused:
            up(settings)
    assert f"port {settings.localstack_port}" in str(refused.value)
    assert "BATCHLINE_LOCALSTACK_PORT" in str(refused.value)
    assert not (settings.run / "localstack.json").exists()


def test_a_server_that_dies_at_start_shows_its_last_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = with_code(servers.bedrock(settings), BROKEN)
    monkeypatch.setattr(servers, "bedrock", lambda *_: emulator)
    with pytest.raises(LocalCloudError, match=r"ended while starting(?s:.)*the reason") as refused:
        up(settings)
    assert str(settings.run / "bedrock.log") in str(refused.value)
    assert [one.healthy for one in cloud.status(settings)] == [True, False]


def test_somebody_elses_localstack_is_used_and_left_alone(settings: Settings, tmp_path: Path) -> None:
    up(settings)
    guest = dataclasses.replace(
        settings,
        run=tmp_path / "guest",
        foreign_endpoint=settings.localstack_url,
        bedrock_port=free_port(),
    )
    told = up(guest)
    assert told[0] == f"LocalStack of AWS_ENDPOINT_URL answers: {settings.localstack_url}"
    assert down(guest) == ["Stopped bedrock."]
    assert cloud.is_healthy(f"{settings.localstack_url}/_localstack/health")


def test_somebody_elses_localstack_must_answer(settings: Settings) -> None:
    nowhere = dataclasses.replace(settings, foreign_endpoint=f"http://{HOST}:{free_port()}")
    with pytest.raises(LocalCloudError, match="unset AWS_ENDPOINT_URL"):
        up(nowhere)


def test_the_ports_of_what_runs_count_in_another_shell(settings: Settings) -> None:
    up(settings)
    elsewhere = dataclasses.replace(settings, localstack_port=1, bedrock_port=2)
    assert cloud.as_running(elsewhere) == settings


def test_a_log_that_does_not_exist_says_how_to_get_one(settings: Settings) -> None:
    with pytest.raises(LocalCloudError, match="batchline local up"):
        cloud.log_file(settings, "localstack")
