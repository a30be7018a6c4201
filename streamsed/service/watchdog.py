"""Watchdog: notifies the service manager that detection advances, or has nothing to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Self

_BEATS = 4  # in the time after which systemd takes the service for frozen


class Watchdog:
    """Passes the progress of the detection thread on, at most so often.

    The detection thread itself beats: after each step, and each time it has looked for audio and
    found none. So a step that hangs silences it, and so does a publisher that takes no more
    messages; no other thread beats in its place. What it calls passes the beat on only while
    messages are recorded and heartbeats sent. A device that is missing does not: detection
    then wakes up every ``interval_s``, finds nothing to do, and notifies.

    Attributes:
        interval_s: how often it has to beat; None without a watchdog.
    """

    def __init__(
        self, interval_s: float | None = None, *, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Begin.

        Args:
            interval_s: shortest time between two calls of ``alive``; None for no calls.
            alive: feeds the watchdog.
        """
        self.interval_s = interval_s
        self._alive = alive
        self._beat_at = 0.0

    @classmethod
    def of_environment(
        cls, alive: Callable[[], None], environment: Mapping[str, str] = os.environ
    ) -> Self:
        """Beat a few times in ``WATCHDOG_USEC``, if systemd set it for this process."""
        timeout_us = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if not (mine and timeout_us.isdecimal() and int(timeout_us)):
            return cls(alive=alive)
        return cls(int(timeout_us) / 1e6 / _BEATS, alive=alive)

    def beat(self) -> None:
        """Say that detection has advanced, or has nothing to do."""
        if self.interval_s is None:
            return
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + self.interval_s
            self._alive()
