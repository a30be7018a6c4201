"""A whole daemon on one core: how it fares with ever more sources in real time."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.bench.live import OnsetLatency, split_latency
from streamsed.bench.process import DaemonProcess
from streamsed.bundle import Bundle
from streamsed.client import DaemonMessage, EventMessage
from streamsed.detect.events import Kind

BUNDLE = Path("models/domestic")
SOURCES = (1, 50, 100, 200, 300, 400)
SECONDS = 30.0


def observe(bundle: Bundle, recording: Path, sources: int) -> tuple[list[OnsetLatency], float]:
    """Play a recording through many sources at once; return onsets and the share of the core."""
    first, *others = bundle.manifest.classes
    classes = {first: {"enter": 0.0, "exit": 0.0, "max_on_s": 2.0}}
    classes |= {label: {"enabled": False} for label in others}
    files = [
        {"type": "file", "name": f"s{i}", "path": str(recording), "paced": True}
        for i in range(sources)
    ]
    onsets = []
    core = max(os.sched_getaffinity(0))
    with DaemonProcess(bundle.folder, sources=files, classes=classes, cores={core}) as daemon:
        daemon.wait_for(lambda m: isinstance(m, DaemonMessage))
        begin, used = time.perf_counter(), daemon.processor_s()
        while time.perf_counter() < begin + SECONDS:
            received = daemon.receive(0.5)
            if received is None or not isinstance(message := received[0], EventMessage):
                continue
            arrived = time.time() - time.perf_counter() + received[1]
            if message.kind is Kind.ONSET and message.onset.seconds > SECONDS / 2:
                began = message.onset.utc.timestamp() - message.onset.seconds
                onsets.append(split_latency(bundle, message, began=began, arrived=arrived))
        share = (daemon.processor_s() - used) / (time.perf_counter() - begin)
    return onsets, share


def main() -> None:
    """Measure each number of sources, over the second half of its time."""
    bundle = streamsed.bundle.load(BUNDLE)
    table = Table("sources", "share of the core", "compute p50 ms", "p99", "onsets", title=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "noise.wav"
        rate = bundle.manifest.sample_rate
        noise = 0.05 * np.random.default_rng(0).standard_normal(round(2 * SECONDS * rate))
        soundfile.write(recording, noise, rate)
        for sources in SOURCES:
            onsets, share = observe(bundle, recording, sources)
            compute = np.quantile([o.compute_s for o in onsets], (0.5, 0.99)) if onsets else ()
            milliseconds = [f"{1e3 * value:.0f}" for value in compute] or ["-", "-"]
            table.add_row(str(sources), f"{share:.0%}", *milliseconds, str(len(onsets)))
    Console().print(table)


if __name__ == "__main__":
    main()
