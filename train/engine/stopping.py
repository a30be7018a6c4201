"""Stopping a run so that it can go on: at a time, or at the first Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody wants the run to stop after its step.

    Args:
        until: monotonic time at which it should, if at all.
    """

    def __init__(self, until: float | None = None) -> None:
        self._until = until
        self._asked = False

    def ask(self) -> None:
        """Ask for it."""
        self._asked = True

    @property
    def asked(self) -> bool:
        """Whether it was asked for, or it is time."""
        return self._asked or (self._until is not None and time.monotonic() > self._until)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as requests; a second one acts as it would have."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def received(_number: int, _frame: FrameType | None) -> None:
            self.ask()
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in before:
            signal.signal(number, received)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
