"""Everything at once: kills, damaged files, floods, stalls, cut connections and a full disk.

Five minutes, or `--minutes`; `--minutes 60` is the measure. One daemon reports many events a
second. At random moments it is killed, its files are damaged while it is dead, its disk is full
for a while; clients flood it with subscriptions, requests and idle connections all the time. Two
subscribers of `streamsed.client` receive what it publishes, one of them through proxies that stall
and cut; a plain one receives heartbeats. At the end everything that was received is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import zmq
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.client import EventMessage, Gap, Heartbeat, LevelMessage, Subscriber
from streamsed.detect.events import Kind
from streamsed.testing.proxy import Proxy

BUNDLE = Path("models/domestic")
RATE = 16_000
EVENT_S = 0.5
BETWEEN_S = (2.0, 12.0)  # between disturbances of the daemon
FULL_S = 4.0  # for which its disk is full
DISK_BYTES = 256 * 2**20  # of it, journal included
FLOOD_S = 4.0  # of one kind
START_S = 60.0
SETTLE_S = 30.0  # at the end, to catch up
MEGABYTE = 2**20


@dataclass
class Received:
    """What one subscriber of `streamsed.client` was given."""

    numbers: list[int] = field(default_factory=list)
    payloads: dict[int, int] = field(default_factory=dict)  # hashes, by number
    differing: int = 0
    gaps: list[Gap] = field(default_factory=list)


@dataclass
class Found:
    """What was seen of the daemon."""

    events: dict[UUID, Counter[Kind]] = field(default_factory=dict)
    last_seq: int = 0  # compared up to here: no daemon may be left to request later ones from
    disturbances: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)  # of them, each with its time
    silence_s: float = 0.0
    resident: int = 0
    stop_s: float = 0.0

    def note(self, what: str, details: str = "") -> None:
        """Record what was done to the daemon."""
        self.disturbances[what] += 1
        self.history.append(f"{datetime.now():%H:%M:%S.%f} {what} {details}".rstrip())


class Listener(threading.Thread):
    """A subscriber to everything that is numbered, from before the first message on."""

    def __init__(self, address: str, requests: str, events: dict[UUID, Counter[Kind]]) -> None:
        super().__init__(daemon=True)
        self._addresses = address, requests
        self._events = events
        self.received = Received()
        self.over = threading.Event()

    def run(self) -> None:
        """Receive until it is over."""
        address, requests = self._addresses
        mine: dict[UUID, Counter[Kind]] = self._events
        with Subscriber(
            address, topics=["event/", "status/"], since=0, requests=requests
        ) as subscriber:
            while not self.over.is_set():
                message = subscriber.receive(0.2)
                if isinstance(message, Gap):
                    self.received.gaps.append(message)
                elif message is not None and not isinstance(message, Heartbeat | LevelMessage):
                    self._note(message.seq, hash(message.frames()[1]))
                    if isinstance(message, EventMessage):
                        mine.setdefault(message.event_id, Counter())[message.kind] += 1

    def _note(self, seq: int, payload: int) -> None:
        self.received.numbers.append(seq)
        self.received.differing += self.received.payloads.setdefault(seq, payload) != payload


class Pulse(threading.Thread):
    """A plain subscriber to heartbeats: the longest time between two of one run."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.longest_s = 0.0
        self.came = threading.Event()
        self.over = threading.Event()

    def run(self) -> None:
        """Receive until it is over."""
        last, uptime_s = time.monotonic(), float("inf")
        with zmq.Context.instance().socket(zmq.SUB) as heartbeats:
            heartbeats.set(zmq.LINGER, 0)
            heartbeats.set(zmq.RECONNECT_IVL_MAX, 500)
            heartbeats.subscribe("heartbeat/")
            heartbeats.connect(self._address)
            while not self.over.is_set():
                if not heartbeats.poll(200):
                    continue
                content = json.loads(heartbeats.recv_multipart()[1])
                now = time.monotonic()
                if content["uptime_s"] > uptime_s:
                    self.longest_s = max(self.longest_s, now - last)
                last, uptime_s = now, content["uptime_s"]
                self.came.set()


