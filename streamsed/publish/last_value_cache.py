"""Last-value cache: open events and last states, for late joiners."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from streamsed.detect.events import Kind
from streamsed.publish.messages import (
    DaemonMessage,
    EventMessage,
    NumberedMessage,
    StatusMessage,
)


class LastValueCache:
    """The events that are open, and the last status on each topic.

    Written by the publisher's thread; any thread may read. Bounded by the number of sources and
    classes.
    """

    def __init__(self) -> None:
        self._open: dict[UUID, EventMessage] = {}
        self._status: dict[bytes, StatusMessage | DaemonMessage] = {}
        self._lock = threading.Lock()

    def update(self, message: NumberedMessage) -> None:
        """Take a message that was published into account."""
        with self._lock:
            match message:
                case EventMessage(kind=Kind.OFFSET):
                    self._open.pop(message.event_id, None)
                case EventMessage():
                    self._open[message.event_id] = message
                case StatusMessage() | DaemonMessage():
                    self._status[message.topic] = message

    @property
    def open_events(self) -> dict[UUID, EventMessage]:
        """The latest message of each event without offset."""
        with self._lock:
            return dict(self._open)

    def by_source(self) -> dict[str, tuple[EventMessage, ...]]:
        """Return the latest message of each event without offset, by source."""
        source = attrgetter("source")
        events = sorted(self.open_events.values(), key=source)
        return {name: tuple(of_source) for name, of_source in groupby(events, key=source)}

    def matching(self, prefixes: Iterable[bytes]) -> list[NumberedMessage]:
        """Return what is under any of the topic prefixes, in the order of its publication."""
        prefixes = tuple(prefixes)
        with self._lock:
            found = [
                message
                for message in (*self._open.values(), *self._status.values())
                if message.topic.startswith(prefixes)
            ]
        return sorted(found, key=attrgetter("seq"))
