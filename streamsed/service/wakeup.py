"""Wakeup: how the daemon's main thread sleeps, so that threads and signal handlers can wake it."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable


class Wakeup:
    """One thread sleeps, any may wake it, a signal handler too: no lock is taken."""

    def __init__(self) -> None:
        self._in, self._out = socket.socketpair()
        self._in.setblocking(False)

    def wake(self) -> None:
        """Let the sleeper check again what it waits for."""
        # Full: a wake-up is waiting already. Closed: no thread sleeps any more.
        with contextlib.suppress(OSError):
            self._in.send(b"\0")

    def sleep_until(
        self,
        ready: Callable[[], bool],
        *,
        timeout_s: float | None = None,
        look_s: float | None = None,
    ) -> bool:
        """Sleep until ``ready`` is found true, or the time is up.

        Args:
            ready: called after each wake-up.
            timeout_s: the longest sleep; None for any.
            look_s: how often to check besides, where not all that matters wakes.

        Returns:
            Whether it is ready.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not ready():
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            nap_s = min((s for s in (left_s, look_s) if s is not None), default=None)
            if select.select([self._out], [], [], nap_s)[0]:
                self._out.recv(4096)
        return True

    def close(self) -> None:
        """Give the sockets back."""
        self._in.close()
        self._out.close()
