"""24 hours of audio at full speed through a whole daemon: memory must not grow, nothing be lost.

Minutes on an idle core, a quarter of an hour on a busy machine. Noise goes through a pipe; every
class reports an event every few seconds, so that the publisher works as hard as detection.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.bench.process import DaemonProcess
from streamsed.bundle.manifest import Manifest
from streamsed.client import EventMessage, Heartbeat, LevelMessage
from streamsed.detect.events import Kind

BUNDLE = Path("models/domestic")
HOURS = 24
SHOWN = (1, 2, 3, 6, 12, 18, 24)
BLOCK_S = 10
EVENT_S = 5.0
GROWTH = 0.05


class Listener:
    """Counts the daemon's messages."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self._last_seq: int | None = None
        self.kinds: Counter[Kind] = Counter()
        self.missing = 0

    def until(self, done: Future[None]) -> None:
        """Listen until something else is done."""
        while not done.done():
            self._listen(0.05)

    def until_silent(self) -> None:
        """Listen until nothing new comes."""
        while self._listen(2.0):
            pass

    def _listen(self, timeout_s: float) -> bool:
        """Take in the next message; return whether it was more than a sign of life."""
        received = self._daemon.receive(timeout_s)
        if received is None or isinstance(message := received[0], Heartbeat | LevelMessage):
            return False
        if self._last_seq is not None:
            self.missing += message.seq - self._last_seq - 1
        self._last_seq = message.seq
        if isinstance(message, EventMessage):
            self.kinds[message.kind] += 1
        return True


def settings(manifest: Manifest) -> dict[str, dict[str, float]]:
    """Make every class report one event after the other, whatever the model thinks of noise."""
    return {label: {"enter": 0.0, "exit": 0.0, "max_on_s": EVENT_S} for label in manifest.classes}


def main() -> None:
    """Feed a daemon hour by hour and look at its memory."""
    bundle = streamsed.bundle.load(BUNDLE)
    rate = bundle.manifest.sample_rate
    noise = (np.random.default_rng(0).standard_normal(BLOCK_S * rate) * 1500.0).astype(np.int16)
    source = {"type": "pipe", "name": "endurance", "rate": rate}
    table = Table("hour", "memory MB", "times real time", "events", "messages missing")
    resident: dict[int, float] = {}

    def feed_an_hour() -> None:
        for _ in range(3600 // BLOCK_S):
            daemon.feed(noise)

    with (
        ThreadPoolExecutor(1) as pool,
        DaemonProcess(bundle.folder, sources=[source], classes=settings(bundle.manifest)) as daemon,
    ):
        listener = Listener(daemon)
        for hour in range(1, HOURS + 1):
            begin = time.perf_counter()
            listener.until(pool.submit(feed_an_hour))
            speed = 3600.0 / (time.perf_counter() - begin)
            resident[hour] = daemon.resident_mb()
            if hour in SHOWN:
                events = str(listener.kinds[Kind.OFFSET])
                table.add_row(
                    str(hour),
                    f"{resident[hour]:.1f}",
                    f"{speed:.0f}",
                    events,
                    str(listener.missing),
                )
        daemon.end_audio()
        listener.until_silent()
    growth = resident[HOURS] / resident[1] - 1.0
    console = Console()
    console.print(table)
    console.print(
        f"from hour 1 to hour {HOURS} memory grew by {growth:+.1%} "
        f"({'within' if growth <= GROWTH else 'BEYOND'} {GROWTH:.0%}); "
        f"{listener.kinds[Kind.ONSET]} onsets, {listener.kinds[Kind.OFFSET]} offsets, "
        f"{listener.missing} messages missing"
    )


if __name__ == "__main__":
    main()
