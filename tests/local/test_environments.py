import subprocess
import sys
from pathlib import Path

import pytest

from local import environments
from local.environments import Environment
from local.errors import LocalCloudError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "REPOSITORY", tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "little"\nversion = "1"\n'
    )
    (tmp_path / "project" / "little.py").write_text("ANSWER = 1\n")
    (tmp_path / "lock.txt").write_text("")
    return tmp_path


def without_build(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Let uv only note what it was asked for, as if it had done it."""
    calls: list[tuple[str, ...]] = []

    def note(*arguments: object) -> None:
        calls.append(tuple(str(one) for one in arguments))
        environment.folder.mkdir(exist_ok=True)

    monkeypatch.setattr(environments, "_uv", note)
    return calls


def test_an_environment_is_made_once(repository: Path) -> None:
    environment = Environment(repository / "made", repository / "lock.txt")
    assert environments.ensure(environment)
    done = subprocess.run(
        [environment.program("python"), "-c", "import sys; print(sys.prefix)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(environment.folder)
    assert not environments.ensure(environment)


def test_a_changed_lock_makes_it_anew_and_installs_with_hashes(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(repository / "made", repository / "lock.txt", repository / "project")
    calls = without_build(environment, monkeypatch)
    assert environments.ensure(environment)
    environment.lock.write_text("something==1 --hash=sha256:00\n")
    calls.clear()
    assert environments.ensure(environment)
    python, folder = str(environment.program("python")), str(environment.folder)
    assert [call[:2] for call in calls] == [("venv", "--clear"), ("pip", "install"), ("pip", "install")]
    assert calls[0][-1] == folder
    assert calls[1] == ("pip", "install", "--python", python, "--require-hashes", "-r", str(environment.lock))


def test_a_changed_source_installs_only_the_project(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(repository / "made", repository / "lock.txt", repository / "project")
    calls = without_build(environment, monkeypatch)
    environments.ensure(environment)
    (repository / "project" / "little.py").write_text("ANSWER = 2\n")
    calls.clear()
    assert environments.ensure(environment)
    assert len(calls) == 1
    assert calls[0][-1] == str(repository / "project")
    assert "--no-deps" in calls[0]


def test_without_uv_one_is_told_how_to_get_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    monkeypatch.setattr(sys, "executable", str(repository / "python"))
    with pytest.raises(LocalCloudError, match=r"uv is missing: install it"):
        environments.ensure(Environment(repository / "made", repository / "lock.txt"))


def test_a_lock_that_cannot_be_installed_is_told_in_uvs_words(repository: Path) -> None:
    (repository / "lock.txt").write_text("not a requirement at all\n")
    environment = Environment(repository / "made", repository / "lock.txt")
    with pytest.raises(LocalCloudError, match="uv pip failed"):
        environments.ensure(environment)
    assert not (environment.folder / environments.STAMP).exists()


def test_the_digest_sees_names_and_contents(repository: Path) -> None:
    one, other = repository / "one", repository / "other"
    one.write_text("ab")
    other.write_text("c")
    first = environments.digest([one, other])
    one.write_text("a")
    other.write_text("bc")
    assert environments.digest([one, other]) != first
    assert environments.digest([other, one]) != environments.digest([one, other])
