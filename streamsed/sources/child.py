"""ChildProcess: a program that writes audio to its standard output."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
from collections import deque
from time import monotonic

from streamsed.sources.polling import WakeablePoll

READ_BYTES = 1 << 16
TERMINATE_S = 1.0
"""How long a child may take to end after SIGTERM; then it is killed."""

_FIRST_LINES, _LAST_LINES = 32, 32  # kept of what it writes to standard error
_LINE_BYTES = 1024

# Linux kills the child when the thread that started it ends, however that comes about. To set
# this in the child before its program starts without forking this process, which has threads, a
# short-lived interpreter does it and becomes the program.
_LAUNCH = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]): sys.exit("the parent is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ChildProcess:
    """Runs a program, reads its output, and ends it.

    It has a process group of its own, so that Ctrl-C on a terminal is not for it. On Linux it is
    killed when the thread that started it ends; elsewhere it ends when it next writes.

    Threads: one starts, reads and stops it; any may :meth:`wake`.
    """

    def __init__(self, *command: str) -> None:
        """Start a program.

        Args:
            command: its path and its arguments.

        Raises:
            OSError: it cannot be run.
        """
        if sys.platform == "linux":
            launch = (sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()))
            command = (*launch, *command)
        self._process = subprocess.Popen(  # noqa: S603 - the user's own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = self._process.stdout.fileno(), self._process.stderr.fileno()
        self._partial_line = bytearray()  # a line that is not whole yet
        self._first: list[tuple[float, str]] = []
        self._last: deque[tuple[float, str]] = deque(maxlen=_LAST_LINES)
        self._poll = WakeablePoll()

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    @property
    def error_lines(self) -> list[str]:
        """The first and the last lines that it wrote to standard error, without empty ones."""
        return self.error_lines_since(-math.inf)

    def error_lines_since(self, moment: float) -> list[str]:
        """Return those of :attr:`error_lines` that were read after a moment (monotonic)."""
        rest = self._partial_line.decode(errors="replace").strip()
        lines = [line for when, line in (*self._first, *self._last) if when > moment]
        return [*lines, rest] if rest else lines

    def read(self, timeout_s: float) -> bytes | None:
        """Return what it writes next; None after ``timeout_s`` or when woken, empty at the end."""
        deadline = monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - monotonic())
            fds = (self._out,) if self._err < 0 else (self._out, self._err)
            ready = self._poll.readable(*fds, timeout_s=left_s)
            if self._err in ready:
                self._listen()
            if self._out in ready:
                return os.read(self._out, READ_BYTES)
            if not ready:
                return None

    def wake(self) -> None:
        """Make :meth:`read` return None, now and from now on; from any thread."""
        self._poll.wake()

    def wait(self) -> int | None:
        """Return the exit code of a child whose output has ended, or None if it does not end.

        A negative one is the signal that ended it.
        """
        deadline = monotonic() + TERMINATE_S
        while self._err >= 0 and (left_s := deadline - monotonic()) > 0:
            if self._poll.readable(self._err, timeout_s=left_s):
                self._listen()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(max(0.0, deadline - monotonic()))
        return None

    def stop(self) -> None:
        """End it: SIGTERM, wait, SIGKILL; release everything. It may have ended already."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(TERMINATE_S)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        self._poll.close()

    def _listen(self) -> None:
        data = os.read(self._err, READ_BYTES)
        if not data:
            self._err = -1
        *lines, rest = (self._partial_line + data).split(b"\n")
        self._partial_line = rest[:_LINE_BYTES]
        for line in lines:
            if text := line[:_LINE_BYTES].decode(errors="replace").strip():
                kept = self._first if len(self._first) < _FIRST_LINES else self._last
                kept.append((monotonic(), text))
