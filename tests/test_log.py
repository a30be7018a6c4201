"""The log: repeats, and lines for systemd's journal."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from streamsed.log_repeats import RepeatLimit
from tests.sockets import PATIENCE_S

SPEAK = """
import structlog
from streamsed import log
log.configure(level="info", form={form!r})
logger = structlog.get_logger()
for number in range(3):
    logger.warning("source_lost", source="kitchen", number=number)
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("source_failed", source="kitchen")
"""


class Clock:
    """A clock that the test winds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Log:
    """What passes the limit."""

    def __init__(self, limit: RepeatLimit) -> None:
        self.lines: list[dict[str, Any]] = []
        structlog.configure(processors=[limit, self._keep])
        self.logger = structlog.get_logger()

    def _keep(self, _: object, method: str, event: structlog.typing.EventDict) -> str:
        self.lines.append({**event, "level": method})
        raise structlog.DropEvent

    def numbers(self) -> list[tuple[int, int | None]]:
        return [(line["number"], line.get("held_back")) for line in self.lines]


@pytest.fixture
def make_log() -> Iterator[Callable[[RepeatLimit], Log]]:
    yield Log
    structlog.reset_defaults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_repeat_is_held_back_and_counted(
    make_log: Callable[[RepeatLimit], Log], clock: Clock
) -> None:
    limit = RepeatLimit(window_s=10.0, clock=clock)
    log = make_log(limit)
    for number in range(5):
        clock.now = float(number)
        log.logger.warning("source_lost", source="kitchen", number=number)
    assert log.numbers() == [(0, None)]
    limit.flush(due_only=True)
    assert log.numbers() == [(0, None)], "the window has not ended"
    clock.now = 10.0
    limit.flush(due_only=True)
    assert log.numbers() == [(0, None), (4, 4)]
    assert log.lines[-1]["level"] == "warning"
    log.logger.warning("source_lost", source="kitchen", number=5)
    assert len(log.lines) == 2, "a window follows the window"
    clock.now = 20.0
    limit.flush(due_only=True)
    clock.now = 30.0
    log.logger.warning("source_lost", source="kitchen", number=6)
    assert log.numbers() == [(0, None), (4, 4), (5, 1), (6, None)]


def test_only_the_same_event_of_the_same_source_is_a_repeat(
    make_log: Callable[[RepeatLimit], Log], clock: Clock
) -> None:
    log = make_log(RepeatLimit(clock=clock))
    log.logger.warning("source_lost", source="kitchen", number=0)
    log.logger.warning("source_lost", source="hall", number=1)
    log.logger.info("source_running", source="kitchen", number=2)
    for number in (3, 4):
        log.logger.info("reloaded", number=number)
    for number, reason in ((5, "queue_s: missing"), (6, "threads: missing")):
        log.logger.error("reload_refused", reason=reason, number=number)
    assert [number for number, _ in log.numbers()] == [0, 1, 2, 3, 4, 5, 6]


def test_memory_is_bounded_and_nothing_is_forgotten_unsaid(
    make_log: Callable[[RepeatLimit], Log], clock: Clock
) -> None:
    limit = RepeatLimit(most_kinds=100, clock=clock)
    log = make_log(limit)
    for number in range(3):
        log.logger.warning("source_lost", source="first", number=number)
    for number in range(1000):
        log.logger.warning("source_lost", source=f"s{number}", number=number)
    assert len(limit._windows) == 100
    assert [line for line in log.lines if line.get("held_back")] == [
        {
            "event": "source_lost",
            "source": "first",
            "number": 2,
            "held_back": 2,
            "level": "warning",
        }
    ]


def test_what_was_held_back_is_said_in_time(make_log: Callable[[RepeatLimit], Log]) -> None:
    limit = RepeatLimit(window_s=0.05)
    log = make_log(limit)
    for number in range(3):
        log.logger.warning("source_lost", source="kitchen", number=number)
    assert limit._timer is not None
    limit._timer.join(PATIENCE_S)
    assert log.numbers() == [(0, None), (2, 2)]


def written(form: str, environment: dict[str, str], stderr: int) -> None:
    subprocess.run(
        [sys.executable, "-c", SPEAK.format(form=form)],
        env=os.environ | environment,
        stderr=stderr,
        check=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("form", ["auto", "console"])
def test_the_journal_is_told_the_priority_of_every_line(form: str) -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        status = os.fstat(writer.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        written(form, {"JOURNAL_STREAM": stream}, writer.fileno())
        lines = reader.recv(1 << 16).decode().splitlines()
    assert {line[:3] for line in lines} == {"<4>", "<3>"}
    assert "source_lost" in lines[0]
    assert "ZeroDivisionError" in "".join(lines)
    assert "held_back" in lines[-1], "at the end nothing is kept back"
    if form == "auto":
        assert json.loads(lines[1].removeprefix("<3>"))["event"] == "source_failed"


def test_elsewhere_there_is_no_priority(tmp_path: Any) -> None:
    with (tmp_path / "log").open("w+b") as file:
        written("auto", {"JOURNAL_STREAM": "1:2"}, file.fileno())
        file.seek(0)
        entries = [json.loads(line) for line in file]
    assert [entry["event"] for entry in entries] == ["source_lost", "source_failed", "source_lost"]
    assert entries[2]["held_back"] == 2
