"""What a journal's file holds: its tables, a message as a row of them, and what is damage."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from streamsed.publish.messages import NumberedMessage

APPLICATION_ID = 0x53454431  # "SED1"; `file` shows it
VERSION = 2
ROW = "seq, published_us, CAST(topic AS BLOB), CAST(body AS BLOB), crc"  # see is_whole
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite adds to the name for its other files

SCHEMA = """
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    published_us INTEGER NOT NULL,  -- microseconds of UTC since 1970
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    crc INTEGER NOT NULL            -- of all of that: SQLite itself has no checksums
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
    first INTEGER PRIMARY KEY,      -- been sent: pruned, or used while there was no journal, or
    last INTEGER NOT NULL           -- (from 0 on) before the first journal of all
);
CREATE TABLE unused (               -- numbers that were not used
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL
);
"""
# What is wrong with the disk, or the moment; everything else is wrong with the file.
_NOT_THE_FILE = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_CANTOPEN",
    "SQLITE_READONLY",
    "SQLITE_NOMEM",
    "SQLITE_INTERRUPT",
    "SQLITE_PERM",
    "SQLITE_AUTH",
    "SQLITE_PROTOCOL",
    "SQLITE_NOLFS",
)
_THE_FILE = ("SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS", "SQLITE_IOERR_DATA")


def microseconds(moment: datetime) -> int:
    """Return microseconds of UTC since 1970."""
    return round(moment.timestamp() * 1e6)


def checksum(seq: int, published_us: int, topic: bytes, body: bytes) -> int:
    """Return the CRC-32 of a row of ``messages``."""
    return zlib.crc32(body, zlib.crc32(topic, zlib.crc32(b"%d %d " % (seq, published_us))))


def is_whole(row: tuple[int, int, bytes, bytes, int]) -> bool:
    """Whether a row of ``messages`` is as it was written; its texts are read as bytes."""
    seq, published_us, topic, body, crc = row
    try:
        return checksum(seq, published_us, topic, body) == crc
    except TypeError:  # it need not even hold a number
        return False


class NotAJournal(sqlite3.DatabaseError):
    """What is at the path cannot be read as a journal."""


def is_damage(error: Exception) -> bool:
    """Whether the file is at fault, and not the disk or another process's lock."""
    if isinstance(error, NotAJournal):
        return True
    name = getattr(error, "sqlite_errorname", None)
    if name is None:
        return False
    return name in _THE_FILE or not name.startswith(_NOT_THE_FILE)


@contextmanager
def damage_as_error() -> Iterator[None]:
    """Turn exceptions that damaged content causes into errors of the file."""
    try:
        yield
    except sqlite3.Error:
        raise
    except (ValueError, TypeError, OverflowError) as error:  # pydantic's and Unicode's are such
        raise NotAJournal(f"holds what no journal holds: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class JournalEntry:
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

    @property
    def crc(self) -> int:
        """The checksum of its row."""
        return checksum(self.seq, self.published_us, self.topic, self.body)
