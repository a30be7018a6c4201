"""Sinks beside ZeroMQ at 12,000 events a minute, their broker reading, stalled, and back.

The same sources run without sinks and with two MQTT sinks, of which a real mosquitto takes the
messages; then it is stopped (SIGSTOP) and goes on. A second daemon without sinks at the end shows
how much the machine itself varies. About three minutes.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import zmq
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from benchmarks.subscribers import EVENT_S, Subscriber, listen, settings
from streamsed.bench.process import DaemonProcess
from streamsed.bundle.bundle import Bundle
from streamsed.client import DaemonMessage

BUNDLE = Path("models/domestic")
EVENTS_A_MINUTE = 12_000
SUBSCRIBERS = 5
SINKS = 2
PHASE_S = 30.0
SETTLING_S = 5.0
CAUGHT_UP_S = 120.0


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run mosquitto on a port that is free."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise SystemExit("mosquitto is not installed; apt install mosquitto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings_file = folder / "mosquitto.conf"
    settings_file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="ascii")
    process = subprocess.Popen(
        [program, "-c", str(settings_file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port, process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()


def status(address: str) -> dict[str, Any]:
    """Ask the daemon for its status."""
    with zmq.Context.instance().socket(zmq.REQ) as request:
        request.set(zmq.LINGER, 0)
        request.connect(f"{address}-requests")
        request.send_json({"get": "status"})
        if not request.poll(30_000):
            raise SystemExit("the daemon answers no request")
        found: dict[str, Any] = request.recv_json()
    return found


def waiting(address: str) -> int:
    """Return how many messages wait for sinks."""
    return sum(sink["waiting"] for sink in status(address)["sinks"])


class Load:
    """A daemon with sources of noise, and what is measured of it."""

    def __init__(self, bundle: Bundle, noise: Path, table: Table) -> None:
        self.bundle, self.noise, self.table = bundle, noise, table
        classes = len(bundle.manifest.classes)
        self.sources = int(np.ceil(EVENTS_A_MINUTE / 60.0 * EVENT_S / classes)) + 1

    @contextlib.contextmanager
    def daemon(
        self, sinks: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[DaemonProcess, list[Subscriber]]]:
        """Start it, with subscribers over ZeroMQ."""
        files = [
            {"type": "file", "name": f"s{i}", "path": str(self.noise), "paced": True}
            for i in range(self.sources)
        ]
        with DaemonProcess(
            self.bundle.folder, sources=files, classes=settings(self.bundle.manifest), sinks=sinks
        ) as daemon:
            daemon.wait_for(lambda m: isinstance(m, DaemonMessage))
            made = [Subscriber.of(daemon.address, high_water=100_000) for _ in range(SUBSCRIBERS)]
            listen(made, SETTLING_S)
            yield daemon, made

    def phase(self, what: str, daemon: DaemonProcess, subscribers: Sequence[Subscriber]) -> None:
        """Measure for a while."""
        for subscriber in subscribers:
            subscriber.forget()
        before_s, began = daemon.processor_s(), time.perf_counter()
        listen(subscribers, PHASE_S)
        seconds = time.perf_counter() - began
        late = np.concatenate([subscriber.late_ms for subscriber in subscribers])
        p50, p99 = np.quantile(late, (0.5, 0.99))
        now = status(daemon.address)
        self.table.add_row(
            what,
            f"{subscribers[0].received / 2 * 60.0 / seconds:.0f}",
            str(sum(subscriber.missing for subscriber in subscribers)),
            f"{p50:.1f}",
            f"{p99:.1f}",
            f"{daemon.processor_s() - before_s:.1f}",
            f"{now['real_time_factor']:.3f}",
            str(sum(sink["waiting"] for sink in now["sinks"])),
        )


def main() -> None:
    """Measure each phase."""
    bundle = streamsed.bundle.load(BUNDLE)
    rate = bundle.manifest.sample_rate
    table = Table(
        *("phase", "events a minute", "missing", "late: p50 ms", "p99"),
        *("processor s", "real-time factor", "wait for sinks"),
    )
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as (port, process):
        noise = Path(name) / "noise.wav"
        samples = np.random.default_rng(0).standard_normal(round((3 * PHASE_S + 90.0) * rate))
        soundfile.write(noise, 0.05 * samples, rate)
        load = Load(bundle, noise, table)
        sinks = [
            {"type": "mqtt", "name": f"mqtt{i}", "host": "127.0.0.1", "port": port, "base": f"b{i}"}
            for i in range(SINKS)
        ]
        with load.daemon([]) as (daemon, subscribers):
            load.phase("no sinks", daemon, subscribers)
        with load.daemon(sinks) as (daemon, subscribers):
            load.phase(f"{SINKS} sinks", daemon, subscribers)
            process.send_signal(signal.SIGSTOP)
            load.phase("broker stalled", daemon, subscribers)
            process.send_signal(signal.SIGCONT)
            began, behind = time.perf_counter(), waiting(daemon.address)
            while waiting(daemon.address) > SINKS * 500:
                listen(subscribers, 0.5)
                if time.perf_counter() - began > CAUGHT_UP_S:
                    break
            took_s = time.perf_counter() - began
        with load.daemon([]) as (daemon, subscribers):
            load.phase("no sinks, again", daemon, subscribers)
    console.print(table)
    console.print(f"{behind} messages waited for sinks; {took_s:.1f} s later they had caught up")


if __name__ == "__main__":
    main()
