"""Recent messages: the latest messages, in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from itertools import islice

from streamsed.publish.journal_format import JournalEntry

RECENT_MESSAGES = 2000


class RecentMessages:
    """The latest numbered messages: also what the journal lacks while it is out of order.

    Written by the publisher's thread; any thread may read.
    """

    def __init__(self, most: int = RECENT_MESSAGES) -> None:
        """Keep at most so many messages."""
        self._entries: deque[JournalEntry] = deque(maxlen=most)
        self._before = 0  # every message with a higher number is here
        self._lock = threading.Lock()

    def begin(self, before: int) -> None:
        """Say that the numbers up to ``before`` were used in an earlier run."""
        with self._lock:
            self._before = before

    def extend(self, entries: Iterable[JournalEntry]) -> None:
        """Add messages, in the order of their numbers."""
        with self._lock:
            for entry in entries:
                if len(self._entries) == self._entries.maxlen:
                    self._before = self._entries[0].seq
                self._entries.append(entry)

    def after(self, seq: int, *, most: int | None = None) -> tuple[list[JournalEntry], int, int]:
        """Return the messages with higher numbers.

        Args:
            seq: the number.
            most: how many at most, the first of them; None for all.

        Returns:
            The messages; the number after which every message is here; the last number used.
        """
        with self._lock:
            entries = self._entries
            last = entries[-1].seq if entries else self._before
            begin = max(0, len(entries) - max(0, last - seq))  # numbers rise by one
            end = None if most is None else begin + most
            return list(islice(entries, begin, end)), self._before, last
