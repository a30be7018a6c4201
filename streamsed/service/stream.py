"""Stream: one source in the daemon, from its reader thread to its place in the status messages."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog

from streamsed.detect.events import Reason
from streamsed.errors import SourceError
from streamsed.publish.anchor import Anchor
from streamsed.publish.messages import SourceCondition, SourceState
from streamsed.service.inbox import Inbox
from streamsed.service.losses import LossBurst
from streamsed.sources.config import FileSource, PipeSource, SourceConfig, build
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.queue import BlockQueue

_READ_TIMEOUT_S = 0.25  # a reader that is told to stop does so within this time
_QUIET_S = 5.0  # audio without a loss that ends a burst of losses

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ending:
    """Why no more audio comes.

    Attributes:
        reason: for the events that are still open.
        message: for people; None when there is nothing to say.
    """

    reason: Reason
    message: str | None = None


class Stream:
    """A source with its reader thread, its bounded queue, and what is known of it.

    The reader thread touches the source and the queue's far end; :attr:`ending` is set when it
    is done. The rest belongs to the detection thread, and any thread may ask for
    :meth:`condition`.
    """

    def __init__(
        self, config: SourceConfig, *, sample_rate: int, queue_s: float, inbox: Inbox[Stream]
    ) -> None:
        """Build the source; nothing is opened.

        Args:
            config: the source.
            sample_rate: the bundle's.
            queue_s: the audio that may wait.
            inbox: told whenever there is something new for the detection thread.
        """
        self.config = config
        self.name = config.name
        self.source = build(config)
        self.queue = BlockQueue(
            round(queue_s * sample_rate), live=self.source.live, notify=self._tell
        )
        self.ending: Ending | None = None
        self.state = SourceState.CONNECTING
        self.message: str | None = None
        self.position = 0
        quiet = round(_QUIET_S * sample_rate)
        self.overload, self.lost, self.bad = (LossBurst(quiet) for _ in range(3))
        self.bad_steps = LossBurst(quiet)  # in steps, not samples
        self._sample_rate = sample_rate
        self._real_time = _in_real_time(config)
        self._started_at: datetime | None = None
        self._stream_id = uuid4()
        self._inbox = inbox
        self._stopping = False
        self._thread = threading.Thread(target=self._read, name=f"read {self.name}", daemon=True)

    @property
    def anchor(self) -> Anchor:
        """Where its samples lie in time; only once it is open.

        Taken anew for each message: a device's clock drifts against the system's.
        """
        assert self._started_at is not None
        return Anchor(
            started_at=self._started_at,
            sample_rate=self._sample_rate,
            real_time=self._real_time,
            stream_id=self._stream_id,
        )

    def open(self) -> None:
        """Open the source.

        Raises:
            SourceError: it cannot be opened.
        """
        self.source.open(self._sample_rate)
        self._started_at = self.source.started_at

    def start(self) -> None:
        """Start to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the reader to end; what it has read remains in the queue."""
        self._stopping = True
        self.queue.close()

    def abandon(self) -> None:
        """End the stream now, whether or not its reader does."""
        if self.ending is None:
            log.warning("reader_hangs", source=self.name)
            self.ending = Ending(Reason.SHUTDOWN, "reading hangs")
        self._tell()

    def join(self, timeout_s: float) -> None:
        """Wait for the reader thread, if it runs, to end; close the source.

        A source whose reader hangs is left to the end of the process: closing would wait for it.
        """
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._close()

    @property
    def device_flags(self) -> dict[str, int]:
        """What the device complained of so far, and how often; empty if of nothing."""
        flags: dict[str, int] = getattr(self.source, "status_flags", {})
        return {flag: count for flag, count in flags.items() if count}

    def condition(self) -> SourceCondition:
        """Say how the source is doing."""
        return SourceCondition(
            source=self.name,
            state=self.state,
            message=self.message,
            position=self.anchor.moment(self.position) if self._started_at else None,
            lost_samples=self.lost.total,
            dropped_samples=self.overload.total,
            bad_samples=self.bad.total,
            overload_bursts=self.overload.bursts,
            overloaded=self.overload.active,
        )

    def _tell(self) -> None:
        self._inbox.put(self)

    def _read(self) -> None:
        # The place of reconnecting a lost device: here, around opening and reading.
        ending = Ending(Reason.SHUTDOWN)
        try:
            while not self._stopping:
                block = self.source.read(_READ_TIMEOUT_S)
                if block is not None:
                    self._started_at = self.source.started_at
                    self.queue.put(block)
        except EndOfSource:
            ending = Ending(Reason.END_OF_STREAM)
        except SourceError as error:
            ending = Ending(Reason.SOURCE_LOST, str(error))
        except Exception as error:  # a fault in one source must not cost the others
            log.exception("source_failed", source=self.name)
            ending = Ending(Reason.SOURCE_LOST, f"internal error: {error!r}")
        finally:
            try:
                self._close()
            finally:
                if self.ending is None:  # or it was abandoned
                    self.ending = ending
                self._tell()

    def _close(self) -> None:
        try:
            self.source.close()
        except Exception:  # what was read is good, and the rest of the daemon has to end too
            log.exception("source_close_failed", source=self.name)


def _in_real_time(config: SourceConfig) -> bool:
    match config:
        case FileSource():
            return config.paced
        case PipeSource():
            return config.live
    return True
