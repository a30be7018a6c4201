"""Inbox: which sessions have something new for the detection thread."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Inbox(Generic[T]):
    """A set of items that have something new, so that the consumer need not check all.

    Any number of threads put, one takes. It holds each item once, however often it is put, so it
    is bounded by the number of items that there are.
    """

    def __init__(self) -> None:
        self._items: dict[T, None] = {}  # in order of arrival
        self._arrived = threading.Condition()
        self._woken = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add ``item``: it has something new."""
        with self._arrived:
            self._items[item] = None
            self._arrived.notify()

    def wake(self) -> None:
        """End the sleep of :meth:`take`, or the next one: there is something else to do."""
        with self._arrived:
            self._woken = True
            self._arrived.notify()

    def take(self, *, wait: bool, timeout_s: float | None = None) -> list[T]:
        """Return all items that were put, each once, in order of arrival; perhaps none.

        Args:
            wait: sleep until there is one.
            timeout_s: the longest sleep; None for any.
        """
        with self._arrived:
            if wait:
                self._arrived.wait_for(lambda: self._items or self._woken, timeout_s)
            self._woken = False
            taken, self._items = self._items, {}
        return list(taken)
