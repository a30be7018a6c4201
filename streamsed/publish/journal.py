"""Journal: the SQLite file that holds every numbered message.

It is in WAL mode, so that readers (:mod:`streamsed.publish.journal_reader`) never hold up the one
writer, and with ``synchronous=FULL``, so that what has been committed survives a power cut as well
as the end of the process. That costs a flush of the disk for each commit, which is why messages
are written in groups. What need not survive a power cut is written without.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self
from uuid import UUID

from pydantic import ValidationError

from streamsed.detect.events import Kind
from streamsed.publish.messages import EventMessage, Moment, NumberedMessage

APPLICATION_ID = 0x53454431  # "SED1"; `file` shows it
VERSION = 1

_PAGE_BYTES = 4096
_BUSY_S = 0.25  # longest wait for somebody else's lock
_SLACK_PAGES = 32  # free pages that are kept, and given back at a time
_CHECKPOINT_PAGES = 250  # of the write-ahead log, 1 MB

_SCHEMA = """
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    published_us INTEGER NOT NULL,  -- microseconds of UTC since 1970
    topic TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE events (
    event_id BLOB PRIMARY KEY,
    source TEXT NOT NULL,
    label TEXT NOT NULL,
    onset_us INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,      -- its latest message
    open INTEGER NOT NULL,          -- 1 until its offset
    position TEXT                   -- how far its source has got while it is open: a Moment
) WITHOUT ROWID;
CREATE INDEX events_by_onset ON events (onset_us);
CREATE INDEX events_by_last_message ON events (last_seq);
CREATE INDEX open_events ON events (last_seq) WHERE open = 1;
CREATE TABLE gaps (                 -- numbers whose messages are not here, though they may have
    first INTEGER PRIMARY KEY,      -- been sent: pruned, or used while there was no journal
    last INTEGER NOT NULL
);
"""
_ADD_MESSAGE = "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?)"
_ADD_EVENT = """
INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO UPDATE
SET last_seq = excluded.last_seq, open = excluded.open,
    position = coalesce(excluded.position, position)
"""
_OLDEST = """
SELECT seq, published_us, length(body) FROM messages
WHERE seq NOT IN (SELECT last_seq FROM events WHERE open = 1) ORDER BY seq LIMIT ?
"""


def microseconds(moment: datetime) -> int:
    """Return microseconds of UTC since 1970."""
    return round(moment.timestamp() * 1e6)


@dataclass(frozen=True, slots=True)
class Entry:
    """A numbered message as it is journaled and sent."""

    seq: int
    published_us: int
    message: NumberedMessage
    topic: bytes
    body: bytes

    @classmethod
    def of(cls, message: NumberedMessage, *, seq: int, published_us: int) -> Self:
        """Write a message out."""
        topic, body = message.frames()
        return cls(seq, published_us, message, topic, body)


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
            sqlite3.Error: it cannot be opened, is damaged, or is no journal of this version.
            OSError: its folder cannot be used.
        """
        # Who heard what is nobody else's business; SQLite gives its other files the same mode. A
        # file that is there is not touched: closing it here would undo SQLite's own locks on it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._inode = path.stat().st_ino
        self._path = path
        self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            self._prepare()
            self.last_seq = self._read_last_seq()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        execute = self._connection.execute
        self.is_new = False
        (application_id,), (version,) = (
            execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        if (application_id, version) == (0, 0):
            self.is_new = True
            execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            execute("PRAGMA auto_vacuum = INCREMENTAL")
        elif (application_id, version) != (APPLICATION_ID, VERSION):
            raise sqlite3.DatabaseError(f"no journal of version {VERSION}")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA wal_autocheckpoint = 0")  # tidy does it, after messages were sent
        execute(f"PRAGMA journal_size_limit = {4 * _CHECKPOINT_PAGES * _PAGE_BYTES}")
        execute("PRAGMA cache_size = -512")
        if self.is_new:
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    execute(statement)
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
                execute(f"PRAGMA user_version = {VERSION}")

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
        row = self._connection.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM messages), 0),"
            " coalesce((SELECT max(last) FROM gaps), 0))"
        ).fetchone()
        return int(row[0])

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one at its path."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def append(self, entries: Sequence[Entry], position: Callable[[str], Moment | None]) -> None:
        """Write messages, all or none of them; they survive whatever happens afterwards.

        Args:
            entries: at least one, in the order of their numbers.
            position: says how far a source has got, for events that begin or go on.
        """
        events = [
            _event_row(entry, entry.message, position)
            for entry in entries
            if isinstance(entry.message, EventMessage)
        ]
        with self._transaction():
            self._connection.executemany(
                _ADD_MESSAGE,
                ((e.seq, e.published_us, e.topic.decode(), e.body.decode()) for e in entries),
            )
            self._connection.executemany(_ADD_EVENT, events)
        self.last_seq = max(self.last_seq, entries[-1].seq)

    def add_gap(self, first: int, last: int) -> None:
        """Note that numbers may have been used for messages that are not here."""
        self._connection.execute("INSERT OR REPLACE INTO gaps VALUES (?, ?)", (first, last))
        self.last_seq = max(self.last_seq, last)

    def open_events(self) -> dict[UUID, OpenEvent]:
        """Return the events without offset, in the order of their latest messages.

        Raises:
            sqlite3.DatabaseError: also if what is there is no message.
        """
        rows = self._connection.execute(
            "SELECT body, position FROM events JOIN messages ON seq = last_seq"
            " WHERE open = 1 ORDER BY seq"
        )
        try:
            found = [
                OpenEvent(
                    EventMessage.model_validate_json(body),
                    None if position is None else Moment.model_validate_json(position),
                )
                for body, position in rows
            ]
        except ValidationError as error:
            damaged = sqlite3.DatabaseError("holds what is no event message")
            damaged.sqlite_errorname = "SQLITE_CORRUPT"
            raise damaged from error
        return {event.message.event_id: event for event in found}

    def forget_open(self, events: Sequence[UUID]) -> None:
        """Take note that events have ended, though their offsets are not here."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE events SET open = 0 WHERE event_id = ?", ((e.bytes,) for e in events)
            )

    def note_positions(self, positions: Mapping[UUID, Moment]) -> None:
        """Note how far the sources of open events have got.

        Needed for the offset of an event that nobody lives to end; a power cut may undo it.
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
            age_us: says how long ago the clock showed a time, both in microseconds.
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
            execute("DELETE FROM gaps WHERE last <= ?", (last,))
            execute("INSERT OR REPLACE INTO gaps VALUES (1, ?)", (last,))

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def close(self) -> None:
        """Close the file; twice is fine."""
        with contextlib.suppress(sqlite3.Error):  # closed already, or the log stays for the next
            # SQLite does so by itself, but not while somebody else has the file open.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()


def _event_row(
    entry: Entry, message: EventMessage, position: Callable[[str], Moment | None]
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
