"""50 subscribers of which 5 stall, and 10,000 events a minute; about two and a half minutes.

Sources of noise are played at the speed of time, and every class of the bundle reports an event
after the other. First all subscribers read; then five of them stop. Each of the others must get
every message, as fast as before.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import zmq
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.bench.process import DaemonProcess
from streamsed.bundle.manifest import Manifest
from streamsed.client import DaemonMessage

BUNDLE = Path("models/domestic")
SUBSCRIBERS = 50
STALLED = 5
EVENTS_A_MINUTE = 10_000
EVENT_S = 0.64
PHASE_S = 60.0
SEND_HIGH_WATER = 2_000  # low, so that the stalled ones reach it within a phase
SETTLING_S = 2.0

_SEQ = re.compile(rb'"seq":(\d+)')


@dataclass(eq=False)
class Subscriber:
    """A plain ZeroMQ subscriber to everything, and what it got."""

    socket: zmq.Socket[bytes]
    last_seq: int | None = None
    received: int = 0
    missing: int = 0
    late_ms: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, address: str, *, high_water: int) -> Subscriber:
        """Connect."""
        socket = zmq.Context.instance().socket(zmq.SUB)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.RCVHWM, high_water)
        socket.subscribe("event/")
        socket.subscribe("status/")
        socket.connect(address)
        return cls(socket)

    def receive(self) -> None:
        """Take in all that has come."""
        while self.socket.poll(0):
            content = self.socket.recv_multipart()[1]
            arrived = time.time()
            seq = int(_SEQ.search(content)[1])  # type: ignore[index]
            if self.last_seq is not None:
                self.missing += seq - self.last_seq - 1
            self.last_seq = seq
            self.received += 1
            self.late_ms.append(1e3 * (arrived - published(content[-27:-2])))

    def forget(self) -> None:
        """Begin to count anew."""
        self.received = self.missing = 0
        self.late_ms.clear()


@lru_cache(maxsize=10_000)  # fifty subscribers get the same messages
def published(text: bytes) -> float:
    """Read the time of publication, which was cut to whole milliseconds."""
    return datetime.fromisoformat(text.decode().strip('"')).timestamp() + 0.0005


def settings(manifest: Manifest) -> dict[str, dict[str, float]]:
    """Make every class report one short event after the other, each at a pace of its own."""
    lengths = np.linspace(0.7, 1.3, len(manifest.classes)) * EVENT_S
    return {
        label: {"enter": 0.0, "exit": 0.0, "min_on_s": 0.0, "max_on_s": float(length)}
        for label, length in zip(manifest.classes, lengths, strict=True)
    }


def listen(subscribers: Sequence[Subscriber], seconds: float) -> None:
    """Let all of these read."""
    poller = zmq.Poller()
    by_socket = {subscriber.socket: subscriber for subscriber in subscribers}
    for socket in by_socket:
        poller.register(socket, zmq.POLLIN)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for socket, _ in poller.poll(100):
            by_socket[socket].receive()


def row(what: str, subscribers: Sequence[Subscriber]) -> tuple[str, ...]:
    """Summarise a phase."""
    late = np.concatenate([subscriber.late_ms for subscriber in subscribers])
    p50, p99, worst = np.quantile(late, (0.5, 0.99, 1.0))
    events = subscribers[0].received / 2 * 60.0 / PHASE_S
    missing = sum(subscriber.missing for subscriber in subscribers)
    return (
        what,
        str(len(subscribers)),
        f"{events:.0f}",
        str(missing),
        f"{p50:.1f}",
        f"{p99:.1f}",
        f"{worst:.0f}",
    )


def main() -> None:
    """Measure a phase in which all read, and one in which some stall."""
    bundle = streamsed.bundle.load(BUNDLE)
    manifest = bundle.manifest
    sources = int(np.ceil(EVENTS_A_MINUTE / 60.0 * EVENT_S / len(manifest.classes))) + 1
    table = Table(
        *("phase", "reading", "events a minute", "messages missing"),
        *("late: p50 ms", "p99", "longest"),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        seconds = 2 * PHASE_S + 60.0
        noise = np.random.default_rng(0).standard_normal(round(seconds * manifest.sample_rate))
        soundfile.write(path, 0.05 * noise, manifest.sample_rate)
        files = [
            {"type": "file", "name": f"s{i}", "path": str(path), "paced": True}
            for i in range(sources)
        ]
        with DaemonProcess(
            bundle.folder,
            sources=files,
            classes=settings(manifest),
            publish={"send_high_water": SEND_HIGH_WATER},
        ) as daemon:
            daemon.wait_for(lambda m: isinstance(m, DaemonMessage))
            stalling = [Subscriber.of(daemon.address, high_water=1) for _ in range(STALLED)]
            reading = [
                Subscriber.of(daemon.address, high_water=100_000)
                for _ in range(SUBSCRIBERS - STALLED)
            ]
            everyone = [*reading, *stalling]
            listen(everyone, SETTLING_S)
            for subscriber in everyone:
                subscriber.forget()
            listen(everyone, PHASE_S)
            table.add_row(*row("all read", everyone))
            for subscriber in reading:
                subscriber.forget()
            before = stalling[0].received
            listen(reading, PHASE_S)
            table.add_row(*row(f"{STALLED} stall", reading))
            memory = daemon.resident_mb()
            lost = []
            for subscriber in stalling:
                subscriber.forget()
                listen([subscriber], SETTLING_S)
                lost.append(subscriber.missing)
    console = Console()
    console.print(table)
    console.print(
        f"{sources} sources; the daemon holds {memory:.0f} MB; the stalled ones lost "
        f"{min(lost)} to {max(lost)} messages each ({before} received before)"
    )


if __name__ == "__main__":
    main()
