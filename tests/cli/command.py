"""The real command in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

PATIENCE_S = 180.0
_PROGRESS = re.compile(r"^streamsed: \d+ of \d+ recordings, .*(?:\n|$)", re.MULTILINE)
COMMAND = (sys.executable, "-W", "error", "-m", "streamsed")


def environment() -> dict[str, str]:
    """Return the environment without what would change the defaults."""
    drop = {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}
    return {key: value for key, value in os.environ.items() if key not in drop}


def execute(
    *arguments: str | Path, cwd: Path | None = None, stdin: int | None = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end; progress that a slow machine reports is left out."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=stdin,
        timeout=PATIENCE_S,
    )
    done.stderr = without_progress(done.stderr)
    return done


def without_progress(text: str) -> str:
    """Return what a replay has written but for lines of progress, which depend on the machine."""
    return _PROGRESS.sub("", text)


class Lines:
    """Lines that a process writes, awaited with a time limit."""

    def __init__(self, stream: IO[str]) -> None:
        self._queue: Queue[str | None] = Queue()
        self._stream = stream
        self._ended = False
        self.seen: list[str] = []
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def next(self) -> str | None:
        """Return the next line, None at the end; fail if neither comes."""
        if self._ended:
            return None
        try:
            line = self._queue.get(timeout=PATIENCE_S)
        except Empty:
            raise AssertionError(f"no further line after {self.seen[-3:]}") from None
        if line is None:
            self._ended = True
        else:
            self.seen.append(line)
        return line

    def rest(self) -> list[str]:
        """Return all lines up to the end."""
        return list(iter(self.next, None))

    def event(self, name: str) -> dict[str, Any]:
        """Return the next JSON log entry of that name."""
        while (line := self.next()) is not None:
            entry: dict[str, Any] = json.loads(line)
            if entry["event"] == name:
                return entry
        raise AssertionError(f"{name!r} was not logged: {self.seen}")


class Process:
    """A command that runs, with its output as lines."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.popen = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment() | dict(variables or {}),
        )
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self.stdin = self.popen.stdin
        self.out = Lines(self.popen.stdout)
        self.log = Lines(self.popen.stderr)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        return self.popen.wait(PATIENCE_S)

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for lines in (self.log, self.out):
            lines.rest()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def process(
    *arguments: str | Path, cwd: Path | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a command; it is killed at the end if it still runs."""
    running = Process(arguments, cwd=cwd, variables=variables)
    try:
        yield running
    finally:
        running.close()
