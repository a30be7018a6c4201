"""Journal: the SQLite file that holds every numbered message.

It is in WAL mode, so that readers (:mod:`streamsed.publish.journal_reader`) never hold up the one
writer, and with ``synchronous=FULL``, so that what has been committed survives a power cut as well
as the end of the process. That costs a flush of the disk for each commit, which is why messages
are written in groups. What need not survive a power cut is written without.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from pydantic import ValidationError

from streamsed.detect.events import Kind
from streamsed.publish.journal_format import (
    APPLICATION_ID,
    BESIDE,
    ROW,
    SCHEMA,
    VERSION,
    JournalEntry,
    NotAJournal,
    damage_as_error,
    is_whole,
    microseconds,
)
from streamsed.publish.ledger import LARGEST_NUMBER
from streamsed.publish.messages import EventMessage, Moment
from streamsed.regular_file import kind_of

_PAGE_BYTES = 4096
_BUSY_S = 0.25  # longest wait for another process's lock
_SLACK_PAGES = 32  # free pages that are kept, and given back at a time
_CHECKPOINT_PAGES = 250  # of the write-ahead log, 1 MB

_ADD_MESSAGE = "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?)"
_ADD_EVENT = """
INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO UPDATE
SET last_seq = excluded.last_seq, open = excluded.open,
    position = coalesce(excluded.position, position)
"""
_LAST_ROWS = 1000  # looked at for the last message that is whole
_CHECK_INSTRUCTIONS = 10_000  # of SQLite's machine, between readings of the clock
_OLDEST = """
SELECT seq, published_us, length(body) FROM messages
WHERE seq NOT IN (SELECT last_seq FROM events WHERE open = 1) ORDER BY seq LIMIT ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What the journal keeps; the oldest messages beyond either bound go.

    Attributes:
        keep_us: age.
        max_bytes: size of the file, not counting its write-ahead log of about a megabyte.
    """

    keep_us: int
    max_bytes: int

    @classmethod
    def of(cls, *, keep_days: float, max_mb: float) -> Self:
        """Take days, and units of 2^20 bytes."""
        return cls(keep_us=round(keep_days * 86_400e6), max_bytes=round(max_mb * 2**20))


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event without offset.

    Attributes:
        message: its latest.
        position: how far its source is known to have got since; None if it is not known.
    """

    message: EventMessage
    position: Moment | None


