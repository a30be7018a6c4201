"""A daemon in a process of its own, with a pipe for its audio and a socket for its messages."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zmq
from numpy.typing import NDArray

from streamsed.client import parse
from streamsed.errors import StreamsedError
from streamsed.publish.messages import AnyMessage

_PATIENCE_S = 30.0


class DaemonProcess:
    """``streamsed run`` on the CPU; a context manager that ends it.

    Args:
        bundle: folder of the model bundle.
        sources: ``sources`` of the configuration.
        classes: ``detect.classes`` of the configuration.
        cores: the only ones that the process may use; None for all.
        publish: entries of ``publish`` beyond the address.
        retry: ``retry`` of the configuration.
        sinks: ``sinks`` of the configuration.

    Attributes:
        address: where it publishes.
        started_at: when the process was started, by :func:`time.perf_counter`.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        sources: Sequence[Mapping[str, Any]],
        classes: Mapping[str, Mapping[str, Any]],
        cores: Collection[int] | None = None,
        publish: Mapping[str, Any] | None = None,
        retry: Mapping[str, float] | None = None,
        sinks: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="streamsed-")
        folder = Path(self._folder.name)
        self.address = f"ipc://{folder}/socket"
        config = {
            "bundle": str(bundle.resolve()),
            "provider": "cpu",
            "sources": sources,
            "publish": {
                "bind": [self.address],
                "wait_for_subscriber_s": _PATIENCE_S,
                **(publish or {}),
            },
            "journal": {"path": str(folder)},
            "retry": retry or {},
            "sinks": sinks,
            "detect": {"classes": classes},
        }
        (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        self._log = (folder / "log").open("w+", encoding="utf-8")
        # The shared context, which is never terminated: one of our own, collected as garbage before
        # its socket, would wait for that socket for ever.
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RCVHWM, 0)
        self._socket.set(zmq.RECONNECT_IVL, 5)  # or the start-up time would contain the wait
        self._socket.subscribe("")
        self._socket.connect(self.address)
        self.started_at = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "streamsed", "run", "-c", str(folder / "config.yaml")],
            stdin=subprocess.PIPE,
            stderr=self._log,
        )
        if cores is not None:
            os.sched_setaffinity(self._process.pid, cores)

    def feed(self, samples: NDArray[np.int16]) -> None:
        """Write audio for a pipe source; waits while the daemon has enough.

        Raises:
            StreamsedError: the daemon has gone.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(samples.tobytes())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def end_audio(self) -> None:
        """Close the pipe: the source ends, and then the daemon."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def receive(self, timeout_s: float) -> tuple[AnyMessage, float] | None:
        """Return the next message and when it came (perf_counter); None if none came."""
        if not self._socket.poll(round(timeout_s * 1e3)):
            return None
        payload = self._socket.recv_multipart()[1]
        return parse(payload), time.perf_counter()

    def wait_for(self, wanted: Callable[[AnyMessage], bool]) -> float:
        """Wait for a message; return when it came (perf_counter).

        Raises:
            StreamsedError: the daemon ended, or did not send it in half a minute.
        """
        deadline = time.perf_counter() + _PATIENCE_S
        while time.perf_counter() < deadline:
            received = self.receive(timeout_s=0.2)
            if received is not None and wanted(received[0]):
                return received[1]
            if received is None and self._process.poll() is not None:
                break
        raise self._gone()

    def resident_mb(self) -> float:
        """Return the memory that the process holds now (VmRSS, in 10^6 bytes)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def processor_s(self) -> float:
        """Return the processor time that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        user, system = fields.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _gone(self) -> StreamsedError:
        self._log.seek(0)
        lines = self._log.read().splitlines()
        return StreamsedError(f"the measured daemon failed: {lines[-1] if lines else 'no word'}")

    def close(self) -> None:
        """End the process and wait for it."""
        self._socket.close()
        self._process.terminate()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
