"""A Dask cluster as users start it: command lines, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.command import PATIENCE_S, Lines, environment

ROOT = Path(__file__).parents[2]


class Dask:
    """``dask scheduler`` or ``dask worker``, and the processes that it starts."""

    def __init__(self, *arguments: str | Path, folder: Path) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "dask", *map(str, arguments), "--no-dashboard"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment()
            | {"PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder / "scratch")},
            start_new_session=True,
        )
        assert self.popen.stderr is not None
        self.stderr = self.popen.stderr
        self.log = Lines(self.stderr)

    def until(self, text: str) -> str:
        """Wait for a line with ``said`` in it; return what follows."""
        while (line := self.log.next()) is not None:
            if text in line:
                return line.split(text)[1].strip()
        raise AssertionError(f"{text!r} was not logged: {self.log.seen}")

    def close(self) -> None:
        """Kill it and what it has started."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(PATIENCE_S)
        self.log.rest()
        self.stderr.close()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[Dask, str]]:
    """Run a scheduler on a port that is free; yield it and its address."""
    running = Dask("scheduler", "--host", "127.0.0.1", "--port", "0", folder=folder)
    try:
        yield running, running.until("Scheduler at:")
    finally:
        running.close()


@contextmanager
def workers(address: str, *, count: int = 1, threads: int = 1, folder: Path) -> Iterator[Dask]:
    """Run workers whose working directory is ``folder``; they have come when this yields."""
    arguments = ("--nworkers", str(count), "--nthreads", str(threads), "--host", "127.0.0.1")
    running = Dask("worker", address, *arguments, folder=folder)
    try:
        for _ in range(count):
            running.until("Registered to:")
        yield running
    finally:
        running.close()