class Journal:
    """The file, opened for writing by the one thread that uses it.

    Every method may raise :class:`sqlite3.Error`; what it was to write is then not written.

    Attributes:
        is_new: whether it was made just now.
        last_seq: the highest number known to have been used; 0 for none.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            NotAJournal: something else is at the path.
            sqlite3.Error: it cannot be opened, or is damaged; see :func:`is_damage`.
            OSError: its folder cannot be used.
        """
        self._path = path
        for beside in ("", *BESIDE):
            _refuse_what_is_no_file(path.with_name(path.name + beside), link=not beside)
        _refuse_what_would_be_rolled_back(path.with_name(path.name + "-journal"))
        # Its content is private; SQLite gives its other files the same mode. A
        # file that is there is not touched: closing it here would undo SQLite's own locks on it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._inode = path.stat().st_ino
        self._connection = sqlite3.connect(
            path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            with damage_as_error():
                self._prepare()
                self.last_seq = self._read_last_seq()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        execute = self._connection.execute
        found = {
            name: execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        }
        # An empty file counts as new, and so does one whose making was cut off.
        self.is_new = (
            found["application_id"] == found["user_version"] == 0
            and not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        )
        if self.is_new:
            execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            execute("PRAGMA auto_vacuum = INCREMENTAL")
        elif found["application_id"] != APPLICATION_ID:
            raise NotAJournal("is no journal of streamsed")
        elif found["user_version"] != VERSION:
            raise NotAJournal(f"is a journal of version {found['user_version']}, not of {VERSION}")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA wal_autocheckpoint = 0")  # tidy does it, after messages were sent
        execute(f"PRAGMA journal_size_limit = {4 * _CHECKPOINT_PAGES * _PAGE_BYTES}")
        execute("PRAGMA cache_size = -512")
        if self.is_new:
            with self._transaction():
                for statement in SCHEMA.split(";"):
                    execute(statement)
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
                execute(f"PRAGMA user_version = {VERSION}")
        elif _schema_of(self._connection) != _expected_schema():
            raise NotAJournal("has other tables than a journal")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _unflushed(self) -> Iterator[None]:
        """Write something that a power cut may undo."""
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction():
                yield
        finally:
            self._connection.execute("PRAGMA synchronous = FULL")

    def _read_last_seq(self) -> int:
        """Return the last number there is, of messages that are what was written."""
        execute = self._connection.execute
        rows = execute(f"SELECT {ROW} FROM messages ORDER BY seq DESC LIMIT ?", (_LAST_ROWS,))  # noqa: S608
        last = next((row[0] for row in rows if is_whole(row)), 0)
        for table in ("gaps", "unused"):
            last = max(last, execute(f"SELECT max(last) FROM {table}").fetchone()[0] or 0)  # noqa: S608
        if not 0 <= last <= LARGEST_NUMBER:
            raise NotAJournal(f"holds the number {last}")
        return int(last)

    def check(self, limit_s: float) -> None:
        """Look for damage in the structure of the file, for as long as there is time.

        Raises:
            NotAJournal: there is some.
        """
        end = time.monotonic() + limit_s
        self._connection.set_progress_handler(
            lambda: int(time.monotonic() > end), _CHECK_INSTRUCTIONS
        )
        try:
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
                raise
            return
        finally:
            self._connection.set_progress_handler(None, 0)
        if found != "ok":
            raise NotAJournal(f"is damaged: {found}")

    def forget_after(self, seq: int) -> None:
        """Remove what has higher numbers than were ever used: damage made it."""
        with self._transaction():
            for table, column in (("messages", "seq"), ("gaps", "first"), ("unused", "first")):
                self._connection.execute(f"DELETE FROM {table} WHERE {column} > ?", (seq,))  # noqa: S608
            for table in ("gaps", "unused"):
                self._connection.execute(
                    f"UPDATE {table} SET last = ?1 WHERE last > ?1",  # noqa: S608
                    (seq,),
                )
        self.last_seq = self._read_last_seq()

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one at its path."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def append(
        self, entries: Sequence[JournalEntry], position: Callable[[str], Moment | None]
    ) -> None:
        """Write messages, all or none of them; they survive whatever happens afterwards.

        Args:
            entries: at least one, in the order of their numbers.
            position: returns how far a source has got, for events that begin or go on.
        """
        events = [
            _event_row(entry, entry.message, position)
            for entry in entries
            if isinstance(entry.message, EventMessage)
        ]
        with self._transaction():
            self._connection.executemany(
                _ADD_MESSAGE,
                (
                    (e.seq, e.published_us, e.topic.decode(), e.body.decode(), e.crc)
                    for e in entries
                ),
            )
            self._connection.executemany(_ADD_EVENT, events)
        self.last_seq = max(self.last_seq, entries[-1].seq)

    def add_gap(self, first: int, last: int) -> None:
        """Note that numbers may have been used for messages that are not here."""
        self._connection.execute("INSERT OR REPLACE INTO gaps VALUES (?, ?)", (first, last))
        self.last_seq = max(self.last_seq, last)

    def add_unused(self, first: int, last: int) -> None:
        """Record that numbers were not used."""
        self._connection.execute("INSERT OR REPLACE INTO unused VALUES (?, ?)", (first, last))
        self.last_seq = max(self.last_seq, last)

    def open_events(self) -> dict[UUID, OpenEvent]:
        """Return the events without offset, in the order of their latest messages.

        What is there but is no event message is left out.
        """
        rows = self._connection.execute(
            "SELECT CAST(body AS BLOB), CAST(position AS BLOB) FROM events"
            " JOIN messages ON seq = last_seq WHERE open = 1 ORDER BY seq"
        )
        found = {}
        for body, position in rows:
            with contextlib.suppress(ValidationError):
                message = EventMessage.model_validate_json(body)
                found[message.event_id] = OpenEvent(message, _moment(position))
        return found

    def knows_offset(self, event_id: UUID) -> bool:
        """Whether an event has ended."""
        row = self._connection.execute(
            "SELECT 1 FROM events WHERE event_id = ? AND open = 0", (event_id.bytes,)
        ).fetchone()
        return row is not None

    def is_whole_after(self, seq: int) -> bool:
        """Whether every message with a higher number is here, as it was written."""
        rows = self._connection.execute(
            f"SELECT {ROW} FROM messages WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
            (seq, _LAST_ROWS),
        )
        for row in rows:
            seq += 1
            if row[0] != seq or not is_whole(row):
                return False
        return seq == self.last_seq

    def set_open(self, events: Mapping[UUID, JournalEntry]) -> None:
        """Have just these events be without offset.

        Args:
            events: the latest message of each, by id.
        """
        rows = self._connection.execute("SELECT event_id FROM events WHERE open = 1")
        open_here = {event_id for (event_id,) in rows}
        wanted = {
            event_id.bytes: entry
            for event_id, entry in events.items()
            if entry.seq <= self.last_seq  # later ones are written with their messages
        }
        ended = open_here - wanted.keys()
        missing = [entry for row, entry in wanted.items() if row not in open_here]
        if ended:
            with self._transaction():
                self._connection.executemany(
                    "UPDATE events SET open = 0 WHERE event_id = ?", ((row,) for row in ended)
                )
        if missing:
            self.append(sorted(missing, key=lambda entry: entry.seq), lambda source: None)  # noqa: ARG005

    def note_positions(self, positions: Mapping[UUID, Moment]) -> None:
        """Note how far the sources of open events have got.

        Needed for the offset of an event left open by a process that dies. A power cut may undo it.
        """
        with self._unflushed():
            self._connection.executemany(
                "UPDATE events SET position = ? WHERE event_id = ?",
                ((moment.model_dump_json(), e.bytes) for e, moment in positions.items()),
            )

    def tidy(self, retention: Retention, *, age_us: Callable[[int], int], rows: int) -> None:
        """Remove what is too old or too much, a little at a time.

        Args:
            retention: what is kept.
            age_us: returns how long ago the clock showed a time, both in microseconds.
            rows: the most messages to remove.
        """
        self._prune(retention, age_us=age_us, rows=rows)
        if self._pragma("freelist_count") > 2 * _SLACK_PAGES:
            # A script, because `execute` would take one page and stop.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_SLACK_PAGES})")
        wal = self._path.with_name(self._path.name + "-wal")
        if wal.exists() and wal.stat().st_size > _CHECKPOINT_PAGES * _PAGE_BYTES:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _prune(self, retention: Retention, *, age_us: Callable[[int], int], rows: int) -> None:
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        excess_bytes = pages * _PAGE_BYTES - retention.max_bytes
        doomed: list[int] = []
        for seq, published_us, size_bytes in self._connection.execute(_OLDEST, (rows,)):
            if excess_bytes <= 0 and age_us(published_us) <= retention.keep_us:
                break
            doomed.append(seq)
            excess_bytes -= size_bytes
        if not doomed:
            return
        last = doomed[-1]
        with self._unflushed():
            execute = self._connection.execute
            self._connection.executemany(
                "DELETE FROM messages WHERE seq = ?", ((seq,) for seq in doomed)
            )
            execute("DELETE FROM events WHERE last_seq <= ? AND open = 0", (last,))
            for table in ("gaps", "unused"):
                execute(f"DELETE FROM {table} WHERE last <= ?", (last,))  # noqa: S608
            execute("INSERT OR REPLACE INTO gaps VALUES (1, ?)", (last,))

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def close(self) -> None:
        """Close the file; twice is fine."""
        with contextlib.suppress(sqlite3.Error):  # closed already, or the log stays for the next
            # SQLite does so by itself, but not while another process has the file open.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()


