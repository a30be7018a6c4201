"""Sink: what takes recorded messages elsewhere."""

from __future__ import annotations

from typing import Protocol

from streamsed.publish.daemon_status import SinkCondition


class Sink(Protocol):
    """Takes recorded messages elsewhere, in a thread of its own; none delays another.

    Attributes:
        name: as configured.
    """

    name: str

    @property
    def condition(self) -> SinkCondition:
        """How it is; any thread may read it."""

    def start(self) -> None:
        """Begin; the numbers of messages are known by now."""

    def wake(self) -> None:
        """Look for what was recorded since; never waits. Called by the outbox's thread."""

    def finish(self) -> None:
        """Deliver what was recorded, without further attempts, and end; returns at once."""

    def close(self, deadline_s: float) -> None:
        """Wait so long for the end, and no longer; twice is fine."""

    def probe(self) -> str:
        """Try whether it can deliver, and leave nothing behind; on a sink that is not started.

        Returns:
            For people: what it would deliver to.

        Raises:
            SinkError: it cannot.
        """
