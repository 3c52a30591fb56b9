"""The dependencies layer: what is in it for both processors, and that nothing is missing."""

import ast
import json
import re
import runpy
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from local import deployment, environments, settings
from local.settings import REPOSITORY
from tests.local import digests, layer

ARCHITECTURES = ("arm64", "x86_64")
# Bytes, unzipped. AWS takes 250 MB; the larger a deployment is, the slower a cold start.
MOST_OF_DEPLOYMENT = 150e6
MOST_OF_LAYER = 132e6
MACHINES = {"x86_64": 62, "arm64": 183}

# Not imported as a module, which would leave a compiled file in a folder that sam looks at for changes.
build = SimpleNamespace(**runpy.run_path(str(layer.SOURCE / "build.py")))
architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)

IMPORT_ALL = """
import importlib, pkgutil, sys
import batchline
for module in pkgutil.walk_packages(batchline.__path__, "batchline."):
    if not module.name.startswith("batchline.cli"):
        importlib.import_module(module.name)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
MAKE_CLIENTS = """
import inspect, json
from batchline.aws import clients
made = [make() for name, make in vars(clients).items() if hasattr(make, "cache_clear")]
print(json.dumps(sorted(one.meta.service_model.service_name for one in made if hasattr(one, "meta"))))
"""


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The layer of each processor, as `sam build` makes it."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ARCHITECTURES}
    with ThreadPoolExecutor() as pool:
        for done in pool.map(layer.make, folders, folders.values()):
            assert done.returncode == 0, done.stderr
    return folders


@pytest.fixture(scope="session")
def ours(layers: dict[str, Path]) -> Path:
    """The layer that runs on this machine."""
    return layers[deployment.architecture()]


@architecture
def test_the_deployment_is_small(layers: dict[str, Path], architecture: str) -> None:
    dependencies = layer.size(layers[architecture])
    own = layer.size(layer.CORE) + sum(map(layer.size, layer.FUNCTIONS))
    assert dependencies < MOST_OF_LAYER
    assert dependencies + own < MOST_OF_DEPLOYMENT


@architecture
def test_what_is_compiled_is_for_the_processor(layers: dict[str, Path], architecture: str) -> None:
    libraries = list(layers[architecture].rglob("*.so*"))
    assert {layer.machine(library) for library in libraries} == {MACHINES[architecture]}
    assert {"_io", "libpdfium", "_quicktok"} <= {path.name.partition(".")[0] for path in libraries}


def test_both_processors_have_the_same(layers: dict[str, Path]) -> None:
    def named(architecture: str) -> set[str]:
        """Name files without what auditwheel and compilers add for the processor."""
        root = layers[architecture]
        found = (str(path.relative_to(root)) for path in root.rglob("*"))
        return {re.sub(r"-[0-9a-f]{8}\b|x86_64|aarch64", "", name) for name in found}

    assert named("arm64") == named("x86_64")


@architecture
def test_modules_are_compiled(layers: dict[str, Path], architecture: str) -> None:
    python = layers[architecture] / "python"
    for source in python.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        # Flags 1: by the hash of the source, which is not looked at; https://peps.python.org/pep-0552
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", source


@architecture
def test_licences_are_kept(layers: dict[str, Path], architecture: str) -> None:
    infos = list((layers[architecture] / "python").glob("*.dist-info"))
    for info in infos:
        metadata = (info / "METADATA").read_text()
        kept = {path.name for path in info.rglob("*")}
        named = re.findall(r"^License-File: (?:.*/)?(.+)$", metadata, flags=re.MULTILINE)
        assert set(named) <= kept, info.name
        assert not kept & {"RECORD", "WHEEL", "sboms"}
    assert {"pillow", "arro3_core", "pypdfium2"} <= {info.name.partition("-")[0] for info in infos}


@pytest.mark.parametrize("function", layer.FUNCTIONS, ids=lambda path: path.name)
def test_each_function_can_be_imported(ours: Path, function: Path) -> None:
    # With tracing, which on AWS needs more than without.
    assert layer.run(ours, "import app; print(callable(app.handler))", function=function) == "True\n"


def imported(tree: ast.AST) -> Iterator[str]:
    """Name what a module imports when it runs, also what it imports late."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case _:
                yield from imported(node)


