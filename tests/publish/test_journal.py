"""The journal: what was sent is in it, numbers are used once, and it never stops anybody."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from streamsed.detect.events import Kind, Reason
from streamsed.publish import archive as archive_module
from streamsed.publish import ledger as ledger_module
from streamsed.publish import sequencer as sequencer_module
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.journal import Journal, Retention
from streamsed.publish.ledger import NAMES
from streamsed.publish.messages import EventMessage, JournalState
from streamsed.publish.recent_messages import RECENT_MESSAGES
from streamsed.publish.sequencer import Sequencer
from tests.publish.journals import (
    archive,
    crash,
    event,
    gaps,
    journal,
    journaled,
    moment,
    opened,
    status,
)
from tests.sockets import PATIENCE_S


@pytest.fixture(autouse=True)
def _no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_FIRST_RETRY_S", 0.0)


def numbers(sequencer: Sequencer, count: int = 1) -> list[int]:
    return [entry.seq for entry in sequencer.record([status() for _ in range(count)])]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(folder / JOURNAL_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def assert_degraded(sequencer: Sequencer, reason: str) -> None:
    assert sequencer.condition.state is JournalState.DEGRADED
    assert reason in (sequencer.condition.message or "")


def test_numbers_go_on_over_restarts_and_crashes(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert numbers(first, 3) == [1, 2, 3]
    first.close()
    second = opened(tmp_path)
    assert second.last_seq == 3
    assert numbers(second, 2) == [4, 5]
    crash(second)
    third = opened(tmp_path)
    assert numbers(third) == [6]
    assert list(journaled(tmp_path)) == [1, 2, 3, 4, 5, 6]
    assert gaps(tmp_path) == []
    third.close()


def test_it_is_private_and_in_order(tmp_path: Path) -> None:
    sequencer = opened(tmp_path / "state")
    numbers(sequencer)
    assert sequencer.condition.state is JournalState.ON
    for path in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    sequencer.close()
    assert not (tmp_path / "state" / f"{JOURNAL_NAME}-wal").exists()


def test_a_message_is_journaled_as_it_is_sent(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    entries = sequencer.record([event(Kind.ONSET), status()])
    assert journaled(tmp_path) == {entry.seq: entry.body.decode() for entry in entries}
    sequencer.close()


def test_without_a_journal_numbers_are_beyond_those_of_an_earlier_run() -> None:
    first = Sequencer()
    first.open()
    numbers(first, 1000)
    time.sleep(0.002)
    second = Sequencer()
    second.open()
    assert second.last_seq > first.last_seq
    assert second.condition.state is JournalState.OFF


def test_what_a_crash_left_open_gets_its_offset(tmp_path: Path) -> None:
    received = {"kitchen": moment(4.5), "hall": None}
    sequencer = opened(tmp_path, position=lambda source: received[source])
    ended, kitchen, hall, updated = (uuid4() for _ in range(4))
    sequencer.record([event(Kind.ONSET, ended), event(Kind.OFFSET, ended)])
    sequencer.record([event(Kind.ONSET, kitchen), event(Kind.ONSET, hall, source="hall")])
    sequencer.record([event(Kind.ONSET, updated), event(Kind.UPDATE, updated)])
    received["kitchen"] = moment(7.25)
    sequencer.beat()
    crash(sequencer)

    again = opened(tmp_path)
    entries = again.record(again.take_interrupted())
    assert [entry.seq for entry in entries] == [7, 8, 9]
    messages = [entry.message for entry in entries]
    assert [m.event_id for m in messages if isinstance(m, EventMessage)] == [
        kitchen,
        hall,
        updated,
    ]
    for message, offset_s in zip(messages, (7.25, 1.0, 7.25), strict=True):
        assert isinstance(message, EventMessage)
        assert (message.kind, message.reason) == (Kind.OFFSET, Reason.INTERRUPTED)
        assert message.offset == moment(offset_s)
        assert message.duration == offset_s - 1.0
        assert message.score.peak == 0.9
    crash(again)
    third = opened(tmp_path)
    assert third.take_interrupted() == [], "once, and no more"
    third.close()


def test_a_crash_among_these_offsets_leaves_none_out(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    sequencer.record([event(Kind.ONSET) for _ in range(3)])
    crash(sequencer)
    again = opened(tmp_path)
    again.record(again.take_interrupted()[:1])
    crash(again)
    third = opened(tmp_path)
    assert len(third.take_interrupted()) == 2
    third.close()


def test_where_a_source_was_as_the_event_began_is_known(tmp_path: Path) -> None:
    sequencer = opened(tmp_path, position=lambda source: moment(1.5))  # noqa: ARG005
    sequencer.record([event(Kind.ONSET)])
    crash(sequencer)
    again = opened(tmp_path)
    (entry,) = again.record(again.take_interrupted())
    assert isinstance(entry.message, EventMessage)
    assert entry.message.offset == moment(1.5)
    again.close()


def test_a_locked_file_delays_nobody_and_is_caught_up(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    numbers(sequencer, 2)
    with capture_logs() as logs, locked(tmp_path):
        began = time.monotonic()
        assert numbers(sequencer) == [3]
        assert time.monotonic() - began < 30
        assert_degraded(sequencer, "database is locked")
        for _ in range(5):
            sequencer.beat()
            numbers(sequencer)
    assert [entry["log_level"] for entry in logs] == ["error"], "logged once"
    sequencer.beat()
    assert sequencer.condition.state is JournalState.ON
    assert list(journaled(tmp_path)) == list(range(1, 9))
    assert gaps(tmp_path) == []
    sequencer.close()
    assert opened(tmp_path).last_seq == 8


def test_what_is_numbered_while_the_journal_catches_up_is_journaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = opened(tmp_path)
    with locked(tmp_path):
        numbers(sequencer, 2)
    assert_degraded(sequencer, "locked")
    begun, released = threading.Event(), threading.Event()
    append = Journal.append

    def append_slowly(*arguments: Any) -> None:
        begun.set()
        assert released.wait(PATIENCE_S)
        append(*arguments)

    monkeypatch.setattr(Journal, "append", append_slowly)
    monkeypatch.setattr(sequencer_module, "_COMMIT_S", 0.01)
    while not begun.is_set():
        sequencer.beat()
    assert numbers(sequencer, 2) == [3, 4]
    released.set()
    deadline = time.monotonic() + PATIENCE_S
    while sequencer.condition.state is JournalState.DEGRADED and time.monotonic() < deadline:
        sequencer.beat()
    sequencer.close()
    assert list(journaled(tmp_path)) == [1, 2, 3, 4]
    assert gaps(tmp_path) == []


def test_a_file_that_is_locked_at_the_start_lacks_nothing(tmp_path: Path) -> None:
    first = opened(tmp_path)
    numbers(first, 3)
    first.record([event(Kind.ONSET)])
    crash(first)
    with locked(tmp_path):
        second = opened(tmp_path)
        assert_degraded(second, "locked")
        sent = numbers(second, 2)
    second.beat()
    assert second.condition.state is JournalState.ON
    assert sent[0] > 1_000_000_000
    assert list(journaled(tmp_path)) == [1, 2, 3, 4, *sent]
    assert gaps(tmp_path) == []
    assert len(second.take_interrupted()) == 1
    second.close()


def test_an_event_is_ended_once_however_the_start_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(tmp_path)
    first.record([event(Kind.ONSET)])
    crash(first)

    def failing(self: Journal, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "set_open", failing)
        second = opened(tmp_path)
        assert_degraded(second, "no space left")
    second.beat()
    assert second.condition.state is JournalState.ON
    assert len(second.take_interrupted()) == 1
    second.close()


def full(sequencer: Sequencer) -> None:
    """Let the file grow no further, as a full disk would."""
    journal(sequencer)._connection.execute("PRAGMA max_page_count = 1").fetchall()


def test_a_crash_while_the_disk_is_full_uses_no_number_twice(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    onset = uuid4()
    sequencer.record([event(Kind.ONSET, onset)])
    full(sequencer)
    sent = numbers(sequencer, 200)
    assert_degraded(sequencer, "full")
    assert sent == list(range(2, 202))
    crash(sequencer)
    again = opened(tmp_path)
    assert again.last_seq > sent[-1]
    (entry,) = again.record(again.take_interrupted())
    assert gaps(tmp_path) == [(2, entry.seq - 1)], "what is not there is known"
    again.close()
    last = again.last_seq
    assert numbers(opened(tmp_path)) == [last + 1]


@pytest.mark.parametrize("of_last_record", [0, 10], ids=["between records", "in a record"])
def test_a_ledger_that_was_cut_off_is_not_taken_for_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_last_record: int
) -> None:
    """Of a copy all events have ended since; of this one none has."""
    monkeypatch.setattr(archive_module, "SAME_TIME_NS", 0)
    monkeypatch.setattr(ledger_module, "SAME_TIME_NS", 0)
    sequencer = opened(tmp_path)
    for onset in range(3):
        sequencer.record([event(Kind.ONSET, onset_s=onset)])
    crash(sequencer)
    (path,) = (tmp_path / name for name in NAMES if b"onset" in (tmp_path / name).read_bytes())
    records = path.read_bytes().partition(b"\0")[0].splitlines(keepends=True)
    path.write_bytes(b"".join(records[:-1]) + records[-1][:of_last_record])
    interrupted = opened(tmp_path).take_interrupted()
    assert len(interrupted) == 3


def test_open_events_are_recorded_where_no_file_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = opened(tmp_path)
    sequencer.record([event(Kind.ONSET, first := uuid4())])
    full(sequencer)
    ledgers = sorted((tmp_path / name for name in NAMES), key=lambda path: path.stat().st_mtime_ns)
    os.truncate(ledgers[0], 100)  # the one whose turn comes when the other is long

    def no_room(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    for _ in range(300):
        sequencer.record([event(Kind.ONSET, over := uuid4())])
        sequencer.record([event(Kind.OFFSET, over)])
    assert_degraded(sequencer, "full")
    crash(sequencer)
    monkeypatch.undo()
    again = opened(tmp_path)
    (entry,) = again.record(again.take_interrupted())
    assert isinstance(entry.message, EventMessage)
    assert entry.message.event_id == first
    again.close()


def test_more_than_memory_holds_while_the_disk_is_full(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    left, over = uuid4(), uuid4()
    sequencer.record([event(Kind.ONSET, left), event(Kind.ONSET, over)])
    full(sequencer)
    sequencer.record([event(Kind.OFFSET, over), status("x" * 10_000)])
    assert_degraded(sequencer, "full")
    numbers(sequencer, RECENT_MESSAGES + 100)
    sequencer.beat()
    assert sequencer.condition.state is JournalState.ON
    kept = range(sequencer.last_seq - RECENT_MESSAGES + 1, sequencer.last_seq + 1)
    assert list(journaled(tmp_path)) == [1, 2, *kept]
    assert gaps(tmp_path) == [(3, kept[0] - 1)]
    crash(sequencer)
    again = opened(tmp_path)
    (entry,) = again.record(again.take_interrupted())
    assert isinstance(entry.message, EventMessage)
    assert entry.message.event_id == left, "the other has ended, though that is not written"
    again.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    onset = uuid4()
    sequencer.record([event(Kind.ONSET, onset)])
    numbers(sequencer, 20)
    crash(sequencer)
    path = tmp_path / JOURNAL_NAME
    path.write_bytes(b"no database at all, but long enough to be one" * 1000)
    with capture_logs() as logs:
        again = opened(tmp_path)
    assert [entry["event"] for entry in logs][:2] == ["journal_set_aside", "numbers_skipped"]
    assert again.condition.state is JournalState.ON
    assert again.last_seq > 1_000_000_000
    assert len(again.take_interrupted()) == 1, "the ledger has it"
    (number,) = numbers(again)
    assert gaps(tmp_path) == [(1, number - 1)]
    (aside,) = tmp_path.glob("*.broken")
    assert aside.read_bytes().startswith(b"no database")
    again.close()
    assert numbers(opened(tmp_path)) == [number + 1]


def test_damage_that_is_found_while_it_runs(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    onset = uuid4()
    sequencer.record([event(Kind.ONSET, onset)])
    numbers(sequencer, 100)
    journal(sequencer)._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    path = tmp_path / JOURNAL_NAME
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    journal(sequencer)._connection.execute("PRAGMA cache_size = 0").fetchall()
    journal(sequencer)._connection.execute("PRAGMA shrink_memory").fetchall()
    assert numbers(sequencer) == [102]
    assert sequencer.condition.state is JournalState.ON, "a new one was begun"
    assert list(journaled(tmp_path)) == list(range(1, 103)), "all that is in memory"
    crash(sequencer)
    again = opened(tmp_path)
    assert again.last_seq == 102
    assert len(again.take_interrupted()) == 1
    again.close()


def test_a_file_that_is_removed_is_made_anew(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    numbers(sequencer, 3)
    (tmp_path / JOURNAL_NAME).unlink()
    sequencer.beat()
    assert_degraded(sequencer, "removed")
    sequencer.beat()
    assert sequencer.condition.state is JournalState.ON
    assert list(journaled(tmp_path)) == [1, 2, 3]
    sequencer.close()
    (tmp_path / JOURNAL_NAME).unlink()
    assert opened(tmp_path).last_seq > 1_000_000_000


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.touch()
    with capture_logs() as logs:
        sequencer = opened(folder, first=True)
        sent = numbers(sequencer, 3)
        sequencer.beat()
    assert sequencer.condition.state is JournalState.DEGRADED
    assert sent[0] > 1_000_000_000
    assert len(logs) == 1
    assert str(folder) in logs[0]["path"]
    sequencer.close()


def test_a_second_daemon_keeps_its_hands_off(tmp_path: Path) -> None:
    first = opened(tmp_path)
    numbers(first, 5)
    second = opened(tmp_path)
    assert_degraded(second, "another streamsed uses this folder; journal.path gives each its own")
    sent = numbers(second, 2)
    assert sent[0] > 1_000_000_000
    first.record([event(Kind.ONSET)])
    crash(first)
    second.beat()
    assert second.condition.state is JournalState.ON
    assert list(journaled(tmp_path)) == [1, 2, 3, 4, 5, 6, *sent]
    assert gaps(tmp_path) == [], "nobody used the numbers between"
    assert len(second.take_interrupted()) == 1
    second.close()


def test_after_a_power_cut_numbers_skip_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = opened(tmp_path)
    numbers(sequencer, 3)
    crash(sequencer)
    monkeypatch.setattr(ledger_module, "_boot", lambda: "another boot")
    again = opened(tmp_path)
    assert numbers(again)[0] > 1_000_000_000
    again.close()
    monkeypatch.setattr(ledger_module, "_boot", lambda: "a third")
    last = again.last_seq
    assert numbers(opened(tmp_path)) == [last + 1], "the machine was shut down in good order"


def keep(**changes: float) -> Retention:
    return Retention.of(**({"keep_days": 1000.0, "max_mb": 1000.0} | changes))


def fill(sequencer: Sequencer, count: int) -> None:
    for _ in range(count // 100):
        numbers(sequencer, 100)


def tidied(sequencer: Sequencer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_TIDY_S", 0.0)
    archive(sequencer)._tidy_at = 0.0
    for _ in range(300):
        sequencer.tidy()


def test_what_is_too_old_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequencer = opened(tmp_path, retention=keep(keep_days=1.0))
    left = uuid4()
    sequencer.record([event(Kind.ONSET, left), event(Kind.ONSET), status()])
    monkeypatch.setattr(
        sequencer_module, "microseconds", lambda moment: round((moment.timestamp() - 2e5) * 1e6)
    )
    fill(sequencer, 1000)
    monkeypatch.undo()
    monkeypatch.setattr(archive_module, "_FIRST_RETRY_S", 0.0)
    numbers(sequencer, 2)
    tidied(sequencer, monkeypatch)
    assert set(journaled(tmp_path)) >= {1, 1004, 1005}
    sequencer.close()


def test_the_file_stays_within_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequencer = opened(tmp_path, retention=keep(max_mb=1.0))
    left = uuid4()
    sequencer.record([event(Kind.ONSET, left)])
    fill(sequencer, 6000)
    tidied(sequencer, monkeypatch)
    sequencer.close()
    assert (tmp_path / JOURNAL_NAME).stat().st_size < 1.3 * 2**20
    found = list(journaled(tmp_path))
    assert found[0] == 1, "the onset of an open event is needed"
    assert found[1:] == list(range(found[1], 6002))
    assert found[1] > 2000
    assert gaps(tmp_path) == [(1, found[1] - 1)]
    again = opened(tmp_path, retention=keep(keep_days=1e-9))
    assert again.last_seq == 6001
    assert len(again.take_interrupted()) == 1
    tidied(again, monkeypatch)
    again.close()
    third = opened(tmp_path)
    assert third.last_seq == 6001, "known even when everything was removed"
    third.close()


def test_tidying_takes_little_at_a_time(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    fill(sequencer, 2000)
    sequencer.close()
    with contextlib.closing(Journal(tmp_path / JOURNAL_NAME)) as kept:
        kept.tidy(keep(keep_days=1e-9), age_us=lambda _: 2**61, rows=50)
    assert len(journaled(tmp_path)) == 1950


def test_the_write_ahead_log_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_TIDY_S", 0.0)
    sequencer = opened(tmp_path)
    for _ in range(100):
        numbers(sequencer, 100)
        sequencer.tidy()
    assert (tmp_path / f"{JOURNAL_NAME}-wal").stat().st_size < 4 * 2**20
    sequencer.close()
