"""200 random kills: nothing that a subscriber saw is lost, and every onset gets its offset.

About ten minutes. A daemon that reports many events a second is killed at random moments, from
while it starts to in the midst of work, and started again on the same journal. One subscriber
listens to all of it and catches up by itself. Two of three kills come at a random time; the third
comes on a message, when the daemon is certainly writing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import streamsed.bundle
from streamsed.bundle.manifest import Manifest
from streamsed.client import EventMessage, Gap, Heartbeat, LevelMessage, Subscriber
from streamsed.detect.events import Kind, Reason
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.endpoints import requests_address
from streamsed.publish.journal_reader import JournalReader

BUNDLE = Path("models/domestic")
KILLS = 200
LONGEST_S = 3.0
EVENT_S = 0.5
RATE = 16_000
PATIENCE_S = 60.0


@dataclass
class Seen:
    """What the subscriber saw, by number."""

    numbers: list[int] = field(default_factory=list)
    payloads: dict[int, bytes] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


class Listener(threading.Thread):
    """A subscriber to everything that is numbered, from before the first message on."""

    def __init__(self, address: str) -> None:
        super().__init__(name="listener", daemon=True)
        self._address = address
        self.seen = Seen()
        self.received_one = threading.Event()  # a message came; cleared before the next is awaited
        self.over = threading.Event()

    def run(self) -> None:
        """Receive until it is stopped."""
        with Subscriber(self._address, topics=["event/", "status/"], since=0) as subscriber:
            while not self.over.is_set():
                received = subscriber.receive(0.1)
                if isinstance(received, Gap):
                    self.seen.gaps.append(received)
                elif received is not None and not isinstance(received, Heartbeat | LevelMessage):
                    self.seen.numbers.append(received.seq)
                    self.seen.payloads[received.seq] = received.frames()[1]
                    self.received_one.set()


def settings(manifest: Manifest) -> dict[str, dict[str, float]]:
    """Make every class report one short event after the other, each at a pace of its own."""
    lengths = np.linspace(0.7, 1.3, len(manifest.classes)) * EVENT_S
    return {
        label: {"enter": 0.0, "exit": 0.0, "min_on_s": 0.0, "max_on_s": float(length)}
        for label, length in zip(manifest.classes, lengths, strict=True)
    }


def start(config: Path) -> subprocess.Popen[bytes]:
    """Start a daemon, and feed it noise at several times the speed of time."""
    daemon = subprocess.Popen(
        [sys.executable, "-m", "streamsed", "run", "-c", str(config)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert daemon.stdin is not None
    pipe = daemon.stdin.fileno()
    noise = np.random.default_rng(0).normal(0.0, 1000.0, RATE).astype("<i2").tobytes()

    def feed() -> None:
        try:
            while True:
                for first in range(0, len(noise), len(noise) // 10):
                    os.write(pipe, noise[first : first + len(noise) // 10])
                    time.sleep(0.02)
        except OSError:  # it was killed, or its pipe was closed after that
            pass

    threading.Thread(target=feed, daemon=True).start()
    return daemon


def kill_often(config: Path, listener: Listener) -> None:
    """Start, and kill at a random moment; at last let one run, and stop it in good order."""
    chance = random.Random(0)  # noqa: S311 - nothing secret
    for number in track(range(KILLS), "killing", console=Console(stderr=True), transient=True):
        daemon = start(config)
        if number % 3:
            time.sleep(chance.uniform(0.0, LONGEST_S))
        else:
            listener.received_one.clear()
            listener.received_one.wait(PATIENCE_S)
            time.sleep(chance.uniform(0.0, 0.01))
        daemon.kill()
        daemon.wait()
    daemon = start(config)
    listener.received_one.clear()
    assert listener.received_one.wait(PATIENCE_S)
    time.sleep(LONGEST_S)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait(PATIENCE_S)


def journaled(folder: Path) -> dict[int, str]:
    """Return all that the journal holds, by number."""
    reader = JournalReader(folder / JOURNAL_NAME)
    found = {seq: body for seq, _, body in reader.after(0, rows=10_000_000).rows}
    reader.close()
    return found


def unpaired(held: dict[int, str]) -> tuple[int, Counter[Reason | None]]:
    """Count the events that have not one onset and one offset, and why events ended."""
    kinds: dict[UUID, list[Kind]] = {}
    reasons: Counter[Reason | None] = Counter()
    for body in held.values():
        if json.loads(body)["schema"] == "streamsed.event/1":
            event = EventMessage.model_validate_json(body)
            kinds.setdefault(event.event_id, []).append(event.kind)
            if event.kind is Kind.OFFSET:
                reasons[event.reason] += 1
    return sum(of != [Kind.ONSET, Kind.OFFSET] for of in kinds.values()), reasons


def main() -> None:
    """Kill, and count what is missing."""
    bundle = streamsed.bundle.load(BUNDLE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {
            "bundle": str(bundle.folder.resolve()),
            "provider": "cpu",
            "sources": [{"type": "pipe", "name": "pipe", "rate": RATE, "live": True}],
            "publish": {"bind": [address], "requests": [requests_address(address)]},
            "journal": {"path": name},
            "detect": {"classes": settings(bundle.manifest)},
        }
        (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        listener = Listener(address)
        listener.start()
        kill_often(folder / "config.yaml", listener)
        listener.over.set()
        listener.join()
        held = journaled(folder)
    seen = listener.seen
    wrong, reasons = unpaired(held)
    differing = sum(held.get(seq) != body.decode() for seq, body in seen.payloads.items())
    table = Table("", "", title=__doc__.splitlines()[0], show_header=False)
    rows = {
        "kills": KILLS,
        "messages in the journal": len(held),
        "numbers that are not one more than the one before": sum(
            seq != place for place, seq in enumerate(held, min(held))
        ),
        "messages that the subscriber had": len(seen.numbers),
        "twice, or out of order": sum(
            after <= before for before, after in zip(seen.numbers, seen.numbers[1:], strict=False)
        ),
        "not in the journal, or different there": differing,
        "in the journal and never had": len(held.keys() - seen.payloads.keys()),
        "gaps": ", ".join(str(gap.reason) for gap in seen.gaps) or 0,
        "events without exactly one onset and one offset": wrong,
        "events that a kill ended": reasons[Reason.INTERRUPTED],
    }
    for what, count in rows.items():
        table.add_row(what, str(count))
    Console().print(table)


if __name__ == "__main__":
    main()
