"""The page about sinks, metrics and postprocessing, followed as it is written."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import yaml

from streamsed.config import parse_config
from tests.cli.command import execute, process
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


def test_a_sink(tmp_path: Path) -> None:
    address, table = f"ipc://{tmp_path}/s", tmp_path / "events.csv"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"sources: [{{type: file, name: kitchen, paced: false, path: {KITCHEN}}}]\n"
        f"publish: {{bind: ['{address}'], wait_for_subscriber_s: {PATIENCE_S}}}\n"
    )
    script = tmp_path / "sink.py"
    (block,) = (block for block in blocks("python") if "def append_events" in block)
    script.write_text(f"{block}\n\nimport sys\n\nappend_events(*sys.argv[1:])\n")
    for _ in range(2):  # the second time it goes on from its table
        with subprocess.Popen([sys.executable, script, table, address]) as sink:
            with process("run", "-c", config) as daemon:
                assert daemon.wait() == 0, daemon.log.rest()
            expected = offsets()
            until = time.monotonic() + PATIENCE_S
            while len(rows(table)) < len(expected) and time.monotonic() < until:
                time.sleep(0.05)
            sink.kill()
        assert [int(row[0]) for row in rows(table)] == expected
    assert {row[1] for row in rows(table)} == {"kitchen"}


def rows(table: Path) -> list[list[str]]:
    return list(csv.reader(table.read_text().splitlines())) if table.exists() else []


def offsets() -> list[int]:
    """Return the numbers of all offsets in the journal."""
    shown = execute("events", "--json", "--limit", "0").stdout.splitlines()
    assert shown
    return sorted(json.loads(line)["seq"] for line in shown)


def test_a_metric(page: dict[str, Any], tmp_path: Path) -> None:
    assert execute("replay", KITCHEN, "-o", tmp_path / "out").returncode == 0
    page["measure"](tmp_path / "out", KITCHEN.with_suffix(".tsv"), tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]
    assert {"psds1", "event_f1", "time_ratio"} <= metrics.keys()
    assert 0.2 < metrics["time_ratio"]["per_class"]["Speech"] < 2.0
    assert "Detected time / true time" in (tmp_path / "report" / "report.html").read_text()


def test_postprocessing(page: dict[str, Any], samples: np.ndarray[Any, Any]) -> None:
    (text,) = blocks("yaml")
    given = parse_config(yaml.safe_load(text), origin="page").detect.classes["Speech"]
    assert given.replacements()["median_s"] == 0.5
    changes = list(page["decode"](samples, enter=0.5, exit=0.3, keep=0.8))
    speech = [begins for label, begins in changes if label == "Speech"]
    assert speech
    assert speech == [number % 2 == 0 for number in range(len(speech))]
    stricter = list(page["decode"](samples, enter=0.999, exit=0.3, keep=0.99))
    assert len(stricter) < len(changes)
