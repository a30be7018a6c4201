"""Open events, as published: what a crash would leave without offset."""

from __future__ import annotations

import threading
from uuid import UUID

from streamsed.detect.events import Kind
from streamsed.publish.messages import EventMessage, NumberedMessage


class LastValues:
    """The events that are open.

    Written by the publisher's thread; any thread may read. Bounded by the number of sources and
    classes.
    """

    def __init__(self) -> None:
        self._open: dict[UUID, EventMessage] = {}
        self._lock = threading.Lock()

    def note(self, message: NumberedMessage) -> None:
        """Take note of a message that was published."""
        with self._lock:
            match message:
                case EventMessage(kind=Kind.OFFSET):
                    self._open.pop(message.event_id, None)
                case EventMessage():
                    self._open[message.event_id] = message

    @property
    def open_events(self) -> dict[UUID, EventMessage]:
        """The latest message of each event without offset."""
        with self._lock:
            return dict(self._open)