def _event_row(
    entry: JournalEntry, message: EventMessage, position: Callable[[str], Moment | None]
) -> tuple[object, ...]:
    is_open = message.kind is not Kind.OFFSET
    moment = position(message.source) if is_open else None
    return (
        message.event_id.bytes,
        message.source,
        message.label,
        microseconds(message.onset.utc),
        entry.seq,
        int(is_open),
        None if moment is None else moment.model_dump_json(),
    )


def _moment(text: bytes | None) -> Moment | None:
    if text is None:
        return None
    try:
        return Moment.model_validate_json(text)
    except ValidationError:
        return None


def _refuse_what_is_no_file(path: Path, *, link: bool) -> None:
    """Refuse a folder, a pipe or a device, which SQLite would wait for, or take for empty.

    Args:
        path: what is looked at; it need not exist.
        link: whether it may be a link to a file.
    """
    if path.is_symlink() and not link:
        raise NotAJournal(f"{path.name} is a link")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise NotAJournal(f"{path.name} is a link to nothing") from None
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAJournal(f"{path.name} is a link to itself") from None
        raise
    if not stat.S_ISREG(mode):
        raise NotAJournal(f"{path.name} is {kind_of(mode)}")


def _refuse_what_would_be_rolled_back(path: Path) -> None:
    """Refuse a rollback journal: whatever it holds, SQLite would write it over the file's pages.

    One of ours there can only be if the process ended while the file was made.
    """
    if path.exists() and path.stat().st_size:
        raise NotAJournal(f"has {path.name} beside it, which is none of its own")


def _schema_of(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    ).fetchall()


def _expected_schema() -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        return _schema_of(connection)
