from pathlib import Path

import pytest

from local.localstack.batchline_localstack import layers


def layer(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [
        layer(tmp_path / "one", {"python/a.py": "one", "python/deep/b.py": "one"}),
        layer(tmp_path / "two", {"python/a.py": "two", "bin/tool": "two"}),
    ]


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_the_later_layer_lies_above(tmp_path: Path, two: list[Path]) -> None:
    merged = layers.merged(["1", "2"], two, root=tmp_path / "root")
    assert contents(merged) == {"python/a.py": "two", "python/deep/b.py": "one", "bin/tool": "two"}
    assert contents(two[0]) == {"python/a.py": "one", "python/deep/b.py": "one"}


def test_the_same_layers_are_merged_once(tmp_path: Path, two: list[Path]) -> None:
    first = layers.merged(["1", "2"], two, root=tmp_path / "root")
    (first / "mark").touch()
    assert layers.merged(["1", "2"], two, root=tmp_path / "root") == first
    assert (first / "mark").exists()
    assert layers.merged(["2", "1"], two[::-1], root=tmp_path / "root") != first


def test_links_stay_links(tmp_path: Path, two: list[Path]) -> None:
    (two[0] / "python" / "link").symlink_to("a.py")
    merged = layers.merged(["1"], two[:1], root=tmp_path / "root")
    assert (merged / "python" / "link").readlink() == Path("a.py")


def test_no_layers_are_an_empty_folder(tmp_path: Path) -> None:
    assert contents(layers.merged([], [], root=tmp_path / "root")) == {}
