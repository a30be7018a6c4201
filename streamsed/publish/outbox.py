"""Outbox: a thread that numbers messages, journals them, and hands them on. It has no socket."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from streamsed.errors import PublishError
from streamsed.publish.journal_format import JournalEntry
from streamsed.publish.message_builders import MessageBuilder
from streamsed.publish.sequencer import Sequencer

_MOST_AT_ONCE = 256  # messages that are journaled together

Taker = Callable[[Sequence[JournalEntry]], None]
"""Takes messages in the order of their numbers, in the outbox's thread; may wait."""


class Outbox:
    """Takes builders from any thread; order of numbers is the order in which the taker gets them.

    What waits is numbered, written to the journal as one group, and then handed on: a
    message that a crash could undo is never sent.

    Attributes:
        sequencer: belongs to the outbox's thread once that is started.
        failure: what ended the thread before its time.
        busy_since: when it began what it is doing (``time.monotonic()``); None while it waits.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        take: Taker,
        *,
        queue_messages: int,
        beat_s: float = 1.0,
        on_recorded: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what it works with; nothing is numbered before :meth:`start`.

        Args:
            sequencer: numbers and journals.
            take: gets what was recorded.
            queue_messages: builders that may wait; a full queue blocks publishing threads.
            beat_s: interval of what the sequencer does now and then.
            on_recorded: called in the thread after messages were recorded; never waits.
            on_failure: called in the thread when it fails; see :attr:`failure`.
        """
        self.sequencer = sequencer
        self.failure: Exception | None = None
        self.busy_since: float | None = None
        self._take = take
        self._queue_messages = queue_messages
        self._beat_s = beat_s
        self._on_recorded = on_recorded
        self._on_failure = on_failure
        self._builders: deque[MessageBuilder] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Open the journal; return once the numbers of messages are known.

        The offsets of what an earlier run left open are handed on before that.
        """
        self._thread.start()
        self._opened.wait()

    def publish(self, builder: MessageBuilder) -> None:
        """Hand over a message, from any thread; messages of one thread keep their order.

        Raises:
            PublishError: the outbox has been closed or has failed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._builders) < self._queue_messages or self._closing
            )
            if self._closing:
                raise PublishError("cannot publish: the publisher is closed") from self.failure
            self._builders.append(builder)
            self._changed.notify_all()

    def close(self) -> None:
        """Record what was handed over, and close the journal; twice is fine."""
        self.refuse()
        if self._thread.ident is not None:
            self._thread.join()

    def refuse(self) -> None:
        """Take no more messages; what was handed over before is recorded."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self.sequencer.open()
            self._record()
            self._opened.set()
            self._serve()
        except Exception as error:  # whatever it is, the daemon has to end
            self.failure = error
            self.refuse()
            self._on_failure()
        finally:
            self._opened.set()
            self.sequencer.close()
            self.busy_since = None

    def _serve(self) -> None:
        beat_at = time.monotonic() + self._beat_s
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._builders or self._closing,
                    timeout=max(0.0, beat_at - time.monotonic()),
                )
                closing = self._closing
            self.busy_since = time.monotonic()
            self._record()
            if closing:
                return
            if time.monotonic() >= beat_at:
                self.sequencer.beat()
                self._record()  # what comes of a journal that is in order again
                beat_at = time.monotonic() + self._beat_s
            self.sequencer.tidy()
            self.busy_since = None

    def _record(self) -> None:
        while (interrupted := self.sequencer.take_interrupted()) or self._builders:
            with self._changed:
                waiting = list(islice(self._builders, _MOST_AT_ONCE))
            self._take(self.sequencer.record([*interrupted, *waiting]))
            self._on_recorded()
            with self._changed:
                for _ in waiting:
                    self._builders.popleft()
                self._changed.notify_all()
