"""Capture: audio out of a real-time callback, with a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic, time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SETTLING_S = 10.0
"""Time constant over which the device's time stamps are averaged."""

STALE_STAMP_S = 5.0
"""A time stamp further from now than this is ignored."""

_FLAGS = ("input_overflow", "input_underflow")


class TimeInfo(Protocol):
    """PortAudio's time stamps of one callback, in seconds on a clock of its own."""

    currentTime: float  # noqa: N815  # PortAudio's spelling
    inputBufferAdcTime: float  # noqa: N815


class Capture:
    """Takes frames from the audio callback and gives them to one reader.

    The callback copies into one of ``slots`` preallocated buffers; it takes no lock, waits for
    nothing and allocates nothing that grows. When all buffers are full, the new frames are lost.

    Lost frames advance the index. How many were lost when the device reports an overflow is
    estimated: where the buffer's ADC time stamp lies, against where the average of the stamps so
    far puts its first frame.

    Attributes:
        flags: how often PortAudio reported ``input_overflow`` and ``input_underflow``.
        lost_frames: frames lost so far.
        begun: set by the first callback.
    """

    def __init__(
        self,
        *,
        rate: int,
        channels: int,
        block_frames: int,
        slots: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.flags = dict.fromkeys(_FLAGS, 0)
        self.lost_frames = 0
        self.begun = Event()
        self._rate = rate
        self._clock = clock
        self._buffers = np.empty((slots, block_frames, channels), np.float32)
        self._free: SimpleQueue[int] = SimpleQueue()
        self._full: SimpleQueue[tuple[int, int, int] | None] = SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)
        self._next_frame = 0
        self._origin = 0.0  # when frame 0 was captured, on the monotonic clock
        self._weight = 1.0
        self._utc_offset = 0.0  # UTC less the monotonic clock

    def callback(
        self, indata: NDArray[np.float32], frames: int, stamps: TimeInfo, status: object
    ) -> None:
        """Take ``(frames, channels)``; this is sounddevice's callback."""
        now = self._clock()
        age_s = stamps.currentTime - stamps.inputBufferAdcTime
        captured = now - (age_s if abs(age_s) < STALE_STAMP_S else frames / self._rate)
        overflow = False
        if status:
            for flag in _FLAGS:
                self.flags[flag] += bool(getattr(status, flag))
            overflow = bool(getattr(status, _FLAGS[0]))
        self._keep_time(captured, frames, overflow=overflow)
        self._utc_offset = time() - now
        first = self._next_frame
        self._next_frame += frames
        try:
            slot = self._free.get_nowait()
        except Empty:
            self.lost_frames += frames
        else:
            self._buffers[slot, :frames] = indata
            self._full.put((slot, first, frames))
        self.begun.set()

    def _keep_time(self, captured: float, frames: int, *, overflow: bool) -> None:
        """Average ``captured - index / rate``; on an overflow, derive lost frames."""
        origin = captured - self._next_frame / self._rate
        if not self.begun.is_set():
            self._origin = origin
        elif overflow:
            lost = max(0, round((origin - self._origin) * self._rate))
            self.lost_frames += lost
            self._next_frame += lost
        else:
            # A plain mean at first, then an exponential one that follows a clock that drifts.
            self._weight = max(self._weight / (1 + self._weight), frames / self._rate / SETTLING_S)
            self._origin += self._weight * (origin - self._origin)

    @property
    def started_at(self) -> datetime:
        """UTC at which frame 0 was captured, by the latest estimate.

        Follows, slowly, the drift of the device's clock against the system's.
        """
        return datetime.fromtimestamp(self._origin + self._utc_offset, UTC)

    def take(self, timeout_s: float) -> tuple[int, NDArray[np.float32]] | None:
        """Return the index of the next frames and a copy of them, ``(n, channels)``.

        Returns None after ``timeout_s``, or at once after :meth:`wake`.
        """
        try:
            full = self._full.get(timeout=timeout_s)
        except Empty:
            return None
        if full is None:
            return None
        slot, first, frames = full
        copy = self._buffers[slot, :frames].copy()
        self._free.put(slot)
        return first, copy

    def wake(self) -> None:
        """Make one waiting :meth:`take` return None; from any thread."""
        self._full.put(None)
