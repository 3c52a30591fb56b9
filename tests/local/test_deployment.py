from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local import deployment
from local.deployment import SamConfig
from local.errors import LocalCloudError
from local.settings import REPOSITORY, Settings
from tests.ports import free_port

SOURCE_FILES = ("functions/chunk/app.py", "layers/core/python/batchline/ids.py")
STACK: dict[str, Any] = {
    "StackName": "batchline",
    "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/batchline/one",
    "StackStatus": "CREATE_COMPLETE",
    "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(deployment, "REPOSITORY", tmp_path)
    monkeypatch.setattr("local.environments.REPOSITORY", tmp_path)
    for name in (*deployment.FILES, *SOURCE_FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_repositorys_own_samconfig_is_understood() -> None:
    config = deployment.sam_config(REPOSITORY / "samconfig.toml")
    assert config.stack_name == "batchline"
    assert config.build_dir == REPOSITORY / ".aws-sam" / "local" / "build"
    assert {"Architecture", "BedrockEndpoint"} <= set(config.parameters)


def test_parameters_of_samconfig_are_split(tmp_path: Path) -> None:
    file = tmp_path / "samconfig.toml"
    file.write_text(
        '[local.global.parameters]\nstack_name = "other"\n'
        '[local.build.parameters]\nbuild_dir = "out"\n'
        '[local.deploy.parameters]\nparameter_overrides = "A=1 Url=http://x/?a=b"\n'
    )
    assert deployment.sam_config(file) == SamConfig(
        stack_name="other", parameters={"A": "1", "Url": "http://x/?a=b"}, build_dir=REPOSITORY / "out"
    )


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")],
)
def test_the_processor_has_lambdas_name(machine: str, expected: str) -> None:
    assert deployment.architecture(machine) == expected


def test_a_processor_that_lambda_does_not_have_is_refused() -> None:
    with pytest.raises(LocalCloudError, match="riscv64"):
        deployment.architecture("riscv64")


def event(reason: str | None) -> Mapping[str, Any]:
    return {"ResourceStatusReason": reason} if reason else {}


def test_a_pretended_resource_is_named() -> None:
    reason = "Resource type AWS::Glue::Job is not supported but was deployed as a fallback"
    with pytest.raises(LocalCloudError, match="AWS::Glue::Job"):
        deployment.expect_real_resources([event(None), event("Something else"), event(reason)])


def test_a_pretended_resource_that_nothing_needs_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "KNOWN_FALLBACKS", frozenset({"AWS::Glue::Job"}))
    reason = "Resource type AWS::Glue::Job is not supported but was deployed as a fallback"
    deployment.expect_real_resources([event(reason)])


@pytest.mark.parametrize(
    "changed",
    [
        "template.yaml",
        "requirements/layer.txt",
        "functions/chunk/app.py",
        "layers/core/python/batchline/ids.py",
    ],
)
def test_the_digest_sees_what_a_build_is_made_of(repository: Path, changed: str) -> None:
    before = deployment.inputs_digest({})
    (repository / changed).write_text("something else")
    assert deployment.inputs_digest({}) != before


def test_the_digest_sees_new_files_and_parameters_but_no_compiled_files(repository: Path) -> None:
    before = deployment.inputs_digest({"Architecture": "arm64"})
    compiled = repository / "functions" / "chunk" / "__pycache__" / "app.cpython-313.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"compiled")
    assert deployment.inputs_digest({"Architecture": "arm64"}) == before
    assert deployment.inputs_digest({"Architecture": "x86_64"}) != before
    (repository / "functions" / "chunk" / "more.py").write_text("")
    assert deployment.inputs_digest({"Architecture": "arm64"}) != before


def test_a_stack_is_known_again_only_as_it_was_left() -> None:
    known = deployment._deployed("digest", STACK)  # type: ignore[arg-type]
    others = [
        STACK | {"StackId": STACK["StackId"] + "-2"},
        STACK | {"StackStatus": "UPDATE_ROLLBACK_COMPLETE"},
        STACK | {"LastUpdatedTime": datetime(2026, 1, 2, tzinfo=UTC)},
    ]
    assert known == deployment._deployed("digest", dict(STACK))  # type: ignore[arg-type]
    assert known != deployment._deployed("other", STACK)  # type: ignore[arg-type]
    for other in others:
        assert known != deployment._deployed("digest", other)  # type: ignore[arg-type]


def test_without_a_running_cloud_one_is_told_to_start_it(tmp_path: Path) -> None:
    nothing = Settings(run=tmp_path, localstack_port=free_port())
    with pytest.raises(LocalCloudError, match="run `batchline local up` first"):
        deployment.deploy(nothing)
