"""Log sink: writes log lines, without blocking or failing its callers."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from dataclasses import dataclass
from typing import TextIO

_PATIENCE_S = 1.0  # for a reader that is slow; once it was too slow, none until it reads again
_AT_ONCE = 4096  # what a pipe takes without waiting, if it takes anything


@dataclass(frozen=True, slots=True)
class LogFailure:
    """How writing the log goes.

    Attributes:
        dropped_lines: since the start.
        reason: why the last line could not be written; None if it was written.
    """

    dropped_lines: int = 0
    reason: str | None = None


class LogSink:
    """A file object that writes lines to standard error, or drops and counts them.

    A full disk, a reader that has gone or a terminal that was closed drop a line; so does a reader
    that does not read, after a second. What is left of a line that was begun ends there.

    Methods may be called from any thread; the one that writes holds a lock.
    """

    def __init__(self, *, before: LogFailure | None = None) -> None:
        """Write to standard error as it is now, which may be closed.

        Args:
            before: what came of an earlier one; its count goes on.
        """
        self._stream: TextIO | None = sys.stderr  # None where the interpreter began without
        self._descriptor = _descriptor(self._stream)
        self._changing = threading.Lock()
        self._failure = before or LogFailure()
        self._in_line = False

    @property
    def failure(self) -> LogFailure:
        """How it goes."""
        return self._failure

    def write(self, text: str) -> int:
        """Write a whole line, or drop it; never raises, and never waits for long."""
        with self._changing:
            before = self._failure
            try:
                self._put(text)
            except (OSError, ValueError) as error:  # ValueError: a file object that is closed
                reason = getattr(error, "strerror", None) or str(error)
                self._failure = LogFailure(before.dropped_lines + 1, reason)
            else:
                if before.reason is not None:
                    self._failure = LogFailure(before.dropped_lines)
        return len(text)

    def flush(self) -> None:
        """Nothing waits to be written."""

    def _put(self, text: str) -> None:
        if self._stream is None:
            raise ValueError("standard error is closed")
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        data = memoryview(("\n" * self._in_line + text).encode(errors="backslashreplace"))
        patience_s = _PATIENCE_S if self._failure.reason is None else 0.0
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while data:
            if not poll.poll(patience_s * 1e3):
                raise OSError(None, "it is not read")
            written = os.write(self._descriptor, data[:_AT_ONCE])
            data = data[written:]
            self._in_line = bool(data)


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None
