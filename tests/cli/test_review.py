"""``streamsed review``: on a real journal, in use by another process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from streamsed.detect.events import Kind
from streamsed.publish.sequencer import Sequencer
from tests.cli.command import execute
from tests.publish.journals import event, opened

ENDED, OPEN = uuid4(), uuid4()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made: Sequencer = opened(tmp_path)
    made.record([event(Kind.ONSET, ENDED), event(Kind.OFFSET, ENDED), event(Kind.ONSET, OPEN)])
    yield tmp_path
    made.close()


def set_review(folder: Path, event_id: UUID, *decision: str) -> tuple[int, str]:
    done = execute("review", "set", str(event_id), *decision, "--journal", folder, "--by", "ana")
    return done.returncode, done.stdout + done.stderr


def listed(folder: Path) -> list[str]:
    return execute("review", "list", "--journal", folder).stdout.splitlines()[1:]


def test_an_event_is_reviewed_again_and_undone(folder: Path) -> None:
    assert set_review(folder, ENDED, "right")[0] == 0
    assert set_review(folder, ENDED, "was", "Dishes")[0] == 0
    (line,) = listed(folder)
    assert "was Dishes" in line
    assert " ana " in line
    assert str(ENDED) in line
    assert execute("review", "undo", "--journal", folder).returncode == 0
    (line,) = listed(folder)
    assert " right " in line


def test_a_missed_sound_is_noted(folder: Path) -> None:
    arguments = ("kitchen", "Cat", "2026-01-02T03:04:05.5", "1.25", "--journal", folder)
    assert execute("review", "missed", *arguments).returncode == 0
    (line,) = listed(folder)
    assert "1.250 s" in line
    assert " missed " in line


@pytest.mark.parametrize(
    ("event_id", "decision", "reason"),
    [
        (OPEN, "right", "goes on"),
        (UUID(int=5), "right", "has no event"),
        (ENDED, "rigth", "'rigth' is not one of"),
        (ENDED, "was", "a class goes with"),
        (ENDED, "right Dishes", "a class goes with"),
    ],
)
def test_what_cannot_be_reviewed_gets_one_line(
    folder: Path, event_id: UUID, decision: str, reason: str
) -> None:
    code, output = set_review(folder, event_id, *decision.split())
    assert code == 2
    assert reason in output
    assert output.count("\n") == 1
    assert listed(folder) == []


def test_a_time_that_is_none_gets_one_line(folder: Path) -> None:
    done = execute("review", "missed", "kitchen", "Cat", "noon", "1", "--journal", folder)
    assert done.returncode == 2
    assert "'noon' is no time" in done.stderr


def test_there_is_nothing_to_undo(folder: Path) -> None:
    done = execute("review", "undo", "--journal", folder)
    assert done.returncode == 1
    assert "no review to take back" in done.stderr