class Daemon:
    """The daemon that is attacked, and noise for it."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config = config
        self._log = log
        self.resident = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamsed", "run", "-c", str(self._config)],
                stdin=subprocess.PIPE,
                stderr=log,
            )
        assert process.stdin is not None
        threading.Thread(target=_feed, args=(process.stdin.fileno(),), daemon=True).start()
        return process

    def restart(self) -> None:
        """Start it again after its end."""
        self.process = self._start()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def look(self) -> None:
        """Note how much memory it has."""
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            self.resident = max(self.resident, pages * resource.getpagesize())

    @contextlib.contextmanager
    def no_growth(self) -> Iterator[None]:
        """Let no file of its grow: what a full disk does, with another error."""
        before = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (4096, before[1]))
        yield
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, before)


class Disk:
    """A small file system for the state folder alone, which can be filled; root may mount one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "disk"
        self.folder.mkdir()
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.folder], check=True)

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", self.folder], check=True)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave not a block of it free."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (MEGABYTE, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
        filler.unlink()


def _feed(pipe: int) -> None:
    noise = np.random.default_rng(0).normal(0.0, 1000.0, RATE).astype("<i2").tobytes()
    tenth = len(noise) // 10
    with contextlib.suppress(OSError):  # it was killed
        while True:
            for first in range(0, len(noise), tenth):
                os.write(pipe, noise[first : first + tenth])
                time.sleep(0.05)


def damage(folder: Path, chance: random.Random) -> str:
    """Flip a bit of a file of the state folder, cut it short, or remove it; return which."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.stat().st_size)
    if not files:
        return "nothing"
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    how = chance.choice(["bit", "bit", "cut", "remove"])
    match how:
        case "bit":
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
        case "cut":
            path.write_bytes(content[: chance.randrange(len(content))])
        case "remove":
            path.unlink()
    return f"{path.name}: {how}"


def flood(address: str, requests: str, seed: int) -> None:
    """Flood without an end, with one kind after the other; in a process of its own."""
    os.nice(10)
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    kinds = (_subscribe, _subscribe_and_back, _request, _idle)
    while True:
        until = time.monotonic() + FLOOD_S
        chance.choice(kinds)(address, requests, lambda until=until: time.monotonic() < until)
        time.sleep(chance.uniform(0.0, FLOOD_S))


def _send(kind: int, address: str, make: Callable[[], bytes], goes_on: Callable[[], bool]) -> None:
    with zmq.Context() as context, context.socket(kind) as hostile:
        hostile.set(zmq.LINGER, 0)
        hostile.connect(address)
        while goes_on():
            if hostile.poll(50, zmq.POLLOUT):
                with contextlib.suppress(zmq.Again):
                    for _ in range(100):
                        hostile.send(make(), zmq.DONTWAIT)
            time.sleep(0.001)


def _subscribe(address: str, requests: str, goes_on: Callable[[], bool]) -> None:  # noqa: ARG001
    _send(zmq.XSUB, address, lambda: b"\1" + os.urandom(200), goes_on)


def _subscribe_and_back(address: str, requests: str, goes_on: Callable[[], bool]) -> None:  # noqa: ARG001
    turns = iter(range(2**62))
    _send(zmq.XSUB, address, lambda: bytes([next(turns) % 2]) + b"event/", goes_on)


def _request(address: str, requests: str, goes_on: Callable[[], bool]) -> None:  # noqa: ARG001
    _send(zmq.DEALER, requests, lambda: b'{"get": "since", "seq": 0}', goes_on)


def _idle(address: str, requests: str, goes_on: Callable[[], bool]) -> None:
    with contextlib.ExitStack() as made:
        while goes_on():
            for each in (address, requests):
                host, port = each.removeprefix("tcp://").split(":")
                with contextlib.suppress(OSError):
                    connection = socket.create_connection((host, int(port)), timeout=0.2)
                    made.enter_context(connection).send(b"\xff" + bytes(8) + b"\x7f")
            time.sleep(0.01)


def disturb_way(proxies: list[Proxy], over: threading.Event) -> None:
    """Stall and cut what one subscriber is connected through."""
    chance = random.Random(1)  # noqa: S311 - nothing secret
    while not over.wait(chance.uniform(0.5, 5.0)):
        proxy = chance.choice(proxies)
        if chance.random() < 0.5:
            proxy.cut()
        else:
            proxy.stall()
            over.wait(chance.uniform(0.5, 12.0))
            proxy.flow()
    for proxy in proxies:
        proxy.flow()


def disturb_daemon(
    daemon: Daemon, state: Path, disk: Disk | None, pulse: Pulse, found: Found, until: float
) -> None:
    """Kill it, damage what it left, fill its disk; each time wait until it is back."""
    chance = random.Random(0)  # noqa: S311 - nothing secret
    while time.monotonic() < until:
        wake_at = time.monotonic() + chance.uniform(*BETWEEN_S)
        while time.monotonic() < wake_at:
            daemon.look()
            time.sleep(0.2)
        what = chance.choice(["kill", "kill", "kill and damage", "full disk"])
        if daemon.process.poll() is not None:
            found.note("ended by itself", str(daemon.process.returncode))
        if what == "full disk" and daemon.process.poll() is None:
            with disk.full() if disk is not None else daemon.no_growth():
                time.sleep(FULL_S)
            found.note(what)
            continue
        daemon.kill()
        found.note(what, damage(state, chance) if what == "kill and damage" else "")
        pulse.came.clear()
        daemon.restart()
        if not pulse.came.wait(START_S):
            found.note("did not come back")


def settings(classes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Make every class report one short event after the other, each at a pace of its own."""
    lengths = np.linspace(0.7, 1.3, len(classes)) * EVENT_S
    return {
        label: {"enter": 0.0, "exit": 0.0, "min_on_s": 0.0, "max_on_s": float(length)}
        for label, length in zip(classes, lengths, strict=True)
    }


def free_ports(count: int) -> list[int]:
    """Return ports that are free."""
    with contextlib.ExitStack() as made:
        sockets = [made.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def attack(folder: Path, minutes: float) -> tuple[Found, list[Received]]:
    """Run it all."""
    bundle = streamsed.bundle.load(BUNDLE)
    address, requests = (f"tcp://127.0.0.1:{port}" for port in free_ports(2))
    disk = Disk(folder) if os.geteuid() == 0 and shutil.which("mkfs.ext4") else None
    state = (folder if disk is None else disk.folder) / "state"
    config = {
        "bundle": str(bundle.folder.resolve()),
        "provider": "cpu",
        "sources": [{"type": "pipe", "name": "pipe", "rate": RATE, "live": True}],
        "publish": {"bind": [address], "requests": [requests]},
        "journal": {"path": str(state), "max_mb": DISK_BYTES // MEGABYTE // 4},
        "detect": {"classes": settings(bundle.manifest.classes)},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    found, over = Found(), threading.Event()
    spawn = multiprocessing.get_context("spawn")
    floods = [spawn.Process(target=flood, args=(address, requests, n), daemon=True) for n in (0, 1)]
    with Proxy(address) as messages, Proxy(requests) as answers:
        listeners = [
            Listener(address, requests, found.events),
            Listener(messages.address, answers.address, {}),
        ]
        pulse = Pulse(address)
        for thread in (*listeners, pulse):
            thread.start()
        daemon = Daemon(folder / "config.yaml", folder / "log")
        assert pulse.came.wait(START_S), (folder / "log").read_text()
        for process in floods:
            process.start()
        way = threading.Thread(target=disturb_way, args=([messages, answers], over))
        way.start()
        disturb_daemon(daemon, state, disk, pulse, found, time.monotonic() + 60.0 * minutes)
        over.set()
        way.join()
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)  # the floods go on
        daemon.process.wait(120.0)
        found.stop_s = time.monotonic() - began
        found.last_seq = max(max(each.received.numbers, default=0) for each in listeners)
        ended = set(found.events)
        for process in floods:
            process.kill()
        pulse.came.clear()
        daemon.restart()  # to answer what is still missing
        assert pulse.came.wait(START_S), (folder / "log").read_text()
        settle(listeners)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(120.0)
        settle(listeners)
        for thread in (*listeners, pulse):
            thread.over.set()
            thread.join()
    if disk is not None:
        disk.close()
    found.events = {each: kinds for each, kinds in found.events.items() if each in ended}
    found.silence_s, found.resident = pulse.longest_s, daemon.resident
    return found, [listener.received for listener in listeners]


def settle(listeners: list[Listener]) -> None:
    """Wait until all have the same last number for a while."""
    deadline = time.monotonic() + SETTLE_S
    same_since = time.monotonic()
    before: list[int] = []
    while time.monotonic() < deadline and time.monotonic() - same_since < 3.0:
        now = [len(listener.received.numbers) for listener in listeners]
        if now != before:
            same_since, before = time.monotonic(), now
        time.sleep(0.1)


def unannounced(received: Received, numbers: set[int]) -> int:
    """Count numbers that others received and this one neither received nor got a gap for."""
    missing = sorted(numbers - received.payloads.keys())
    spans = [(gap.after + 1, gap.before - 1) for gap in received.gaps]
    return sum(not any(first <= seq <= last for first, last in spans) for seq in missing)


def keep(folder: Path, log: Path, found: Found, all_received: list[Received]) -> None:
    """Keep what shows why something was lost."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(log, folder / "daemon.log")
    (folder / "disturbances.txt").write_text("\n".join(found.history) + "\n", encoding="utf-8")
    odd = [f"{each}: {dict(kinds)}" for each, kinds in found.events.items() if not _is_even(kinds)]
    gaps = [f"{n}: {gap}" for n, each in enumerate(all_received) for gap in each.gaps]
    (folder / "losses.txt").write_text("\n".join([*odd, *gaps]) + "\n", encoding="utf-8")


def _is_even(kinds: Counter[Kind]) -> bool:
    return kinds[Kind.ONSET] == kinds[Kind.OFFSET] == 1


def main() -> None:
    """Attack, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--log", type=Path, help="folder for the daemon's log and what was done")
    arguments = parser.parse_args()
    minutes = arguments.minutes
    with tempfile.TemporaryDirectory() as name:
        found, all_received = attack(Path(name), minutes)
        if arguments.log is not None:
            keep(arguments.log, Path(name) / "log", found, all_received)
    every_number = set().union(*(received.payloads for received in all_received))
    numbers = {seq for seq in every_number if seq <= found.last_seq}
    both = all_received[0].payloads.keys() & all_received[1].payloads.keys()
    kinds = [(events[Kind.ONSET], events[Kind.OFFSET]) for events in found.events.values()]
    table = Table("", "", title=__doc__.splitlines()[0], show_header=False)
    disturbances = ", ".join(f"{count} x {what}" for what, count in found.disturbances.items())
    rows: dict[str, object] = {
        "minutes": minutes,
        "disturbances of the daemon": disturbances,
        "messages": len(numbers),
        "numbers used twice": sum(received.differing for received in all_received)
        + sum(all_received[0].payloads[seq] != all_received[1].payloads[seq] for seq in both),
        "received twice or out of order": sum(
            after <= before
            for received in all_received
            for before, after in zip(received.numbers, received.numbers[1:], strict=False)
        ),
        "missing and not announced": sum(unannounced(each, numbers) for each in all_received),
        "missing and announced as a gap": sum(
            len(numbers - each.payloads.keys()) for each in all_received
        )
        - sum(unannounced(each, numbers) for each in all_received),
        "gaps": Counter(str(gap.reason) for each in all_received for gap in each.gaps) or 0,
        "events": len(kinds),
        "onsets without offset": sum(onsets > 0 and offsets == 0 for onsets, offsets in kinds),
        "offsets doubled": sum(max(0, offsets - 1) for _, offsets in kinds),
        "longest time between heartbeats of one run": f"{found.silence_s:.1f} s",
        "largest resident memory": f"{found.resident / MEGABYTE:.0f} MB",
        "SIGTERM during a flood to the end": f"{found.stop_s:.1f} s",
    }
    for what, count in rows.items():
        table.add_row(what, str(count))
    Console().print(table)


if __name__ == "__main__":
    main()
