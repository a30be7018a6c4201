"""How long a stop takes with many sources that are read as fast as they can be.

Every class of every source is open all the time, so each has an offset to be published at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

import streamsed.bundle

BUNDLE = Path("models/domestic")
RATE = 16_000
RECORDING_S = 3600  # nothing ends by itself
SYSTEMD_S = 20  # TimeoutStopSec of systemd/streamsed.service
START_S = 300.0


def measure(folder: Path, sources: int) -> dict[str, object]:
    """Run a daemon until every source has an open event; stop it; return what is to be shown."""
    bundle = streamsed.bundle.load(BUNDLE)
    recording = folder / "noise.wav"
    noise = np.random.default_rng(0).normal(0.0, 0.1, RATE * RECORDING_S)
    soundfile.write(recording, noise.astype(np.float32), RATE)
    always = {"enter": 0.0, "exit": 0.0, "min_on_s": 0.0}
    config = {
        "bundle": str(bundle.folder.resolve()),
        "provider": "cpu",
        "sources": [
            {"type": "file", "name": f"file-{number}", "path": str(recording), "paced": False}
            for number in range(sources)
        ],
        "publish": {"bind": ["tcp://127.0.0.1:*"]},
        "journal": {"path": str(folder / "state")},
        "detect": {"classes": dict.fromkeys(bundle.manifest.classes, always)},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "streamsed", "run", "-c", str(folder / "config.yaml")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as daemon:
        wanted = sources * len(bundle.manifest.classes)
        deadline = time.monotonic() + START_S
        while opened(folder) < wanted and time.monotonic() < deadline:
            time.sleep(0.5)
        load = os.getloadavg()[0]
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait()
        took_s = time.monotonic() - began
    return {
        "sources": sources,
        "SIGTERM to the end": f"{took_s:.1f} s (systemd gives {SYSTEMD_S} s)",
        "exit code": code,
        "messages by kind and reason": dict(kinds(folder)),
        "load of the machine": f"{load:.1f}",
    }


def opened(folder: Path) -> int:
    """Count onsets in the journal."""
    return sum(count for what, count in kinds(folder).items() if what.startswith("onset"))


def kinds(folder: Path) -> Counter[str]:
    """Count the journal's event messages by kind and reason."""
    path = folder / "state" / "journal.sqlite"
    if not path.exists():
        return Counter()
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as journal:
            bodies = journal.execute("SELECT body FROM messages WHERE topic LIKE 'event/%'")
            messages = [json.loads(body) for (body,) in bodies]
    except sqlite3.OperationalError:  # it is being made
        return Counter()
    return Counter(" ".join(filter(None, (m["kind"], m["reason"]))) for m in messages)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=500)
    sources = parser.parse_args().sources
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), sources)
    table = Table("", "", title=__doc__.splitlines()[0], show_header=False)
    for what, value in found.items():
        table.add_row(what, str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
