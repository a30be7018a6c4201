"""ResampledSource: what the sources of this package have in common.

A new kind of source subclasses it, or implements
:class:`~streamsed.sources.protocol.Source` from scratch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime
from threading import Event, Lock
from time import monotonic

import numpy as np
import structlog
from numpy.typing import NDArray

from streamsed.errors import SourceLost
from streamsed.sources.block import Block
from streamsed.sources.gain import Gain, MixLevel
from streamsed.sources.mono import Channel, silence_unusable, to_mono
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.resampling import Resampler

log = structlog.get_logger(__name__)


class ResampledSource(ABC):
    """A source that receives frames at its own rate and delivers mono blocks at another.

    Threads: one thread opens and reads. Any thread may close; a ``read`` or ``open`` that is
    under way then returns at once, and ``close`` returns once the device or file is released.
    A closed source may be opened again, and then counts samples from 0 again.

    Attributes:
        name: name of the source.
        live: see :class:`~streamsed.sources.protocol.Source`.
        channel: which channel is delivered.
        unusable_samples: NaN, infinite or absurd values so far; each was replaced by silence.
        gain: is applied to what is delivered; None for 0 dB. To be set while it is closed.
    """

    def __init__(self, name: str, *, live: bool, channel: Channel) -> None:
        self.name = name
        self.live = live
        self.channel: Channel = channel
        self.unusable_samples = 0
        self.gain: Gain | None = None
        self._mix = MixLevel()
        self._started_at = datetime.now(UTC)
        self._resampler: Resampler | None = None
        self._ready: deque[Block] = deque()
        self._end: EndOfSource | SourceLost | None = None
        self._closed = Event()
        self._busy = Lock()  # held while the device or file is in use by open, read or release

    def open(self, sample_rate: int) -> None:
        """Acquire the device or file; see :meth:`streamsed.sources.protocol.Source.open`.

        Raises:
            SourceError: it cannot be opened.
        """
        with self._busy:
            self._release()
            self._closed.clear()
            self._ready.clear()
            self._end = None
            self.unusable_samples = 0
            self._mix = MixLevel()
            if self.gain is not None:
                self.gain.begin(sample_rate)
            self._started_at = datetime.now(UTC)
            try:
                self._resampler = Resampler(self._acquire(sample_rate), sample_rate)
            except BaseException:
                self._release()
                raise

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0; before :meth:`open`, of the construction."""
        return self._started_at

    @property
    def lost_samples(self) -> int:
        """Samples known to be lost so far, at the delivered rate."""
        return 0

    @property
    def mix_loss_db(self) -> float | None:
        """How far the mix of channels lies below them, of late; None if that is not known."""
        return self._mix.loss_db

    def read(self, timeout_s: float) -> Block | None:
        """Return the next block; see :meth:`streamsed.sources.protocol.Source.read`.

        Returns None at once when the source is closed.

        Raises:
            EndOfSource: everything was delivered.
            SourceLost: everything that could be had was delivered, but that was not all.
        """
        deadline = monotonic() + timeout_s
        with self._busy:
            assert self._resampler is not None, "read before open"
            while not self._closed.is_set():
                if self._ready:
                    block = self._ready.popleft()
                    return block if self.gain is None else self.gain.apply(block)
                if self._end is not None:
                    raise self._end
                left_s = deadline - monotonic()
                try:
                    received = self._receive(max(0.0, left_s))
                except (EndOfSource, SourceLost) as end:
                    self._end = end
                    self._ready.extend(self._resampler.flush())
                    continue
                if received is not None:
                    self._ready.extend(self._resampler.push(received))
                elif left_s <= 0:
                    return None
        return None

    def interrupt(self) -> None:
        """Make an ``open`` or ``read`` that is under way return; waits for nothing."""
        self._closed.set()
        self._wake()

    def close(self) -> None:
        """Release the device or file; may be called twice, and from another thread."""
        self.interrupt()
        with self._busy:
            self._release()

    @abstractmethod
    def _acquire(self, sample_rate: int) -> int:
        """Open the device or file, preferably at ``sample_rate``; return the rate it has, in Hz."""

    @abstractmethod
    def _receive(self, timeout_s: float) -> Block | None:
        """Return the next block, mono, on the device's own clock, or None after ``timeout_s``.

        Returns early (None) when ``self._closed`` is set; raises EndOfSource or SourceLost.
        """

    @abstractmethod
    def _release(self) -> None:
        """Give the device or file back; nothing to do when it is not held. Must not raise."""

    def _wake(self) -> None:  # noqa: B027  # optional: not every source waits in a system call
        """Make a waiting ``_receive`` return; called from any thread, after ``_closed`` is set."""

    def _mono(self, frames: NDArray[np.float32], index: int | None) -> NDArray[np.float32]:
        """Repair ``(n, channels)`` frames in place and reduce them to ``(n,)``."""
        unusable = silence_unusable(frames)
        if unusable and not self.unusable_samples:
            log.warning(
                "unusable_samples_silenced", source=self.name, why="NaN, infinite or absurd"
            )
        self.unusable_samples += unusable
        mono = to_mono(frames, index)
        if index is None and frames.shape[1] > 1:
            self._mix.add(frames, mono)
        return mono
