"""The page about sources, sinks, metrics and postprocessing, followed as it is written."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import yaml

from streamsed.config import parse
from streamsed.sources import Block, EndOfSource, Source
from tests.cli.command import environment, execute, process
from tests.sockets import PATIENCE_S

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending-daemon.md"
KITCHEN = ROOT / "examples" / "kitchen.ogg"
RATE = 16_000

pytestmark = pytest.mark.slow


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the blocks define."""
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile("\n\n".join(blocks("python")), str(PAGE), "exec"), names)  # noqa: S102
    return names


@pytest.fixture(scope="module")
def samples() -> np.ndarray[Any, np.dtype[np.float32]]:
    """The first seconds of the example, in which somebody speaks."""
    audio, rate = soundfile.read(KITCHEN, frames=40 * 44_100, dtype="float32")
    return np.asarray(soxr.resample(audio, rate, RATE), np.float32)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until_end(source: Source) -> Iterator[Block]:
    with contextlib.suppress(EndOfSource):
        while (block := source.read(PATIENCE_S)) is not None:
            yield block


def test_a_source(page: dict[str, Any]) -> None:
    source = page["Datagrams"]("door", port=free_port())
    source.open(RATE)
    sent = np.arange(-4000, 4000, dtype="<i2")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for part in np.split(sent, 8):
            sender.sendto(part.tobytes(), ("127.0.0.1", source._port))
        sender.sendto(b"", ("127.0.0.1", source._port))
    received, position = [], 0
    for block in until_end(source):
        assert block.first_sample == position
        position = block.end_sample
        received.append(block.samples)
    source.close()
    np.testing.assert_array_equal(np.concatenate(received), sent.astype(np.float32) / 32_768)


def test_a_source_is_registered(tmp_path: Path) -> None:
    """In a copy of the package, with the page's difference: it has keys, opens, and is checked."""
    shutil.copytree(ROOT / "streamsed", tmp_path / "streamsed")
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "streamsed/sources/datagrams.py").write_text(blocks("python")[0])
    (difference,) = blocks("diff")
    command = ["git", "apply", "-C1", "-"]
    subprocess.run(command, input=difference, cwd=tmp_path, text=True, check=True)
    for port, expected in ((free_port(), 0), (0, 2)):
        config = tmp_path / "config.yaml"
        config.write_text(
            f"bundle: {ROOT / 'models' / 'domestic'}\n"
            f"sources: [{{type: datagrams, name: door, port: {port}}}]\n"
            f"publish: {{bind: ['ipc://{tmp_path}/s']}}\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "streamsed", "check", "-c", config],
            cwd=tmp_path,
            env=environment() | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == expected, done.stderr
        assert ("door" in done.stdout) is (expected == 0)
    assert "port" in done.stderr


def test_a_sink(page: dict[str, Any], tmp_path: Path) -> None:
    address, table = f"ipc://{tmp_path}/s", tmp_path / "events.csv"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"sources: [{{type: file, name: kitchen, paced: false, path: {KITCHEN}}}]\n"
        f"publish: {{bind: ['{address}'], wait_for_subscriber_s: {PATIENCE_S}}}\n"
    )
    counts = []
    for _ in range(2):  # the second time it goes on from its table
        sink = threading.Thread(target=page["append_events"], args=(table, address))
        sink.start()
        with process("run", "-c", config) as daemon:
            assert daemon.wait() == 0, daemon.log.rest()
        sink.join(PATIENCE_S)
        assert not sink.is_alive()
        rows = list(csv.reader(table.read_text().splitlines()))
        numbers = [int(row[0]) for row in rows]
        assert numbers == sorted(set(numbers))
        counts.append(len(rows))
    assert counts[1] == 2 * counts[0] > 0
    assert {row[1] for row in rows} == {"kitchen"}


def test_a_metric(page: dict[str, Any], tmp_path: Path) -> None:
    assert execute("replay", KITCHEN, "-o", tmp_path / "out").returncode == 0
    page["measure"](tmp_path / "out", KITCHEN.with_suffix(".tsv"), tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]
    assert {"psds1", "event_f1", "time_ratio"} <= metrics.keys()
    assert 0.2 < metrics["time_ratio"]["per_class"]["Speech"] < 2.0
    assert "Detected time / true time" in (tmp_path / "report" / "report.html").read_text()


def test_postprocessing(page: dict[str, Any], samples: np.ndarray[Any, Any]) -> None:
    (text,) = blocks("yaml")
    given = parse(yaml.safe_load(text), origin="page").detect.classes["Speech"]
    assert given.replacements()["median_s"] == 0.5
    changes = list(page["decode"](samples, enter=0.5, exit=0.3, keep=0.8))
    speech = [begins for label, begins in changes if label == "Speech"]
    assert speech
    assert speech == [number % 2 == 0 for number in range(len(speech))]
    stricter = list(page["decode"](samples, enter=0.999, exit=0.3, keep=0.99))
    assert len(stricter) < len(changes)
