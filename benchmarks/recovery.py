"""Time from a source's return to its audio; about eight minutes.

A microphone (a null sink of a PulseAudio of its own, through ALSA and PortAudio) and an HTTP
stream are taken away from a daemon again and again, and brought back after an outage of given
length. Recovery is from their return to the message of the state running. Delays
between attempts are those of the default configuration.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from streamsed.bench.process import DaemonProcess
from streamsed.client import StatusMessage
from streamsed.publish.messages import SourceState

BUNDLE = Path("models/domestic")
OUTAGES_S = (2.0, 10.0)
HEALTHY_S = 2.0
"""In place of half a minute: after so much audio the next outage begins with the shortest delay."""

RATE = 16_000
_BLOCK_S = 0.02
_SINK = ("module-null-sink", "sink_name=bench", "rate=48000", "channels=2")
_ALSA = "pcm.!default { type pulse }\nctl.!default { type pulse }\npcm.pulse { type pulse }\n"


class Removable(Protocol):
    """What can be taken away and brought back."""

    def remove(self) -> None:
        """Take it away."""

    def restore(self) -> None:
        """Bring it back; returns when it is there."""


class NullSink:
    """The only sink of a PulseAudio, whose monitor is the default microphone."""

    def remove(self) -> None:
        """Unload it."""
        self._control("unload-module", _SINK[0])

    def restore(self) -> None:
        """Load it."""
        self._control("load-module", *_SINK)

    def _control(self, *arguments: str) -> None:
        subprocess.run(["pactl", *arguments], check=True, stdout=subprocess.DEVNULL)


class HttpStream:
    """Serves noise as WAV without an end, at the speed of time."""

    def __init__(self) -> None:
        self._noise = np.random.default_rng(0).integers(-500, 500, RATE).astype("<i2").tobytes()
        self._port = 0
        self._connections: list[socket.socket] = []
        self.restore()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._port}/"

    def restore(self) -> None:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def remove(self) -> None:
        """Break off what is open, and refuse what comes."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        size = round(_BLOCK_S * RATE) * 2
        form = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
        unknown = b"\xff\xff\xff\xff"
        wav = b"RIFF" + unknown + b"WAVEfmt " + form + b"data" + unknown
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + wav)
            due, sent = time.monotonic(), 0
            while True:
                first = sent % len(self._noise)
                connection.sendall(self._noise[first : first + size])
                sent += size
                due += _BLOCK_S
                time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def sound_server() -> Iterator[None]:
    """Run a PulseAudio to which this process and its children are led."""
    with tempfile.TemporaryDirectory(prefix="pulse-") as folder:
        address = f"{folder}/native"
        (Path(folder) / "asound.conf").write_text(_ALSA, encoding="utf-8")
        os.environ |= {
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "PULSE_RUNTIME_PATH": folder,
            "PULSE_SERVER": f"unix:{address}",
            "ALSA_CONFIG_PATH": f"{folder}/asound.conf",
        }
        server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"),
                *("--disable-shm=yes", "--high-priority=no", "--realtime=no"),
                f"--load=module-native-protocol-unix socket={address} auth-anonymous=1",
                f"--load={' '.join(_SINK)}",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            while subprocess.run(["pactl", "info"], capture_output=True, check=False).returncode:
                time.sleep(0.1)
            yield
        finally:
            server.kill()
            server.wait()


def until_states(
    daemon: DaemonProcess, sources: Sequence[str], wanted: SourceState
) -> dict[str, float]:
    """Wait until each source has published a state; return when (perf_counter)."""
    found: dict[str, float] = {}

    def all_there(message: object) -> bool:
        if isinstance(message, StatusMessage) and message.state is wanted:
            found.setdefault(message.source, time.perf_counter())
        return found.keys() >= set(sources)

    daemon.wait_for(all_there)
    return found


def main() -> None:
    """Measure both kinds of source side by side, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="outages of each length")
    rounds = parser.parse_args().rounds
    noticed: dict[tuple[str, float], list[float]] = defaultdict(list)
    recovered: dict[tuple[str, float], list[float]] = defaultdict(list)
    with sound_server():
        stream = HttpStream()
        kinds: dict[str, Removable] = {"microphone": NullSink(), "url": stream}
        sources = [
            {"type": "microphone", "name": "microphone", "device": "pulse"},
            {"type": "url", "name": "url", "url": stream.url},
        ]
        with DaemonProcess(
            BUNDLE, sources=sources, classes={}, retry={"healthy_s": HEALTHY_S}
        ) as daemon:
            until_states(daemon, list(kinds), SourceState.RUNNING)
            for outage_s in [outage_s for outage_s in OUTAGES_S for _ in range(rounds)]:
                time.sleep(1.5 * HEALTHY_S)
                removed_at = time.perf_counter()
                for kind in kinds.values():
                    kind.remove()
                for name, at in until_states(daemon, list(kinds), SourceState.LOST).items():
                    noticed[name, outage_s].append(at - removed_at)
                time.sleep(max(0.0, removed_at + outage_s - time.perf_counter()))
                restored_at = time.perf_counter()
                for kind in kinds.values():
                    kind.restore()
                for name, at in until_states(daemon, list(kinds), SourceState.RUNNING).items():
                    recovered[name, outage_s].append(at - restored_at)
    table = Table("source", "outage", "rounds", "lost: p50 s", "back: p50 s", "p99", "most")
    for (name, outage_s), times in recovered.items():
        p50, p99, most = np.quantile(times, (0.5, 0.99, 1.0))
        lost_s = float(np.median(noticed[name, outage_s]))
        table.add_row(
            *(name, f"{outage_s:g} s", str(len(times))),
            *(f"{lost_s:.2f}", f"{p50:.2f}", f"{p99:.2f}", f"{most:.2f}"),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
