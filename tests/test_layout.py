"""The repository's own rules: what may import what, and pins for everything that is installed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import QUICK, SLOW

ROOT = Path(__file__).parent.parent
RUNTIME = sorted((ROOT / "streamsed").rglob("*.py"))
MODULE_NAMES = {
    "pydantic-core": "pydantic_core",
    "pyyaml": "yaml",
    "pyzmq": "zmq",
    "onnxruntime-gpu": "onnxruntime",
    "prometheus-client": "prometheus_client",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "paho-mqtt": "paho",
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def within(names: set[str], *packages: str) -> set[str]:
    return {n for n in names if any(n == p or n.startswith(f"{p}.") for p in packages)}


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> Iterator[Requirement]:
    content = project()
    for line in content["dependencies"]:
        yield Requirement(line)
    for lines in content["optional-dependencies"].values():
        yield from map(Requirement, lines)


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    content = [line for line in lines if line and not line.startswith("#")]
    for line in content:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line), f"not an exact pin: {line}"
    found = {canonicalize_name(name): version for name, version in (c.split("==") for c in content)}
    assert len(found) == len(content), "a package is pinned twice"
    return found


def test_every_requirement_has_an_exact_pin_that_satisfies_it() -> None:
    pinned = pins()
    for requirement in requirements():
        if requirement.name == "streamsed":
            continue
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"constraints.txt lacks {requirement.name}"
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}"


def test_the_runtime_imports_its_dependencies_and_nothing_else() -> None:
    allowed = set(sys.stdlib_module_names) | {"streamsed"}
    for line in project()["dependencies"]:
        name = Requirement(line).name
        allowed.add(MODULE_NAMES.get(name, name))
    extras = ("bundle/making", "evaluate", "replay/cluster", "testing")
    for path in RUNTIME:
        if not any(path.is_relative_to(ROOT / "streamsed" / extra) for extra in extras):
            odd = {name.split(".")[0] for name in imports(path)} - allowed
            assert not odd, f"{path.relative_to(ROOT)} imports {', '.join(sorted(odd))}"


def test_the_runtime_never_imports_torch_or_train() -> None:
    for path in RUNTIME:
        odd = within(imports(path), "torch", "torchaudio", "train")
        assert not odd, f"{path.relative_to(ROOT)} imports {', '.join(sorted(odd))}"


@pytest.mark.parametrize(
    ("package", "unknown"),
    [
        ("bundle", ("sources", "detect", "publish", "service", "cli", "client")),
        ("sources", ("bundle", "detect", "clips", "publish", "service", "cli", "client")),
        ("detect", ("clips", "publish", "service", "cli", "client")),
        ("clips", ("bundle", "publish", "service", "cli", "client")),
        ("publish", ("sources", "sinks", "clips", "service", "cli", "client")),
        ("sinks", ("bundle", "sources", "clips", "config", "service", "cli", "client")),
        ("web", ("bundle", "sources", "sinks", "clips", "config", "service", "cli", "client")),
        ("review", ("sources", "sinks", "clips", "config", "service", "cli", "client")),
        ("service", ("cli", "client")),
    ],
)
def test_imports_go_one_way(package: str, unknown: tuple[str, ...]) -> None:
    for path in sorted((ROOT / "streamsed" / package).rglob("*.py")):
        odd = within(imports(path), *(f"streamsed.{name}" for name in unknown))
        assert not odd, f"{path.relative_to(ROOT)} imports {', '.join(sorted(odd))}"


@pytest.mark.parametrize(
    ("package", "unknown"),
    [
        ("", ("streamsed.cli",)),
        ("models", ("train.engine", "train.stages", "train.recipe", "train.separation")),
        ("losses", ("train.engine", "train.stages", "train.recipe", "train.models")),
        ("data", ("train.stages", "train.commands", "train.separation")),
        ("engine", ("train.commands", "train.separation", "train.experiments")),
        ("stages", ("train.commands", "train.separation", "train.experiments")),
    ],
)
def test_imports_of_training_go_one_way(package: str, unknown: tuple[str, ...]) -> None:
    for path in sorted((ROOT / "train" / package).rglob("*.py")):
        odd = within(imports(path), *unknown)
        assert not odd, f"{path.relative_to(ROOT)} imports {', '.join(sorted(odd))}"


def test_stages_are_known_by_their_registry_alone() -> None:
    """What runs them must not name one; what they share is asked for by name."""
    shared = {"registry", "validation", "recordings", "detection", "beginning"}
    modules = {path.stem for path in (ROOT / "train/stages").glob("*.py")} - shared - {"__init__"}
    for path in (ROOT / "train").rglob("*.py"):
        if path.parent.name != "stages":
            odd = within(imports(path), *(f"train.stages.{name}" for name in modules))
            assert not odd, f"{path.relative_to(ROOT)} imports {', '.join(sorted(odd))}"


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "tools"}
    for package in ("streamsed", "train", "tests", "examples", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.stem not in vague, f"{path.relative_to(ROOT)}: name the idea"


def test_what_is_marked_as_slow_or_quick_is_there() -> None:
    for name in (*SLOW, *QUICK):
        assert (ROOT / "tests" / name).exists(), f"tests/conftest.py names {name}"
    assert all(any(name.startswith(f"{slow}/") for slow in SLOW) for name in QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["streamsed.detect.engine", "train.export"])
def test_onnxruntime_keeps_no_record_and_sends_none(tmp_path: Path, module: str) -> None:
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)
    left = [*temporary.iterdir(), *home.rglob("*onnxruntime*")]
    assert not left, "onnxruntime was imported before ORT_DISABLE_TELEMETRY was set"
