"""WakeablePoll: waiting for file descriptors, which another thread can end."""

from __future__ import annotations

import os
import select
from threading import Lock


class WakeablePoll:
    """Waits until something can be read, until a time, or until it is woken for good."""

    def __init__(self) -> None:
        self._wake_fds = os.pipe()
        self._open = True
        self._guard = Lock()  # against a thread that wakes while another closes

    def readable(self, *fds: int, timeout_s: float) -> list[int]:
        """Return those that can be read, or have ended; none after ``timeout_s`` or when woken."""
        poll = select.poll()
        for fd in (*fds, self._wake_fds[0]):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(timeout_s * 1000)]
        return [] if self._wake_fds[0] in ready else ready

    def wake(self) -> None:
        """End this wait and all that follow; from any thread."""
        with self._guard:
            if self._open:
                os.write(self._wake_fds[1], b"!")

    def close(self) -> None:
        """Give the descriptors back."""
        with self._guard:
            if self._open:
                self._open = False
                for fd in self._wake_fds:
                    os.close(fd)
