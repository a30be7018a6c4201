"""Notifier: notifications to the service manager, by the protocol of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Self

_LOADING_S = 600  # a large model, or the compilation of one for a GPU, may take so long


class Notifier:
    """Sends the state of the service to systemd; does nothing where there is no systemd.

    Any thread may send.
    """

    def __init__(self, address: str | None = None) -> None:
        """Connect to a datagram socket.

        Args:
            address: a path, or an abstract name after ``@``; None for none.
        """
        self._socket: socket.socket | None = None
        if address is not None and address[:1] in {"/", "@"}:
            name = f"\0{address[1:]}" if address.startswith("@") else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._socket.connect(name)
            except OSError:  # systemd is not there any more, which is no reason not to run
                self.close()

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Connect to the socket that ``NOTIFY_SOCKET`` names, if there is one."""
        return cls(environment.get("NOTIFY_SOCKET"))

    def loading(self, what: str) -> None:
        """Send what is being loaded, and extend the time limit."""
        self._send(f"STATUS=loading {what}", f"EXTEND_TIMEOUT_USEC={_LOADING_S * 1_000_000}")

    def waiting(self, what: str, *, at_most_s: float) -> None:
        """Send what the start waits for, and extend the time limit by as long as it may take."""
        extended = round((at_most_s + _LOADING_S) * 1e6)
        self._send(f"STATUS=waiting for {what}", f"EXTEND_TIMEOUT_USEC={extended}")

    def ready(self, status: str) -> None:
        """Say that the start, or a reload, is done."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, line: str) -> None:
        """Send a status line; dropped if systemd is slow, for another follows soon."""
        self._send(f"STATUS={line}", wait=False)

    def reloading(self) -> None:
        """Say that a reload has begun; :meth:`ready` ends it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}", "STATUS=reloading")

    def stopping(self, why: str) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", f"STATUS=stopping: {why}")

    def alive(self) -> None:
        """Feed the watchdog; see :class:`streamsed.service.watchdog.Watchdog`."""
        self._send("WATCHDOG=1", wait=False)

    def close(self) -> None:
        """Disconnect; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str, wait: bool = True) -> None:
        if self._socket is None:
            return
        message = "\n".join(" ".join(line.splitlines()) for line in assignments)
        with contextlib.suppress(OSError):
            self._socket.send(message.encode(), 0 if wait else socket.MSG_DONTWAIT)
