"""A private sound server: what is played into it can be recorded from it, without a sound card.

PulseAudio runs with nothing but a null sink, whose monitor is its default input; PortAudio
reaches it through ALSA's ``pulse`` device. Import the :func:`pulse` fixture into a conftest.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from ctypes.util import find_library
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import IO

import pytest

SINK = "streamsed_test"
_PROGRAMS = {
    "pulseaudio": "pulseaudio",
    "pactl": "pulseaudio-utils",
    "paplay": "pulseaudio-utils",
    "parec": "pulseaudio-utils",
}
_NULL_SINK = ("module-null-sink", f"sink_name={SINK}", "rate=48000", "channels=2")
_ALSA_PLUGIN = "libasound_module_pcm_pulse.so"
_ALSA = """\
pcm.pulse { type pulse }
ctl.pulse { type pulse }
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


def missing() -> list[str]:
    """Name the Debian packages that have to be installed before :func:`pulse` can work."""
    lacking = [package for name, package in _PROGRAMS.items() if shutil.which(name) is None]
    if find_library("portaudio") is None:
        lacking.append("libportaudio2")
    libraries = [Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib")]
    if not any(list(folder.glob(f"**/alsa-lib/{_ALSA_PLUGIN}")) for folder in libraries):
        lacking.append("libasound2-plugins")
    return sorted(set(lacking))


class PulseServer:
    """A PulseAudio that listens in ``folder``; ``env`` leads every client there, ALSA included."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "native"
        self._log = folder / "pulseaudio.log"
        self._asound = folder / "asound.conf"
        self._asound.write_text(_ALSA, encoding="utf-8")
        self.env: Mapping[str, str] = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
            "ALSA_CONFIG_PATH": str(self._asound),
        }
        self._clients: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        """Start the server, again after :meth:`kill`; returns when its input delivers."""
        arguments = [
            *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"),
            *("--disable-shm=yes", "--high-priority=no", "--realtime=no", "--log-target=stderr"),
            f"--load=module-native-protocol-unix socket={self._socket} auth-anonymous=1",
            f"--load={' '.join(_NULL_SINK)}",
        ]
        with self._log.open("wb") as log:
            self._process = self._spawn(*arguments, output=log)
        deadline = monotonic() + 20
        while self._spawn("pactl", "info").wait(timeout=20):
            if self._process.poll() is not None or monotonic() > deadline:
                self.kill()
                pytest.fail(f"PulseAudio does not start: {self._log.read_text(encoding='utf-8')}")
        self._keep_awake()

    def _keep_awake(self) -> None:
        """Record all the time: an idle null sink wakes after two seconds and misjudges its age."""
        recorder = self._spawn(
            *("parec", "--raw", "--latency-msec=20", f"--device={SINK}.monitor"),
            output=subprocess.PIPE,
        )
        self._clients.append(recorder)
        assert recorder.stdout is not None
        # What it records is never read: the server drops what does not fit into the pipe.
        assert select.select([recorder.stdout], [], [], 20)[0], "the null sink delivers nothing"

    def _spawn(
        self, *arguments: str, output: IO[bytes] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        errors = subprocess.DEVNULL if output == subprocess.PIPE else output
        return subprocess.Popen(
            arguments, env={**os.environ, **self.env}, stdout=output, stderr=errors
        )

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Start playing a recording into the null sink; ``wait()`` on what is returned."""
        player = self._spawn("paplay", f"--device={SINK}", str(path))
        self._clients.append(player)
        return player

    def add_device(self, name: str) -> None:
        """Let ALSA have one more device, before all others; for who looks from now on."""
        before = self._asound.read_text(encoding="utf-8")
        self._asound.write_text(f"pcm.{name} {{ type pulse }}\n{before}", encoding="utf-8")

    def suspend(self) -> None:
        """Let the server hang, until :meth:`resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server go on."""
        self._process.send_signal(signal.SIGCONT)

    def unplug(self) -> None:
        """Take the null sink away, from under whoever plays to it or records it."""
        assert self._spawn("pactl", "unload-module", _NULL_SINK[0]).wait(timeout=20) == 0

    def plug_in(self) -> None:
        """Bring the null sink back; returns when it delivers."""
        assert self._spawn("pactl", "load-module", *_NULL_SINK).wait(timeout=20) == 0
        self._keep_awake()

    def kill(self) -> None:
        """End the server at once, as a crash would, and its clients."""
        for process in (self._process, *self._clients):
            process.kill()
            process.wait(timeout=20)
            if process.stdout is not None:
                process.stdout.close()
        self._clients.clear()


@pytest.fixture(scope="module")
def pulse() -> Iterator[PulseServer]:
    """Run a private sound server, to which this process and its children are led.

    One for all tests of a module: a test that kills it starts it again.

    Where it is not installed the test fails in CI (environment variable ``CI``), and is skipped
    elsewhere.
    """
    if lacking := missing():
        reason = f"a private sound server needs: apt install {' '.join(lacking)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Not tmp_path: the path of a Unix socket has at most 107 characters.
    with TemporaryDirectory(prefix="pulse-") as folder, pytest.MonkeyPatch.context() as patch:
        server = PulseServer(Path(folder))
        for name, value in server.env.items():
            patch.setenv(name, value)
        try:
            yield server
        finally:
            server.kill()