def test_all_that_is_ever_imported_is_there(ours: Path) -> None:
    sources = [path for path in layer.CORE.rglob("*.py") if "cli" not in path.parts]
    names = {name for source in sources for name in imported(ast.parse(source.read_bytes()))}
    assert {"arro3.io", "ctok.engine", "quicktok", "turbohtml"} <= names, "what is imported late is seen"
    layer.run(ours, IMPORT_ALL, *sorted(names))


def test_the_layer_knows_the_services_that_clients_are_made_of(ours: Path) -> None:
    made = set(json.loads(layer.run(ours, MAKE_CLIENTS)))
    assert made == build.SERVICES - {"xray"}


def test_every_sample_is_read_as_with_all_of_the_packages(ours: Path) -> None:
    samples = REPOSITORY / "samples" / "inbox"
    with_all = digests.digests(samples)
    code = Path(digests.__file__).read_text()
    assert json.loads(layer.run(ours, code, samples)) == with_all
    suffixes = {Path(name).suffix for name in with_all}
    assert {".pdf", ".docx", ".xlsx", ".pptx", ".parquet", ".html", ".eml", ".png", ".json"} <= suffixes


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """A lock of one package that is compiled for each processor."""
    lock = (layer.SOURCE / "requirements.txt").read_text()
    (entry,) = re.findall(r"^markupsafe==(?:.*\n)(?: +--hash.*\n)+", lock, flags=re.MULTILINE)
    file = tmp_path / "lock.txt"
    file.write_text(entry)
    return file


def install(program: str, lock: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Install a lock for arm64 by uv, or by the pip of sam's environment."""
    home = environments.sam(settings.from_environment())
    environments.ensure(home)
    code = (
        "import runpy, pathlib, sys; install = runpy.run_path('build.py')['install']; "
        "install(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 'aarch64', sys.argv[3] or None)"
    )
    uv = str(REPOSITORY / ".venv" / "bin" / "uv") if program == "uv" else ""
    return subprocess.run(
        [home.program("python"), "-c", code, lock, target, uv],
        cwd=layer.SOURCE,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("program", ["uv", "pip"])
def test_wheels_of_the_target_are_held_to_the_locks_hashes(
    tmp_path: Path, little: Path, program: str
) -> None:
    assert install(program, little, tmp_path / "good").returncode == 0
    (library,) = (tmp_path / "good").rglob("*.so")
    assert layer.machine(library) == MACHINES["arm64"]
    little.write_text(re.sub(r"(?<=sha256:)\w{60}", "0" * 60, little.read_text()))
    refused = install(program, little, tmp_path / "bad")
    assert refused.returncode == 1
    assert "hash" in refused.stderr.lower()
    assert "could not be installed" in refused.stderr
    assert not list((tmp_path / "bad").rglob("*.so"))


def test_without_python_and_uv_one_is_told_what_to_install(tmp_path: Path) -> None:
    make = subprocess.run(["sh", "-c", "command -v make"], check=True, capture_output=True, text=True)
    (tmp_path / "make").symlink_to(make.stdout.strip())
    done = layer.make("arm64", tmp_path / "out", {"PATH": str(tmp_path)})
    assert done.returncode == 2
    assert "needs uv, or Python 3.13 with pip: install one of them" in done.stderr


def test_a_package_left_out_must_be_in_the_lock() -> None:
    lock = "one==1 \\\n    --hash=sha256:00\ntwo==2 \\\n    --hash=sha256:11\n"
    assert build.without({"one": ""}, lock) == "two==2 \\\n    --hash=sha256:11\n"
    with pytest.raises(SystemExit, match="LEFT_OUT names three"):
        build.without({"one": "", "three": ""}, lock)


def test_what_is_deleted_must_have_been_installed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="UNNEEDED names bin, which no package brings"):
        build.prune(tmp_path)
