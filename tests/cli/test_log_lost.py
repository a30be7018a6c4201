"""A log or an output that cannot be written: nothing but lines is lost."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from streamsed.client import Subscriber
from streamsed.publish.messages import EventMessage, Heartbeat, LogState
from tests.cli.command import COMMAND, PATIENCE_S, environment
from tests.sockets import receive_until


@contextmanager
def full() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def nobody_reads() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def somebody_hangs() -> Iterator[int]:
    """A reader that takes nothing: the pipe is full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@contextmanager
def closed_terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    os.close(master)
    yield slave
    os.close(slave)


@contextmanager
def closed() -> Iterator[int]:
    yield -1


@contextmanager
def started(arguments: list[str], stderr: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command with a standard error; -1 for none at all."""
    command, how = [*COMMAND, *arguments], stderr
    if stderr < 0:
        command, how = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command], subprocess.DEVNULL
    process = subprocess.Popen(command, stderr=how, stdin=subprocess.DEVNULL, env=environment())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", [full, nobody_reads, somebody_hangs, closed_terminal, closed])
def test_a_daemon_goes_on_without_its_log(
    kind: Callable[[], Any], bundle: Path, wav: Path, tmp_path: Path
) -> None:
    address = f"ipc://{tmp_path}/s"
    config = tmp_path / "c.yaml"
    source = {"type": "file", "name": "kitchen", "path": str(wav)}
    publish = {"bind": [address], "heartbeat_s": 0.1, "wait_for_subscriber_s": PATIENCE_S}
    content = {"bundle": str(bundle), "sources": [source], "publish": publish}
    config.write_text(json.dumps(content), encoding="utf-8")
    with (
        kind() as stderr,
        Subscriber(address, topics=[""]) as subscriber,
        started(["run", "-c", str(config)], stderr) as daemon,
    ):
        messages = receive_until(subscriber, lambda m: getattr(m, "state", 0) == "stopped")
        assert daemon.wait(PATIENCE_S) == 0
    beat = next(m for m in reversed(messages) if isinstance(m, Heartbeat))
    assert beat.log.state is LogState.DEGRADED
    assert beat.log.dropped_lines > 3
    assert beat.log.message
    assert [m.kind for m in messages if isinstance(m, EventMessage)] == ["onset", "offset"]


def test_a_log_that_can_be_written_again_says_what_was_dropped(tmp_path: Path) -> None:
    script = """
import os, structlog
from streamsed import log
log.configure(level="info", form="json")
logger = structlog.get_logger()
good, full = os.dup(2), os.open("/dev/full", os.O_WRONLY)
logger.info("first")
os.dup2(full, 2)
for number in range(3):
    logger.info("lost", number=number)
assert log.failure().dropped_lines == 3
assert log.failure().reason == "No space left on device"
log.configure(level="info", form="json")
os.dup2(good, 2)
logger.info("again")
logger.info("last")
assert log.failure() == log.LogFailure(3)
"""
    done = subprocess.run([COMMAND[0], "-c", script], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line.get("dropped_lines")) for line in lines] == [
        ("first", None),
        ("again", 3),
        ("last", None),
    ]


@pytest.mark.parametrize("kind", [full, nobody_reads, closed])
def test_an_error_that_nobody_can_be_told(kind: Callable[[], Any], tmp_path: Path) -> None:
    with kind() as stderr, started(["events", "--journal", str(tmp_path)], stderr) as process:
        assert process.wait(PATIENCE_S) == 2


@pytest.mark.parametrize(("kind", "expected"), [(full, "No space left"), (nobody_reads, "")])
def test_output_that_nobody_takes(kind: Callable[[], Any], expected: str) -> None:
    with kind() as stdout:
        done = subprocess.run(
            [*COMMAND, "devices", "--help"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == bool(expected)
    assert expected in done.stderr


@pytest.mark.parametrize("kind", [full, closed])
def test_a_replay_goes_on_without_its_progress(
    kind: Callable[[], Any], bundle: Path, wav: Path, tmp_path: Path
) -> None:
    arguments = ["replay", str(wav), "--bundle", str(bundle), "-o", str(tmp_path / "out")]
    with kind() as stderr, started(arguments, stderr) as process:
        assert process.wait(PATIENCE_S) == 0
    assert len((tmp_path / "out" / "events.tsv").read_text(encoding="utf-8").splitlines()) == 2
