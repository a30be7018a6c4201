"""Recorder: numbers messages and writes them to the journal before they are sent.

Publishing never depends on the journal. Where it cannot be written (a full disk, a file that is
read-only, locked or damaged) messages are numbered all the same, the newest are kept in memory, and
the journal is tried again with back-off; a damaged file is set aside and a new one begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from streamsed.ages import Ages
from streamsed.publish import compose
from streamsed.publish.journal import Entry, Journal, OpenEvent, Retention, microseconds
from streamsed.publish.journal_seal import Seal
from streamsed.publish.last_values import LastValues
from streamsed.publish.messages import EventMessage, JournalCondition, JournalState, Moment
from streamsed.publish.tail import Tail

JOURNAL_NAME = "journal.sqlite"
_SEAL_NAME = "journal.sealed"
_AGES_NAME = "journal.clock"
_BROKEN_SUFFIX = ".broken"
_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0
_MARGIN = 1_000_000  # numbers to skip where the clock does not tell
_TIDY_S = 1.0  # between removals of what is too old
_TIDY_ROWS = 500  # removed at a time, or twice what came in

_KEEP_ALL = Retention(keep_us=2**62, max_bytes=2**62)

log = structlog.get_logger()

PositionOf = Callable[[str], Moment | None]
"""Says how far a source has got; None if that is not known."""


class Recorder:
    """Gives messages their numbers, and a place in the journal.

    Belongs to the publisher's thread; any thread may read its attributes.

    Numbers rise by one, over restarts too. Only where the numbers used before cannot be known they
    skip ahead, to the microseconds since 1970: beyond anything that can have been used.

    Attributes:
        last_seq: the last number given; 0 before the first.
        condition: how the journal is.
        tail: the latest messages.
        last_values: open events, and the last status messages.
        generation: rises when another file may have taken the place of the journal.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        retention: Retention = _KEEP_ALL,
        position: PositionOf = lambda source: None,  # noqa: ARG005
    ) -> None:
        """Take what it works with; :meth:`open` opens the file.

        Args:
            folder: where the journal lies; None for no journal at all.
            retention: how much of it is kept.
            position: asked, as events begin and go on, how far their sources have got.
        """
        self.last_seq = 0
        self.condition = JournalCondition(state=JournalState.OFF)
        self.tail = Tail()
        self.last_values = LastValues()
        self.generation = 0
        self._folder = folder
        self._path = (folder or Path()) / JOURNAL_NAME
        self._seal = Seal(self._path.with_name(_SEAL_NAME))
        self._ages = Ages(self._path.with_name(_AGES_NAME))
        self._retention = retention
        self._position = position
        self._journal: Journal | None = None
        self._folder_lock: int | None = None
        self._was_whole = False  # the journal held every number of earlier runs
        self._attached_before = False
        self._interrupted: deque[compose.Draft] = deque()
        self._ended: set[UUID] = set()  # events of an earlier run that this one ends
        self._began: int | None = None  # the last number before this run's
        self._retry_at = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._set_aside_at = -math.inf
        self._tidy_at = 0.0
        self._new_rows = 0

    @property
    def path(self) -> Path | None:
        """The file; None if there is to be none."""
        return None if self._folder is None else self._path

    def open(self) -> None:
        """Open the journal and go on from its last number."""
        if self._folder is None:
            self._begin(_beyond(0) - 1)
        else:
            self._attach()

    def take_interrupted(self) -> list[compose.Draft]:
        """Return the offsets of events that a run before left open; they come before all else."""
        taken = list(self._interrupted)
        self._interrupted.clear()
        return taken

    def record(self, drafts: Sequence[compose.Draft]) -> list[Entry]:
        """Number messages, and write them as one group.

        Returns:
            What is to be sent: in the journal, if that is in order.
        """
        entries = []
        for draft in drafts:
            published = datetime.now(UTC)
            message = draft(self.last_seq + 1, published)
            self.last_seq += 1
            entry = Entry.of(message, seq=self.last_seq, published_us=microseconds(published))
            entries.append(entry)
        trouble = None
        if self._journal is not None and entries:
            try:
                self._journal.append(entries, self._position)
                self._new_rows += len(entries)
            except sqlite3.Error as error:
                trouble = error
        self.tail.extend(entries)  # not before they are safe, for others read it
        if trouble is not None:
            self._degrade(trouble)
        for entry in entries:
            self.last_values.note(entry.message)
        return entries

    def beat(self) -> None:
        """Do what is due now and then: note positions, or try a journal that was out of order."""
        if self._folder is None:
            return
        if self._journal is None:
            if time.monotonic() >= self._retry_at:
                self._attach()
            return
        try:
            if not self._journal.is_in_place:
                raise sqlite3.OperationalError("the file was removed")
            moments = {
                event_id: self._position(event.source)
                for event_id, event in self.last_values.open_events.items()
            }
            known = {event_id: moment for event_id, moment in moments.items() if moment}
            if known:
                self._journal.note_positions(known)
            self._retry_s = _FIRST_RETRY_S
        except (sqlite3.Error, OSError) as error:
            self._degrade(error)

    def tidy(self) -> None:
        """Remove some of what is too old, if it is time; takes milliseconds."""
        if self._journal is None or time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + _TIDY_S
        rows = max(_TIDY_ROWS, 2 * self._new_rows)
        self._new_rows = 0
        self._ages.observe()
        try:
            self._journal.tidy(self._retention, age_us=self._age_us, rows=rows)
        except (sqlite3.Error, OSError) as error:
            self._degrade(error)

    def _age_us(self, published_us: int) -> int:
        return 0 if self._ages.waits else self._ages.age_us(published_us)

    def close(self) -> None:
        """Close the journal, after a last try if it was out of order; twice is fine."""
        if self._journal is None and self.condition.state is JournalState.DEGRADED:
            self._attach()
        if self._journal is not None:
            self._ages.observe()
            self._ages.save()
            with contextlib.suppress(sqlite3.Error, OSError):
                self._journal.close()
                self._seal.close()
            self._journal = None
        if self._folder_lock is not None:
            os.close(self._folder_lock)
            self._folder_lock = None

    def _attach(self) -> None:
        try:
            self._lock_folder()
            self._adopt(Journal(self._path))
        except (sqlite3.Error, OSError) as error:
            self._degrade(error)
            return
        if self.condition.state is JournalState.DEGRADED:
            log.info("journal_restored", path=str(self._path))
        self.condition = JournalCondition(state=JournalState.ON)
        self._attached_before = True

    def _adopt(self, journal: Journal) -> None:
        """Bring a journal that was just opened up to date, and write to it from now on."""
        try:
            left = journal.open_events()
            whole = self._was_whole and not journal.is_new
            began = self._began
            if began is None:
                began = self._begin(self._last_used(journal, whole=whole))
            unwritten, _, _ = self.tail.after(journal.last_seq)
            first = unwritten[0].seq if unwritten else self.last_seq + 1
            # Numbers that this run skipped as it began without the journal were used by nobody.
            skipped = whole and not self._attached_before
            accounted = max(journal.last_seq, began if skipped else 0)
            if first > accounted + 1:
                journal.add_gap(accounted + 1, first - 1)
            open_now = self.last_values.open_events
            if missing := [m for event_id, m in open_now.items() if event_id not in left]:
                journal.append([_written_again(m) for m in missing], self._position)
            if unwritten:
                journal.append(unwritten, self._position)
            if self._attached_before:
                journal.forget_open([e for e in journal.open_events() if e not in open_now])
            self._seal.set()
            if not self._attached_before:
                self._interrupt(left)
        except BaseException:
            journal.close()
            raise
        self._journal = journal
        self.generation += 1

    def _begin(self, last_used: int) -> int:
        self.last_seq = self._began = last_used
        self.tail.begin(last_used)
        return last_used

    def _last_used(self, journal: Journal, *, whole: bool) -> int:
        """Return the last number that earlier runs can have used."""
        first_of_all = journal.is_new and not (self._seal.exists() or self._broken.exists())
        certain = whole or first_of_all
        return journal.last_seq if certain else _beyond(journal.last_seq) - 1

    def _interrupt(self, left: dict[UUID, OpenEvent]) -> None:
        new = [event for event_id, event in left.items() if event_id not in self._ended]
        if new:
            log.warning("events_interrupted", by="the end of an earlier run", events=len(new))
        self._ended.update(left)
        self._interrupted.extend(
            compose.interrupted(event.message, position=event.position) for event in new
        )

    def _lock_folder(self) -> None:
        """Keep other daemons away from the journal for as long as this one lives.

        Raises:
            OSError: the folder cannot be used, or another daemon does.
        """
        if self._folder_lock is not None:
            return
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise OSError(error.errno, "another streamsed uses it") from error
        self._folder_lock = descriptor
        self._was_whole = self._seal.is_whole()
        self._ages.open()

    def _degrade(self, error: sqlite3.Error | OSError) -> None:
        if self._journal is not None:
            with contextlib.suppress(sqlite3.Error):
                self._journal.close()
            self._journal = None
        reason = _reason(error)
        before = self.condition
        self.condition = JournalCondition(
            state=JournalState.DEGRADED, message=f"{self._path}: {reason}"
        )
        with contextlib.suppress(OSError):  # where it cannot be removed nothing can be done
            if self._folder_lock is not None:
                self._seal.remove()
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
        damaged = getattr(error, "sqlite_errorname", "") in _DAMAGED
        # A disk that damages whatever is written to it must not keep anybody busy.
        if damaged and time.monotonic() - self._set_aside_at > _LAST_RETRY_S and self._set_aside():
            log.error("journal_set_aside", reason=reason, path=str(self._broken))
            self._attach()
        elif self.condition != before:
            log.error("journal_degraded", reason=reason, path=str(self._path))
        if self._began is None:
            self._begin(_beyond(0) - 1)

    @property
    def _broken(self) -> Path:
        return self._path.with_name(JOURNAL_NAME + _BROKEN_SUFFIX)

    def _set_aside(self) -> bool:
        """Move a damaged journal out of the way, in place of an earlier one."""
        self._set_aside_at = time.monotonic()
        self._salvage()
        try:
            for suffix in ("-shm", "-wal", ""):
                part = self._path.with_name(JOURNAL_NAME + suffix)
                if part.exists():
                    part.replace(self._broken.with_name(self._broken.name + suffix))
        except OSError:
            return False
        return True

    def _salvage(self) -> None:
        """Take from a damaged journal, at the start, what goes on: its number and open events."""
        if self._began is not None:
            return
        with contextlib.suppress(sqlite3.Error), contextlib.closing(Journal(self._path)) as damaged:
            self._begin(_beyond(damaged.last_seq) - 1)
            self._interrupt(damaged.open_events())


def _written_again(message: EventMessage) -> Entry:
    return Entry.of(message, seq=message.seq, published_us=microseconds(message.published))


def _reason(error: sqlite3.Error | OSError) -> str:
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return text[:1].lower() + text[1:]


def _beyond(last: int) -> int:
    """Return a number that nobody can have used, given the last that is known."""
    now_us = time.time_ns() // 1000
    return now_us if now_us > last else last + _MARGIN  # the clock is wrong
