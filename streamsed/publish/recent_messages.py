"""Recent messages: the latest messages, in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from itertools import takewhile

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

    def after(self, seq: int) -> tuple[list[JournalEntry], int, int]:
        """Return the messages with higher numbers.

        Returns:
            The messages; the number after which every message is here; the last number used.
        """
        with self._lock:
            newest_first = list(takewhile(lambda e: e.seq > seq, reversed(self._entries)))
            last = self._entries[-1].seq if self._entries else self._before
            return newest_first[::-1], self._before, last
