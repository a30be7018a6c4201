"""Reader: the thread of one source, which opens it, reads it, and reopens it when it is lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic

import structlog

from streamsed.backoff import Backoff
from streamsed.detect.events import Reason
from streamsed.errors import SourceError
from streamsed.service.source_states import SourceInput
from streamsed.sources.block import Block
from streamsed.sources.protocol import EndOfSource, Source
from streamsed.sources.queue import BlockQueue
from streamsed.sources.supervision import Supervision

_READ_TIMEOUT_S = 0.25  # a reader that is asked to stop does so within this time

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ending:
    """Why no more audio comes, for now or for good.

    Attributes:
        reason: for the events that are still open.
        observed: what was observed of the source; its next state follows from it.
        message: for people; None if there is nothing to report.
        final: whether the reader has given up, or was asked to stop.
    """

    reason: Reason
    observed: SourceInput
    message: str | None = None
    final: bool = True


class SourceReader:
    """Reads a source into a queue, in a thread, until it ends or is given up.

    Each opening that comes to an end, and each attempt that fails, leaves an :class:`Ending`.
    The reader goes on only when the detection thread has taken it, and so has taken all audio
    before it: what is in the queue belongs to one opening, and events of a lost source end
    before anything is done that may hang, such as closing a device that is gone.

    Attributes:
        source: only the reader's thread opens and reads it.
        queue: where the audio goes.
        started_at: UTC of sample 0 of what is in the queue; None before the first opening.
    """

    def __init__(
        self,
        source: Source,
        queue: BlockQueue,
        *,
        sample_rate: int,
        supervision: Supervision,
        backoff: Backoff,
        notify: Callable[[], None],
    ) -> None:
        """Take the source; nothing is opened.

        Args:
            source: not open.
            queue: empty.
            sample_rate: the bundle's.
            supervision: when the source is opened again.
            backoff: how soon.
            notify: called after each ending.
        """
        self.source = source
        self.queue = queue
        self.started_at: datetime | None = None
        self._sample_rate = sample_rate
        self._supervision = supervision
        self._backoff = backoff
        self._notify = notify
        self._endings: deque[Ending] = deque()  # at most two: the last, and the final one
        self._taken = threading.Event()
        self._stopping = threading.Event()
        self._stopped = Ending(Reason.SHUTDOWN, SourceInput.END)
        self._open = False
        self._healthy_for_s = 0.0
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()
        self._failure: Exception | None = None
        self._fault = ""  # the last that was logged
        self._may_read = threading.Event()

    @property
    def ending(self) -> Ending | None:
        """How the audio in the queue ends; None while more may come."""
        return self._endings[0] if self._endings else None

    def take_ending(self) -> None:
        """Let the reader go on: the audio in the queue, and its ending, have been dealt with."""
        self._endings.popleft()
        self._taken.set()
        if self._endings:
            self._notify()

    def open(self, *, cancelled: Callable[[], bool]) -> None:
        """Start the thread, and wait until it has opened the source.

        Args:
            cancelled: whether to give up; returns then as if the source were open.

        Raises:
            SourceError: it cannot be opened; the thread has ended.
        """
        self._start_thread(self._run_opened)
        while not self._tried.wait(_READ_TIMEOUT_S):
            if cancelled():
                self.stop()
                return
        if self._failure is not None:
            raise self._failure

    def start(self) -> None:
        """Read; start the thread and open the source as well, unless :meth:`open` did."""
        self._may_read.set()
        if self._thread is None:
            self._start_thread(self._run)

    def stop(self, reason: Reason = Reason.SHUTDOWN, message: str | None = None) -> None:
        """Ask the thread to end; what it has read remains in the queue.

        Args:
            reason: for the events that are open then.
            message: why, for people.
        """
        self._stopped = Ending(reason, SourceInput.END, message)
        self._stopping.set()
        self._may_read.set()
        self.queue.close()
        self.source.interrupt()

    def abandon(self) -> None:
        """End the session now, whether or not the thread does."""
        if not any(ending.final for ending in self._endings):
            log.warning("reader_hangs", source=self.source.name)
            self._endings.append(replace(self._stopped, message="reading hangs"))
        self._notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread, if it runs, to end; close the source.

        A source whose reader hangs is left to the end of the process: closing would wait for it.
        """
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return
        self._close()

    def _start_thread(self, target: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=target, name=f"read {self.source.name}", daemon=True)
        self._thread.start()

    def _run_opened(self) -> None:
        try:
            self._open_source()
        except Exception as error:
            self._failure = error
            self._report(self._stopped)
            return
        finally:
            self._tried.set()
        self._may_read.wait()
        self._run()

    def _run(self) -> None:
        while not (ending := self._attempt()).final:
            self._report(ending)
            if not self._wait_until_taken() or not self._prepare_again():
                ending = self._stopped
                break
        if self._stopping.is_set():  # a session that waits for the ending may open the same device
            self._close()
            self._report(ending)
        else:
            self._report(ending)
            self._close()

    def _attempt(self) -> Ending:
        """Open the source unless it is open, and read it until something ends that."""
        self._healthy_for_s = 0.0
        try:
            if not self._open:
                self._open_source()
            return self._read()
        except EndOfSource:
            if self._supervision.reconnect:
                return self._lost("the stream ended")
            return Ending(Reason.END_OF_STREAM, SourceInput.END)
        except SourceError as error:
            return self._stopped if self._stopping.is_set() else self._lost(str(error))
        except Exception as error:  # a fault in one source must not cost the others
            if repr(error) != self._fault:
                self._fault = repr(error)
                log.exception("source_failed", source=self.source.name)
            return self._lost(f"internal error: {error!r}")

    def _open_source(self) -> None:
        self.source.open(self._sample_rate)
        self.started_at = self.source.started_at
        self._open = True

    def _read(self) -> Ending:
        timeout_s, stall_s = _READ_TIMEOUT_S, self._supervision.stall_s
        began = last_audio_at = monotonic()
        try:
            while not self._stopping.is_set():
                block = self.source.read(timeout_s)
                if block is not None:
                    self.started_at = self.source.started_at
                    self._put(block, waited_s=monotonic() - began)
                    last_audio_at = monotonic()
                elif stall_s is not None and monotonic() - last_audio_at >= stall_s:
                    return self._stalled(stall_s)
            return self._stopped
        finally:
            self._healthy_for_s = last_audio_at - began

    def _put(self, block: Block, *, waited_s: float) -> None:
        """Hand a block over; what comes before its time waits for room until then."""
        if self._supervision.ahead:
            ahead_s = block.end_sample / self._sample_rate - waited_s
            self.queue.put(block, max(0.0, ahead_s))
        else:
            self.queue.put(block)

    def _lost(self, message: str) -> Ending:
        if self._supervision.reconnect:
            message += " (trying again)"
            return Ending(Reason.SOURCE_LOST, SourceInput.LOSS, message, final=False)
        return Ending(Reason.SOURCE_LOST, SourceInput.LOSS, message)

    def _stalled(self, stall_s: float) -> Ending:
        message = f"no audio for {stall_s:g} s"
        if self._supervision.reconnect:
            message += " (trying again)"
        elif not self._supervision.patient:
            return self._lost(message)
        return Ending(Reason.SOURCE_LOST, SourceInput.STALL, message, final=False)

    def _report(self, ending: Ending) -> None:
        self._taken.clear()
        self._endings.append(ending)
        self._notify()

    def _wait_until_taken(self) -> bool:
        """Wait for :meth:`take_ending`; return False if asked to stop before."""
        while not self._taken.wait(_READ_TIMEOUT_S):
            if self._stopping.is_set():
                return False
        return not self._stopping.is_set()

    def _prepare_again(self) -> bool:
        """Close and wait, if the source is to be opened again; return False if asked to stop."""
        if not self._supervision.reconnect:
            return True
        self._close()
        delay_s = self._backoff.next_s(healthy_for_s=self._healthy_for_s)
        return not self._stopping.wait(delay_s)

    def _close(self) -> None:
        self._open = False
        try:
            self.source.close()
        except Exception:  # what was read is good, and the rest of the daemon has to end too
            log.exception("source_close_failed", source=self.source.name)
