"""Whatever lies in the state directory: it starts, journals above it, and keeps what it found."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamsed.detect.events import Kind
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.ledger import NAMES
from streamsed.publish.messages import JournalState
from tests.publish.journals import crash, event, kept, opened, status

FILES = (JOURNAL_NAME, *(f"{JOURNAL_NAME}{end}" for end in ("-wal", "-shm", "-journal")), *NAMES)
FILES += ("journal.clock", "journal.clock.new")


def folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)
    (path / "inside" / "file").write_text("x")


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("devices cannot be made here")


OBSTACLES: dict[str, Callable[[Path], None]] = {
    "folder": folder,
    "pipe": os.mkfifo,
    "device": device,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(os.urandom(20_000)),
    "zeros": lambda path: path.write_bytes(bytes(20_000)),
    "text": lambda path: path.write_text("{}\n" * 1000),
}


def used(path: Path) -> int:
    """Leave what a killed run leaves, with an open event; return its last number."""
    sequencer = opened(path)
    sequencer.record([event(Kind.ONSET), *(status() for _ in range(20))])
    crash(sequencer)
    return sequencer.last_seq


def starts_above(path: Path, last: int) -> None:
    sequencer = opened(path)
    sent = sequencer.record([*sequencer.take_interrupted(), status()])
    assert min(entry.seq for entry in sent) > last
    assert sequencer.condition.state is JournalState.ON, sequencer.condition
    sequencer.close()
    found, missing = kept(path, since=1)
    assert {entry.seq for entry in sent} <= found.keys()
    for seq in range(2, last + 1):
        assert seq in found or any(first <= seq <= end for first, end in missing)
    again = opened(path)
    assert again.last_seq == sent[-1].seq, "in good order from then on"
    again.close()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_anything_in_the_place_of_a_file(tmp_path: Path, name: str, obstacle: str) -> None:
    last = used(tmp_path)
    path = tmp_path / name
    if path.exists():
        path.unlink()
    OBSTACLES[obstacle](path)
    starts_above(tmp_path, last)
    if obstacle == "folder":
        assert list(tmp_path.rglob("inside/file")), "nothing foreign is removed"


TAMPERINGS = (
    "UPDATE messages SET seq = 9223372036854775807 WHERE seq = 5",
    "UPDATE messages SET seq = -7 WHERE seq = 5",
    "UPDATE gaps SET last = 9223372036854775807",
    "INSERT INTO gaps VALUES (3, 9223372036854775807)",
    "INSERT INTO unused VALUES (3, 9007199254740991)",
    "INSERT INTO gaps VALUES (7, 'many')",
    "INSERT INTO gaps VALUES (7, x'00ff')",
    "UPDATE messages SET published_us = 'soon', body = x'ff00ff', topic = 7",
    "UPDATE messages SET body = body || ' '",
    "UPDATE events SET last_seq = 9223372036854775807, event_id = x'00'",
    "UPDATE events SET position = '{\"seconds\": 1e999}'",
    "UPDATE events SET open = 1, label = x'ff'",
    "DELETE FROM messages",
    "DROP TABLE events",
    "DROP INDEX open_events",
    "CREATE TABLE more (x)",
    "CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM messages; END",
    "CREATE VIEW v AS SELECT * FROM messages",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 99",
    "PRAGMA application_id = 7",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = replace(sql, 'INTEGER', 'INTEGFR')",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'CREATE TABLE' WHERE name = 'gaps'",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = 2 WHERE type = 'table'",
    "PRAGMA writable_schema = 1; DELETE FROM sqlite_master",
)


@pytest.mark.parametrize("ledger", ["ledger", "no ledger"])
@pytest.mark.parametrize("statements", TAMPERINGS)
def test_a_journal_that_was_tampered_with(tmp_path: Path, statements: str, ledger: str) -> None:
    last = used(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / JOURNAL_NAME)) as connection:
        connection.executescript(f"{statements}; PRAGMA writable_schema = 0")
    if ledger == "no ledger":
        for name in NAMES:
            (tmp_path / name).unlink(missing_ok=True)
    starts_above(tmp_path, last)


def test_somebody_elses_database(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / JOURNAL_NAME)) as connection:
        connection.executescript("CREATE TABLE accounts (name); INSERT INTO accounts VALUES ('x')")
    with capture_logs() as logs:
        starts_above(tmp_path, 0)
    aside = next(entry["path"] for entry in logs if entry["event"] == "journal_set_aside")
    with contextlib.closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT name FROM accounts").fetchall() == [("x",)]


def test_a_journal_of_another_state_directory(tmp_path: Path) -> None:
    other, last = tmp_path / "other", used(tmp_path / "one")
    sequencer = opened(other, first=True)
    sequencer.record([status() for _ in range(5)])
    sequencer.close()
    for path in other.glob(f"{JOURNAL_NAME}*"):
        shutil.copy(path, tmp_path / "one")
    starts_above(tmp_path / "one", last)
