"""Child processes of the tests, and that none is left behind."""

from __future__ import annotations

from time import monotonic

import psutil

PATIENCE_S = 30.0


def children() -> set[psutil.Process]:
    """Return the child processes of this one."""
    return set(psutil.Process().children())


def assert_gone(process: psutil.Process) -> None:
    """Wait until a process has ended; fail if it does not."""
    deadline = monotonic() + PATIENCE_S
    while _lives(process):
        assert monotonic() < deadline, f"{process} is left behind"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
