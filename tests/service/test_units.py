"""The unit files: what systemd itself says of them, and where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamsed.config import read_config

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
SAFE_BELOW = 2.0

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def analyze(*arguments: str | Path, runtime: Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={"XDG_RUNTIME_DIR": str(runtime), "HOME": str(runtime), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@needs_systemd_analyze
@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, scope: str) -> None:
    unit = UNITS / ("streamsed.service" if scope == "system" else "user/streamsed.service")
    text = unit.read_text(encoding="utf-8").replace("/opt/streamsed/bin/python", sys.executable)
    here = tmp_path / "streamsed.service"
    here.write_text(text, encoding="utf-8")
    assert analyze("verify", f"--{scope}", here, runtime=tmp_path) == ""


@needs_systemd_analyze
def test_the_system_service_is_well_confined(tmp_path: Path) -> None:
    for more in ("", (UNITS / "cuda.conf").read_text(encoding="utf-8")):
        here = tmp_path / "streamsed.service"
        here.write_text((UNITS / "streamsed.service").read_text(encoding="utf-8") + more)
        output = analyze("security", "--offline=true", "--no-pager", here, runtime=tmp_path)
        level = re.search(r"exposure level for streamsed\.service: ([\d.]+)", output)
        assert level is not None, output
        assert float(level[1]) < SAFE_BELOW, output


def make(target: str, tree: Path, *variables: str) -> str:
    command = ["make", "--silent", target, f"DESTDIR={tree}", *variables]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def test_what_is_installed_and_what_is_kept(tmp_path: Path) -> None:
    make("install-service-files", tmp_path, "SERVICE_VENV=/srv/streamsed")
    config = tmp_path / "etc/streamsed/config.yaml"
    loaded = read_config(config)
    assert loaded.bundle_folder.name == "domestic"
    bundle = tmp_path / "usr/share/streamsed/models/domestic"
    assert (bundle / "manifest.yaml").is_file()
    assert (bundle.with_name("domestic-jss") / "manifest.yaml").is_file()
    for scope in ("system", "user"):
        unit = (tmp_path / "etc/systemd" / scope / "streamsed.service").read_text("utf-8")
        assert "ExecStart=/srv/streamsed/bin/python -P -m streamsed run" in unit
    (bundle / "old.onnx").touch()
    config.write_text("queue_s: 7\n", encoding="utf-8")
    make("install-service-files", tmp_path)
    assert config.read_text("utf-8") == "queue_s: 7\n", "the user's configuration"
    assert not (bundle / "old.onnx").exists(), "left from the bundle that was there before"
    (tmp_path / "opt/streamsed").mkdir(parents=True)
    (tmp_path / "opt/streamsed/pyvenv.cfg").touch()
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin/streamsed").symlink_to("/opt/streamsed/bin/streamsed")
    mine = tmp_path / "opt/mine"
    mine.mkdir()
    make("uninstall-service", tmp_path, "SERVICE_VENV=/opt/mine")
    assert mine.is_dir(), "no virtual environment: not the service's"
    mine.rmdir()
    output = make("uninstall-service", tmp_path)
    assert "/etc/streamsed/config.yaml" in output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [config]
    assert not (tmp_path / "opt/streamsed").exists()
    assert not (tmp_path / "usr/local/bin/streamsed").is_symlink()
    make("uninstall-service", tmp_path)
