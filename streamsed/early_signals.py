"""Signals that come while the daemon is loading.

By default SIGHUP would end it, and SIGINT would show where; a signal is not worth less because it
came early.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StoppedEarlyError(BaseException):
    """A signal to stop came before there was anything to stop.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _Held:
    reload = False


def hold_signals() -> None:
    """Keep a SIGHUP for later, and let SIGTERM and SIGINT end the process in good order."""
    for number in _STOPPING:
        signal.signal(number, _stop)
    # A terminal that is closed sends it too, and then it has to end.
    if hasattr(signal, "SIGHUP") and not (sys.stdin is not None and sys.stdin.isatty()):
        signal.signal(signal.SIGHUP, _note)


def take_reload() -> bool:
    """Return whether a SIGHUP has come meanwhile; once."""
    came, _Held.reload = _Held.reload, False
    return came


def end_by(number: int) -> None:
    """End the process by a signal, so that its exit status has the reason."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
    _Held.reload = True


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
    raise StoppedEarlyError(number)
