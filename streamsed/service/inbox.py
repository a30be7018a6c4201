"""Inbox: which streams have something new for the detection thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Names what has news, so that the one who waits need not look at everything.

    Any number of threads put, one takes. Its size is bounded by the queues whose news it brings:
    an entry is put for each block, and blocks are bounded.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._arrived = threading.Event()

    def put(self, item: T) -> None:
        """Say that there is news of ``item``."""
        self._items.append(item)
        self._arrived.set()

    def take(self, *, wait: bool) -> list[T]:
        """Return everything that has news, each once, in order of arrival.

        Args:
            wait: sleep until there is news; otherwise the list may be empty.
        """
        if wait:
            self._arrived.wait()
        self._arrived.clear()  # before looking: what comes later sets it again
        taken: dict[T, None] = {}
        while self._items:
            taken[self._items.popleft()] = None
        return list(taken)
