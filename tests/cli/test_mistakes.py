"""What users get wrong: one line on standard error, exit code 2, and nothing else."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tests.cli.command import execute

FREE = "tcp://127.0.0.1:*"


def error_line(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run a command that must fail for a mistake of its user; return its one line."""
    done = execute(*arguments, cwd=cwd)
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("streamsed: ")
    return line.removeprefix("streamsed: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bundel: x", "bundel: unknown key; did you mean 'bundle'?"),
        ("bundle: a\nbundle: b", ":2: is no YAML: key 'bundle' is given twice"),
        ("sources: [", "is no YAML"),
        ("detect: {classes: {lwo: {enter: 0.5}}}", "detect.classes.lwo: no class of bundle"),
        ("detect: {classes: {low: {exit: 0.9}}}", "detect.classes.low: exit 0.9 is above enter"),
        ("publish: {bind: ['tcp://0.0.0.0:5577']}", "reachable from other machines"),
    ],
)
def test_configuration(bundle: Path, wav: Path, tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    line = error_line("run", "-c", path, "--bundle", bundle, "--source", wav)
    assert line.startswith(str(path)) or expected in {"reachable from other machines"}
    assert expected in line


def test_a_missing_configuration(tmp_path: Path) -> None:
    assert error_line("run", "-c", tmp_path / "none.yaml").endswith("No such file or directory")


@pytest.mark.parametrize("command", ["run", "check"])
def test_bundle(bundle: Path, wav: Path, tmp_path: Path, command: str) -> None:
    assert "no such bundle" in error_line(command, "--bundle", tmp_path / "x", "--source", wav)
    broken = shutil.copytree(bundle, tmp_path / "broken")
    graph = next(broken.glob("*.onnx"))
    graph.write_bytes(graph.read_bytes()[:-1])
    line = error_line(command, "--bundle", broken, "--source", wav)
    assert str(graph) in line
    assert "corrupt" in line


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("gone.wav", "gone.wav: no such file"),
        ("pipe:s24@16000", "--source 'pipe:s24@16000'"),
        ("cam=rtps://me:secret@cam/1", "'rtps://***@cam/1' is no address of a stream"),
        ("cam=http://me:secret@127.0.0.1:9/1", "'http://***@127.0.0.1:9/1': Connection refused"),
        ("daemon=gone.wav", "no source may be named 'daemon'"),
        ("bad name=gone.wav", "--source 'bad name=gone.wav'"),
    ],
)
def test_source(bundle: Path, tmp_path: Path, source: str, expected: str) -> None:
    line = error_line("run", "--bundle", bundle, "--source", source, "--bind", FREE, cwd=tmp_path)
    assert expected in line
    assert "secret" not in line


@pytest.mark.parametrize("command", ["run", "check"])
def test_address_in_use(bundle: Path, wav: Path, command: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        done = execute(command, "--bundle", bundle, "--source", wav, "--bind", address)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"streamsed: cannot bind {address}: address already in use; ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu"], "'rnu'"),
        (["run", "--sorce", "mic"], "--sorce"),
        (["run", "--provider", "tpu"], "Invalid value for '--provider': 'tpu' is not one of"),
        (["run", "--bind", "5577"], "'5577' is no address"),
        (["run", "--wait-for-subscriber", "soon"], "'--wait-for-subscriber'"),
        (["listen", "--connect", "nonsense"], "cannot connect to 'nonsense'"),
    ],
)
def test_usage(arguments: list[str], expected: str, tmp_path: Path) -> None:
    assert expected in error_line(*arguments, cwd=tmp_path)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = execute("--debug", "run", "-c", tmp_path / "none.yaml")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "ConfigError" in done.stderr
