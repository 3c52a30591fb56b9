from pathlib import Path

import pytest
from typer.testing import CliRunner

from local import settings
from local.cli import app
from local.settings import Settings
from tests.ports import free_port

RUNNER = CliRunner()


@pytest.fixture
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    own = Settings(installed=tmp_path, run=tmp_path, localstack_port=free_port(), bedrock_port=free_port())
    monkeypatch.setattr(settings, "from_environment", lambda: own)
    return own


def test_env_can_be_evaluated_by_a_shell(nothing_runs: Settings) -> None:
    lines = RUNNER.invoke(app, ["env"]).output.splitlines()
    assert f"export AWS_ENDPOINT_URL=http://127.0.0.1:{nothing_runs.localstack_port}" in lines
    assert f"export AWS_ENDPOINT_URL_BEDROCK=http://127.0.0.1:{nothing_runs.bedrock_port}" in lines
    assert all(line.startswith("export AWS_") for line in lines)


def test_status_fails_when_something_does_not_answer(nothing_runs: Settings) -> None:
    result = RUNNER.invoke(app, ["status"])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"localstack no answer  http://127.0.0.1:{nothing_runs.localstack_port}",
        f"bedrock    no answer  http://127.0.0.1:{nothing_runs.bedrock_port}",
    ]


def test_an_error_is_one_sentence_and_no_traceback(nothing_runs: Settings) -> None:
    result = RUNNER.invoke(app, ["logs", "bedrock"])
    assert result.exit_code == 1
    assert result.output == "Error: There is no log of bedrock yet: `batchline local up` starts it.\n"


def test_logs_prints_the_log_of_the_server(nothing_runs: Settings) -> None:
    (nothing_runs.run / "localstack.log").write_text("Ready.\nsecond line\n")
    assert RUNNER.invoke(app, ["logs"]).output == "Ready.\nsecond line\n"


def test_down_with_nothing_to_stop_says_so(nothing_runs: Settings) -> None:
    result = RUNNER.invoke(app, ["down"])
    assert result.exit_code == 0
    assert result.output == "Nothing runs that was started here.\n"
