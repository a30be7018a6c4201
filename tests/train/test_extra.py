"""``streamsed-train`` without what it needs: one line, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.cli import app

COMMANDS = sorted(str(c.name or c.callback.__name__) for c in app.registered_commands if c.callback)

METADATA = """\
Metadata-Version: 2.1
Name: streamsed
Version: 0
Provides-Extra: train
Provides-Extra: eval
Requires-Dist: numpy>=1
Requires-Dist: streamsed[eval]; extra == 'train'
Requires-Dist: no-such-torch==2.*; extra == 'train'
Requires-Dist: no-such-scores (>=1) ; extra == "eval"
Requires-Dist: unneeded-dask; extra == 'cluster'
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the installed package says that it needs what is not there."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "streamsed-0.dist-info").mkdir()
    (folder / "streamsed-0.dist-info/METADATA").write_text(METADATA)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd())])}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_the_extra(command: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "train", command, "x"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "streamsed-train: no-such-torch, no-such-scores: not installed; training needs an extra: "
        "pip install 'streamsed[train]'\n"
    )


def test_help_needs_none(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "train", "fit", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "recipe" in done.stdout.lower()


def test_the_command_starts_without_the_extra_s_packages() -> None:
    heavy = "torch", "lightning", "platformdirs", "scipy", "pandas", "matplotlib", "onnx"
    code = f"import sys, train.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
