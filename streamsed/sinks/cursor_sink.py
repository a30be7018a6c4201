"""CursorSink: the thread of a sink, which delivers what was recorded, and tries again."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import structlog

from streamsed.backoff import Backoff
from streamsed.errors import JournalError, SinkError
from streamsed.publish.daemon_status import SinkCondition, SinkState
from streamsed.publish.requests import MissingRange
from streamsed.redaction import redacted
from streamsed.sinks.context import SinkContext
from streamsed.sinks.cursor import Cursor, RecordedMessage

GATHER_S = 0.05
"""So long messages gather before they are delivered together."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SinkDelays:
    """How soon a sink that failed is tried again.

    Attributes:
        first_s: the first delay.
        most_s: the longest.
        healthy_s: the first again after it went well for so long.
    """

    first_s: float = 0.5
    most_s: float = 60.0
    healthy_s: float = 10.0


class CursorSink(ABC):
    """A sink that reads on from its cursor; a kind connects and delivers.

    Everything but :meth:`wake`, :attr:`condition` and :meth:`finish` happens in the sink's thread.
    What fails is tried again with back-off, from the message after the last that was delivered:
    each is delivered at least once, in order, for as long as the journal keeps it.

    Attributes:
        name: as configured.
        batch: the most messages of one call of :meth:`deliver`.
        idle_s: the longest time between two calls of :meth:`idle`; None for no calls.
    """

    batch: ClassVar[int] = 64
    idle_s: float | None = None

    def __init__(
        self, name: str, context: SinkContext, *, kind: str, delays: SinkDelays | None = None
    ) -> None:
        """Take what it reads from; nothing is connected or read.

        Args:
            name: as configured.
            context: what it may read of the daemon.
            kind: as configured.
            delays: between attempts.
        """
        self.name = name
        self.context = context
        self.cursor = Cursor(context, name)
        self._kind = kind
        self._delays = delays or SinkDelays()
        self._backoff = Backoff(self._delays)
        self._state = SinkState.CONNECTING
        self._delivered = self._failures = self._missed = 0
        self._last_error: str | None = None
        self._healthy_since: float | None = None
        self._announced_through = 0  # gaps up to here were announced
        self._connected = False
        self._woken = threading.Event()
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    # What a kind does, in the sink's thread.

    def connect(self) -> None:  # noqa: B027 - a kind may do nothing
        """Connect; called before the first delivery, and again after each failure.

        Raises:
            SinkError: that failed; it is tried again.
        """

    @abstractmethod
    def deliver(self, messages: Sequence[RecordedMessage]) -> None:
        """Deliver messages, or fail; call :meth:`advance` for those that are safe before others.

        Raises:
            SinkError: one could not be delivered; those after the position come again.
        """

    def idle(self) -> None:  # noqa: B027 - the same
        """Do what is due besides: after each delivery and wake-up, and every ``idle_s``.

        Raises:
            SinkError: the connection is lost.
        """

    def disconnect(self) -> None:  # noqa: B027 - the same
        """Let go of the connection; called after each failure and at the end. Never raises."""

    @abstractmethod
    def probe(self) -> str:
        """See :meth:`streamsed.sinks.sink.Sink.probe`."""

    # What others do.

    @property
    def condition(self) -> SinkCondition:
        """How it is; any thread may read it."""
        return SinkCondition(
            name=self.name,
            type=self._kind,
            state=self._state,
            delivered=self._delivered,
            waiting=self.cursor.waiting if self._thread.ident is not None else 0,
            missed=self._missed,
            failures=self._failures,
            last_error=self._last_error,
        )

    def start(self) -> None:
        """Begin; the numbers of messages are known by now."""
        self.cursor.begin()
        self._thread.start()

    def wake(self) -> None:
        """Look for what was recorded since; never waits."""
        self._woken.set()

    def finish(self) -> None:
        """Deliver what was recorded, without further attempts, and end; returns at once."""
        self._finishing.set()
        self._woken.set()

    def close(self, deadline_s: float) -> None:
        """Wait so long for the end, and no longer; twice is fine."""
        self.finish()
        if self._thread.ident is None:
            return
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            log.warning("sink_hangs", sink=self.name, waiting=self.cursor.waiting)

    @property
    def finishing(self) -> bool:
        """Whether it is to end."""
        return self._finishing.is_set()

    def advance(self, seq: int, *, messages: int = 1) -> None:
        """Everything up to a number is delivered."""
        self.cursor.advance(seq)
        self._delivered += messages

    def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                more = self._step()
            except (SinkError, JournalError) as error:
                pause_s = self._failed(error)
            except Exception as error:  # a fault here must not cost the other sinks
                log.exception("sink_failed", sink=self.name)
                pause_s = self._failed(error)
            else:
                if more:
                    continue
                if not self.finishing:
                    self._woken.wait(self._pause_s())
                    self._finishing.wait(GATHER_S)  # a batch costs less than its messages singly
                    continue
                pause_s = 0.0
            if self.finishing or self._finishing.wait(pause_s):
                break
        self._disconnect()
        self.cursor.close()
        if waiting := self.cursor.waiting:
            log.info("sink_behind", sink=self.name, waiting=waiting)

    def _pause_s(self) -> float | None:
        if self.cursor.position.is_saved:
            return self.idle_s
        return 1.0 if self.idle_s is None else min(1.0, self.idle_s)

    def _step(self) -> bool:
        """Deliver some of what waits; return whether there is more."""
        if not self._connected:
            self.connect()
            self._connected = True
        messages, gaps, through = self.cursor.after(self.batch)
        self._announce(gaps)
        before = self._delivered
        if messages:
            self.deliver(messages)
        self.idle()
        self.advance(through, messages=len(messages) - (self._delivered - before))
        if self._healthy_since is None:
            self._healthy_since = time.monotonic()
        if self._state is not SinkState.ON:
            log.info("sink_on", sink=self.name, type=self._kind, waiting=self.cursor.waiting)
            self._state = SinkState.ON
        return bool(messages) and self.cursor.waiting > 0

    def _announce(self, gaps: Sequence[MissingRange]) -> None:
        for gap in gaps:
            if gap.last <= self._announced_through:
                continue
            self._announced_through = gap.last
            self._missed += gap.last - gap.first + 1
            log.warning("sink_missed_messages", sink=self.name, first=gap.first, last=gap.last)

    def _failed(self, error: Exception) -> float:
        """Note a failure; return how long to wait."""
        self._failures += 1
        self._last_error = redacted(str(error) or repr(error))
        if self._state is not SinkState.FAILING:
            log.warning("sink_failing", sink=self.name, reason=self._last_error)
            self._state = SinkState.FAILING
        self._disconnect()
        since, self._healthy_since = self._healthy_since, None
        healthy_for_s = 0.0 if since is None else time.monotonic() - since
        return self._backoff.next_s(healthy_for_s=healthy_for_s)

    def _disconnect(self) -> None:
        self._connected = False
        try:
            self.disconnect()
        except Exception:  # what is given up need not end in good order
            log.exception("sink_failed", sink=self.name)
