"""Session: one source in the daemon, from its reader to its place in the status messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from streamsed.backoff import Backoff
from streamsed.config import RetryConfig
from streamsed.detect.events import Reason
from streamsed.detect.level import LevelReport
from streamsed.detect.loudness import Loudness
from streamsed.publish.messages import SourceCondition, SourceState
from streamsed.publish.stream_clock import StreamClock
from streamsed.service.inbox import Inbox
from streamsed.service.losses import LossBurst
from streamsed.service.reader import Ending, SourceReader
from streamsed.service.silence import DigitalSilence
from streamsed.service.source_states import SourceInput, next_state
from streamsed.sources.block import Block
from streamsed.sources.config import build_source
from streamsed.sources.entry import SourceEntry
from streamsed.sources.queue import BlockQueue

_QUIET_S = 5.0  # audio without a loss that ends a burst of losses


class SourceSession:
    """A source with its reader, its bounded queue, its state and its counters.

    State and counters are written by the detection thread; any thread may call :meth:`condition`.

    Attributes:
        has_audio: whether audio of the present opening has been taken; samples count from it.
    """

    def __init__(
        self,
        config: SourceEntry,
        *,
        sample_rate: int,
        queue_s: float,
        retry: RetryConfig,
        inbox: Inbox[SourceSession],
    ) -> None:
        """Build the source; nothing is opened.

        Args:
            config: the source.
            sample_rate: the bundle's.
            queue_s: the audio that may wait.
            retry: when it is tried again, if it is lost.
            inbox: of the detection thread; the session is put there whenever it has something new.
        """
        self.config = config
        self.name = config.name
        self.source = build_source(config)
        self._supervision = config.supervision
        self.queue = BlockQueue(
            round(queue_s * sample_rate), live=self.source.live, notify=self._notify
        )
        self._reader = SourceReader(
            self.source,
            self.queue,
            sample_rate=sample_rate,
            supervision=self._supervision,
            backoff=Backoff(retry),
            notify=self._notify,
        )
        self.state = SourceState.CONNECTING
        self.since = datetime.now(UTC)
        self.message: str | None = None
        self.position = 0
        self.has_audio = False
        quiet = round(_QUIET_S * sample_rate)
        self.overload, self.lost, self.bad = (LossBurst(quiet) for _ in range(3))
        self.bad_steps = LossBurst(quiet)  # in steps, not samples
        self._openings = 0
        self._silence = DigitalSilence(self._supervision.silence_s, sample_rate)
        self._loudness = Loudness(sample_rate)
        self._sample_rate = sample_rate
        self._real_time = config.in_real_time
        self._stream_id = uuid4()
        self._inbox = inbox

    @property
    def clock(self) -> StreamClock:
        """Where its samples lie in time; only once it is open.

        Taken anew for each message: a device's clock drifts against the system's.
        """
        started_at = self._reader.started_at
        assert started_at is not None
        return StreamClock(
            started_at=started_at,
            sample_rate=self._sample_rate,
            real_time=self._real_time,
            stream_id=self._stream_id,
        )

    @property
    def ending(self) -> Ending | None:
        """How the audio in the queue ends; None while more may come."""
        return self._reader.ending

    def open(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Open the source, if it has to be there when the daemon starts.

        Args:
            cancelled: whether to give up, though it may take long.

        Raises:
            SourceError: it cannot be opened.
        """
        if self._supervision.required:
            self._reader.open(cancelled=cancelled)

    def start(self) -> None:
        """Start to read."""
        self._reader.start()

    def stop(self, reason: Reason = Reason.SHUTDOWN, message: str | None = None) -> None:
        """Ask the reader to end; what it has read remains in the queue.

        Args:
            reason: for the events that are open then.
            message: why, for people.
        """
        self._reader.stop(reason, message)

    def abandon(self) -> None:
        """End the session now, whether or not its reader does."""
        self._reader.abandon()

    def join(self, timeout_s: float) -> None:
        """Wait for the reader to end; close the source, unless its reader hangs."""
        self._reader.join(timeout_s)

    def take(self, block: Block) -> bool:
        """Take a block into account; return whether the state has changed."""
        if not self.has_audio:
            self.has_audio = True
            self._silence.restart()
            self._loudness.restart()
            self._openings += 1
            self._stream_id = uuid4()
        self.position = block.end_sample
        observed, message = SourceInput.AUDIO, self._loudness.remark
        if self._silence.update(block):
            observed, message = SourceInput.ZEROS, "digital silence: every sample is zero"
        state = next_state(self.state, observed)
        return state is not self.state and self._change(state, message)

    @property
    def level_remark(self) -> str | None:
        """Why its level is unusual, for people; None if it is not."""
        return self._loudness.remark

    def note_level(self, report: LevelReport) -> bool:
        """Take the level of further audio; return whether :attr:`level_remark` has changed."""
        changed = self._loudness.add(
            energy=report.energy,
            samples=report.samples,
            mix_loss_db=getattr(self.source, "mix_loss_db", None),
        )
        if changed and self.state is SourceState.RUNNING:
            self.message = self._loudness.remark
        return changed

    def note_last_level(self) -> bool:
        """Judge the level of one that ends; return as :meth:`note_level` does."""
        return self._loudness.end()

    def end(self, ending: Ending) -> bool:
        """Take the end of the audio into account; return whether state or message have changed.

        The reader goes on only after :meth:`go_on`.
        """
        self.has_audio = False
        self.overload.restart(counter_too=False)
        for burst in (self.lost, self.bad, self.bad_steps):
            burst.restart(counter_too=True)
        return self._change(next_state(self.state, ending.observed), ending.message)

    def go_on(self) -> None:
        """Let the reader go on after an ending, which has been processed."""
        self._reader.take_ending()

    def _change(self, state: SourceState, message: str | None) -> bool:
        if (state, message) == (self.state, self.message):
            return False
        if state is not self.state:
            self.state, self.since = state, datetime.now(UTC)
        self.message = message
        return True

    @property
    def device_flags(self) -> dict[str, int]:
        """How often the device set each of its status flags; only flags that it set."""
        flags: dict[str, int] = getattr(self.source, "status_flags", {})
        return {flag: count for flag, count in flags.items() if count}

    def condition(self) -> SourceCondition:
        """Return state and counters, for status messages and heartbeats."""
        return SourceCondition(
            source=self.name,
            state=self.state,
            since=self.since,
            message=self.message,
            position=self.clock.moment(self.position) if self._reader.started_at else None,
            lost_samples=self.lost.total,
            dropped_samples=self.overload.total,
            bad_samples=self.bad.total,
            reconnections=max(0, self._openings - 1),
            overload_bursts=self.overload.bursts,
            overloaded=self.overload.active,
        )

    def _notify(self) -> None:
        self._inbox.put(self)
