"""Archive: journal and ledger in their folder, and recovery from the state they are found in.

Everything here happens in the disk's thread. What cannot be written is tried again with back-off;
what cannot be read as a journal is set aside, and a new one goes on above it.
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
from pathlib import Path
from uuid import UUID

import structlog

from streamsed.ages import Ages
from streamsed.detect.events import Kind
from streamsed.publish import message_builders
from streamsed.publish.backlog import Backlog
from streamsed.publish.journal import Journal, OpenEvent, Retention
from streamsed.publish.journal_format import (
    BESIDE,
    JournalEntry,
    NotAJournal,
    damage_as_error,
    is_damage,
)
from streamsed.publish.ledger import SAME_TIME_NS, Ledger, LedgerContent
from streamsed.publish.messages import EventMessage, JournalCondition, JournalState, Moment
from streamsed.publish.set_aside import set_aside, was_set_aside
from streamsed.publish.unrecorded import Unrecorded

JOURNAL_NAME = "journal.sqlite"
_AGES_NAME = "journal.clock"
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 5.0  # until then the ledger alone records what is open
_REST_S = 60.0  # between files that are set aside
_MARGIN = 1_000_000  # numbers to skip where the clock is wrong
_GROUP = 256  # messages of one commit
_TIDY_S = 1.0  # between removals of what is too old
_TIDY_ROWS = 500  # removed at a time, or twice what came in
_CHECK_S = 2.0  # to check the structure of a journal after an unclean end

log = structlog.get_logger()

PositionOf = Callable[[str], Moment | None]
"""Gives how far a source has got; None if that is not known."""


class Archive:
    """Writes what was numbered, in order, to the journal and the ledger.

    Attributes:
        condition: how the journal is; any thread may read it.
        generation: rises when another file may have taken the place of the journal.
        interrupted: offsets of events that an earlier run left open, to be published.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backlog: Backlog,
        retention: Retention,
        position: PositionOf,
    ) -> None:
        self.path = folder / JOURNAL_NAME
        self.condition = JournalCondition(state=JournalState.OFF)
        self.generation = 0
        self.interrupted: deque[message_builders.MessageBuilder] = deque()
        self.unrecorded = Unrecorded(folder)
        self.journal: Journal | None = None
        self.ledger = Ledger(folder)
        self._folder = folder
        self._ages = Ages(folder / _AGES_NAME)
        self._backlog = backlog
        self._retention = retention
        self._position = position
        self._lock: int | None = None  # descriptor of the folder
        self._past: LedgerContent | None = None  # as the ledger was found
        self._restored = False  # whether all that was found is a copy from an earlier time
        self._used_elsewhere: int | None = None  # as the note of what is unrecorded was found
        self._adopted = False  # whether there was a journal in this run
        self._ended: set[UUID] = set()  # events of earlier runs that this one ends
        self._in_ledger = 0  # the last number there
        self._retry_at = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._set_aside_at = -math.inf
        self._tidy_at = 0.0
        self._new_rows = 0

    def begin(self) -> None:
        """Find the last number of earlier runs, and what they left open; then go on from there."""
        self._attach()
        if not self._backlog.began:
            self._begin_without()
        self._note()

    def write(self) -> None:
        """Write what was numbered: to the journal, and whatever becomes of that to the ledger."""
        if self.journal is not None:
            try:
                with damage_as_error():
                    self._write_to(self.journal)
            except (sqlite3.Error, OSError) as error:
                self._degrade(error)
        self._note()

    def beat(self) -> None:
        """Do what is due now and then: note positions, or try a journal that was out of order."""
        if self.journal is None:
            if time.monotonic() >= self._retry_at:
                self._attach()
            self._note()
            return
        try:
            if not (self._folder_in_place and self.journal.is_in_place):
                raise sqlite3.OperationalError("the file was removed")
            moments = {
                event_id: self._position(entry.message.source)
                for event_id, entry in self._backlog.snapshot()[1].items()
                if isinstance(entry.message, EventMessage)
            }
            known = {event_id: moment for event_id, moment in moments.items() if moment}
            if known:
                self.journal.note_positions(known)
            self._retry_s = _FIRST_RETRY_S
        except (sqlite3.Error, OSError) as error:
            self._degrade(error)
        self.write()

    @property
    def is_untidy(self) -> bool:
        """Whether it is time for :meth:`tidy`; any thread may read it."""
        return self.journal is not None and time.monotonic() >= self._tidy_at

    def tidy(self) -> None:
        """Remove some of what is too old; takes milliseconds."""
        if self.journal is None:
            return
        self._tidy_at = time.monotonic() + _TIDY_S
        rows = max(_TIDY_ROWS, 2 * self._new_rows)
        self._new_rows = 0
        try:
            self._ages.observe()
            self.journal.tidy(self._retention, age_us=self._age_us, rows=rows)
        except (sqlite3.Error, OSError) as error:
            self._degrade(error)

    def _age_us(self, published_us: int) -> int:
        return 0 if self._ages.waits else self._ages.age_us(published_us)

    def close(self) -> None:
        """Write what is left, after a last try if the journal was out of order; twice is fine."""
        if self.journal is None and self.condition.state is JournalState.DEGRADED:
            self._attach()
        if self._lock is None:
            return
        self.write()
        if self.journal is not None:
            self._ages.observe()
            self._ages.save()
            with contextlib.suppress(sqlite3.Error, OSError):
                self.journal.close()
            self.journal = None
        try:
            self.ledger.close(self._in_ledger)
        except OSError:
            self._give_up_ledger()
        os.close(self._lock)
        self._lock = None

    @property
    def _folder_in_place(self) -> bool:
        if self._lock is None:
            return False
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._lock), self._folder.stat())
        return False

    def _lock_folder(self) -> None:
        """Keep other daemons away from the folder for as long as this one lives.

        Raises:
            OSError: the folder cannot be used, or another daemon does.
        """
        if self._folder_in_place:
            return
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            self.ledger.release()
            self.ledger = Ledger(self._folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise OSError(
                    error.errno,
                    "another streamsed uses this folder; journal.path gives each its own",
                ) from error
            raise
        self._lock = descriptor
        if self._past is None or not self._adopted:
            self._past = self.ledger.read()
            self._restored = self._is_copy(self._past)
            self._used_elsewhere = self.unrecorded.read()
        else:  # this run's numbers hold, whatever was put there
            self.ledger.read()
        self._ages.open()

    def _is_copy(self, past: LedgerContent) -> bool:
        """Whether ledger and journal are copies from an earlier time, as of a backup.

        Both are whole then, and were changed after the last that was written to the ledger. One
        that is damaged lacks its latest records, and so shows nothing about the journal.
        """
        if not (past.whole and past.changed):
            return False
        changed_ns = []
        for suffix in ("", "-wal"):
            with contextlib.suppress(OSError):
                path = self.path.with_name(self.path.name + suffix)
                changed_ns.append(path.stat().st_ctime_ns)
        return bool(changed_ns) and min(changed_ns) > past.written_ns + SAME_TIME_NS

    def _attach(self) -> None:
        try:
            with damage_as_error():
                self._lock_folder()
                self._adopt(self._opened())
        except (sqlite3.Error, OSError) as error:
            self._degrade(error)
            return
        if self.condition.state is JournalState.DEGRADED:
            log.info("journal_restored", path=str(self.path))
        self.condition = JournalCondition(state=JournalState.ON)

    def _opened(self) -> Journal:
        log_left = self.path.with_name(self.path.name + "-wal").exists()
        journal = Journal(self.path)
        try:
            if not self._adopted and (log_left or not (self._past and self._past.closed)):
                journal.check(_CHECK_S)
        except BaseException:
            journal.close()
            raise
        return journal

    def _adopt(self, journal: Journal) -> None:
        """Bring a journal that was just opened up to date, and write to it from now on."""
        try:
            if self._adopted:
                if journal.last_seq > self._backlog.last:
                    raise NotAJournal("is not the one of this run")
            else:
                self._look_back(journal)
            journal.set_open(self._catch_up(journal))
        except BaseException:
            journal.close()
            raise
        self.journal = journal
        self._adopted = True
        self.generation += 1

    def _look_back(self, journal: Journal) -> None:
        """Find what earlier runs used and left open, and account for it."""
        past = self._past or LedgerContent()
        doubt = self._doubt(past, journal)
        journal.forget_after(max(past.last, journal.last_seq) if doubt else journal.last_seq)
        used = max(past.last, journal.last_seq, self._used_elsewhere or 0)
        first_of_all = journal.is_new and not past.exists and not was_set_aside(self.path)
        first_of_all = first_of_all and self._used_elsewhere is None
        begun = self._backlog.began
        began = self._backlog.begin(beyond(used) - 1 if doubt or first_of_all else used)
        if began < journal.last_seq:
            raise NotAJournal("holds higher numbers than this run's")
        if doubt and not first_of_all:
            log.warning("numbers_skipped", why=doubt, known=used, first=began + 1)
        if journal.is_new and began:
            journal.add_gap(0 if first_of_all else 1, began)
        elif began > journal.last_seq:
            add = journal.add_gap if doubt or not begun else journal.add_unused
            add(journal.last_seq + 1, began)
        # Whatever was open in a copy has ended since, with an offset that was sent.
        self._interrupt({} if self._restored else _left(past, journal))

    def _doubt(self, past: LedgerContent, journal: Journal) -> str | None:
        """Return why the numbers that were used are not known for certain; None if they are."""
        if past.doubt is not None:
            return past.doubt
        if self._used_elsewhere is not None:
            return "messages were sent that could not be recorded"
        if journal.is_new and past.last:
            return "the journal is gone"
        if journal.last_seq < past.last:
            return "the journal lacks its latest messages"
        if not journal.is_whole_after(past.last):
            return "the journal's latest messages are damaged"
        return None

    def _begin_without(self) -> None:
        """Begin, though there is no journal for now."""
        past = self._past or LedgerContent()
        self._backlog.begin(beyond(max(past.last, self._used_elsewhere or 0)) - 1)
        if past.whole and not self._restored:
            self._interrupt({e: OpenEvent(m, None) for e, m in past.open_events.items()})

    def _interrupt(self, left: dict[UUID, OpenEvent]) -> None:
        new = [event for event_id, event in left.items() if event_id not in self._ended]
        if not new:
            return
        log.warning("events_interrupted", by="the end of an earlier run", events=len(new))
        self._ended.update(left)
        self._backlog.left_open(event.message for event in new)
        self.interrupted.extend(
            message_builders.interrupted(event.message, position=event.position) for event in new
        )

    def _catch_up(self, journal: Journal) -> dict[UUID, JournalEntry]:
        """Write all that is kept of what was numbered, and account for the rest.

        Where the disk is slow, more is numbered meanwhile.

        Returns:
            The latest message of each event that is open after the journal's last number.
        """
        while True:
            self._write_to(journal)
            last, open_events = self._backlog.snapshot()
            if last <= journal.last_seq:
                return open_events
            if not any(self._backlog.groups_after(journal.last_seq, most=_GROUP)):
                journal.add_gap(journal.last_seq + 1, last)

    def _write_to(self, journal: Journal) -> None:
        for entries in self._backlog.groups_after(journal.last_seq, most=_GROUP):
            if entries[0].seq > journal.last_seq + 1:
                journal.add_gap(journal.last_seq + 1, entries[0].seq - 1)
            journal.append(entries, self._position)
            self._new_rows += len(entries)

    def _note(self) -> None:
        """Record in the ledger what was numbered since."""
        if self._lock is None or not self._backlog.began:
            return
        if not (self._adopted or (self._past and self._past.whole)):
            return  # it would hide that what was found is in doubt
        is_long = False
        try:
            if self.ledger.is_open and not self.unrecorded.is_set:
                for entries in self._backlog.groups_after(self._in_ledger, most=_GROUP):
                    if entries[0].seq > self._in_ledger + 1:
                        break
                    onsets, offsets = _events_of(entries)
                    is_long = self.ledger.note(entries[-1].seq, onsets=onsets, offsets=offsets)
                    self._in_ledger = entries[-1].seq
            last, open_events = self._backlog.snapshot()
            lacks = last > self._in_ledger or not self.ledger.is_open or self.unrecorded.is_set
            if lacks or is_long:
                try:
                    self.ledger.begin(last, (entry.body for entry in open_events.values()))
                except OSError:
                    if lacks or not self.ledger.is_open:
                        raise
                    return  # the one in use has room yet
                self._in_ledger = last
                self.unrecorded.remove()
        except OSError:
            self._give_up_ledger()

    def _give_up_ledger(self) -> None:
        """Remove the ledger, which lacks messages."""
        try:
            self.ledger.remove()
        except OSError:
            self.unrecorded.write(self._backlog.last)

    def _degrade(self, error: sqlite3.Error | OSError) -> None:
        if self.journal is not None:
            with contextlib.suppress(sqlite3.Error):
                self.journal.close()
            self.journal = None
        reason = _reason(error)
        before = self.condition
        self.condition = JournalCondition(
            state=JournalState.DEGRADED, message=f"{self.path}: {reason}"
        )
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
        # A disk that damages whatever is written to it must not keep the thread busy.
        rested = time.monotonic() - self._set_aside_at > _REST_S
        if is_damage(error) and rested and (aside := self._set_aside()) is not None:
            log.error("journal_set_aside", reason=reason, path=str(aside))
            self._attach()
        elif self.condition != before:
            log.error("journal_degraded", reason=reason, path=str(self.path))

    def _set_aside(self) -> Path | None:
        """Move what is no journal out of the way, after a last look at its open events."""
        self._set_aside_at = time.monotonic()
        if not self._adopted and not (self._past and self._past.whole):
            with (
                contextlib.suppress(sqlite3.Error, OSError),
                damage_as_error(),
                contextlib.closing(Journal(self.path)) as damaged,
            ):
                self._backlog.begin(beyond(damaged.last_seq) - 1)
                self._interrupt(damaged.open_events())
        return set_aside(self.path, beside=BESIDE)


def _events_of(entries: Sequence[JournalEntry]) -> tuple[list[bytes], list[UUID]]:
    """Return the messages of events that begin or go on, and which end."""
    onsets, offsets = [], []
    for entry in entries:
        match entry.message:
            case EventMessage(kind=Kind.OFFSET, event_id=event_id):
                offsets.append(event_id)
            case EventMessage():
                onsets.append(entry.body)
    return onsets, offsets


def _left(past: LedgerContent, journal: Journal) -> dict[UUID, OpenEvent]:
    """Return the events that an earlier run has left open.

    Journal and ledger may each lack the end, where either was damaged or restored. What is whole is
    believed up to its last number, and the other from there on.
    """
    in_journal = journal.open_events()
    if past.whole and past.last >= journal.last_seq:
        positions = {event_id: event.position for event_id, event in in_journal.items()}
        return {e: OpenEvent(m, positions.get(e)) for e, m in past.open_events.items()}
    if past.whole:
        in_ledger = {
            event_id: in_journal.get(event_id) or OpenEvent(message, None)
            for event_id, message in past.open_events.items()
            if event_id in in_journal or not journal.knows_offset(event_id)
        }
        return in_ledger | {e: o for e, o in in_journal.items() if o.message.seq > past.last}
    in_ledger = {
        event_id: OpenEvent(message, None)
        for event_id, message in past.open_events.items()
        if message.seq > journal.last_seq
    }
    return {e: o for e, o in in_journal.items() if e not in past.ended} | in_ledger


def _reason(error: sqlite3.Error | OSError) -> str:
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return text[:1].lower() + text[1:]


def beyond(last: int) -> int:
    """Return a number that cannot have been used, given the last that is known."""
    now_us = time.time_ns() // 1000
    return now_us if now_us > last else last + _MARGIN  # the clock is wrong
