"""Backlog: the latest messages that have a number, and the events that are open after them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from uuid import UUID

from streamsed.detect.events import Kind
from streamsed.publish.journal_format import JournalEntry, microseconds
from streamsed.publish.messages import EventMessage
from streamsed.publish.recent_messages import RecentMessages


class Backlog:
    """What there is to be journaled, kept until the journal has it or memory is needed.

    Added to by the thread that numbers; any thread may read.
    """

    def __init__(self) -> None:
        self._recent = RecentMessages()
        self._open: dict[UUID, JournalEntry] = {}
        self._last = 0
        self._began = False
        self._lock = threading.Lock()

    @property
    def began(self) -> bool:
        """Whether it is decided after which number this run begins."""
        return self._began

    @property
    def last(self) -> int:
        """The last number given, in this run or before it."""
        return self._last

    def begin(self, last_used: int) -> int:
        """Begin after a number, unless this run has begun already.

        Returns:
            The last number before this run's.
        """
        with self._lock:
            if not self._began:
                self._began = True
                self._last = self._before = last_used
                self._recent.begin(last_used)
            return self._before

    def left_open(self, events: Iterable[EventMessage]) -> None:
        """Add events of earlier runs that have no offset yet."""
        with self._lock:
            for event in events:
                entry = JournalEntry.of(
                    event, seq=event.seq, published_us=microseconds(event.published)
                )
                self._open.setdefault(event.event_id, entry)

    def add(self, entries: Iterable[JournalEntry]) -> None:
        """Add messages, in the order of their numbers."""
        with self._lock:
            self._recent.extend(entries)
            for entry in entries:
                self._last = entry.seq
                match entry.message:
                    case EventMessage(kind=Kind.OFFSET, event_id=event_id):
                        self._open.pop(event_id, None)
                    case EventMessage(event_id=event_id):
                        self._open[event_id] = entry

    def snapshot(self) -> tuple[int, dict[UUID, JournalEntry]]:
        """Return the last number, and the latest message of each event that is open after it."""
        with self._lock:
            return self._last, dict(self._open)

    def groups_after(self, seq: int, *, most: int) -> Iterator[list[JournalEntry]]:
        """Yield messages with higher numbers, as far as they are kept, so many at a time."""
        entries, _, _ = self._recent.after(seq)
        for first in range(0, len(entries), most):
            yield entries[first : first + most]
