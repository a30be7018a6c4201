"""The sinks of the daemon, beside the publisher: started, woken and closed together."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from streamsed.publish.daemon_status import SinkCondition
from streamsed.sinks.config import build_sink
from streamsed.sinks.context import SinkContext
from streamsed.sinks.entry import SinkEntry
from streamsed.sinks.sink import Sink

_CLOSE_S = 3.0  # for all of them to deliver the last messages

log = structlog.get_logger()


class Sinks:
    """All configured sinks; what was recorded waits in the journal for each of them."""

    def __init__(self, entries: Sequence[SinkEntry], context: SinkContext) -> None:
        """Make them; nothing is connected or read before :meth:`start`."""
        self._sinks: list[Sink] = [build_sink(entry, context) for entry in entries]
        self._started = False

    def start(self) -> None:
        """Begin to deliver; the numbers of messages are known by now."""
        for sink in self._sinks:
            sink.start()
        self._started = True

    def wake(self) -> None:
        """Let them look for what was recorded; never waits."""
        if self._started:
            for sink in self._sinks:
                sink.wake()

    def conditions(self) -> tuple[SinkCondition, ...]:
        """Return how each is; any thread may call it."""
        return tuple(sink.condition for sink in self._sinks)

    def close(self) -> None:
        """Deliver what was recorded, within a limit for all of them together."""
        if not self._started:
            return
        for sink in self._sinks:
            sink.finish()
        deadline = time.monotonic() + _CLOSE_S
        for sink in self._sinks:
            sink.close(max(0.0, deadline - time.monotonic()))
