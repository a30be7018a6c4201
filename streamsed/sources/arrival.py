"""When audio was recorded that comes over a network: in bursts, with pauses, and not all of it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

GAP_S = 1.0
"""Less than this is taken for a delay of the network, and followed in silence.

So is less than a segment of a stream that comes in segments: the times of requests may shift.
"""

LEAST_WAIT_S, MOST_WAIT_S = 3.0, 30.0
"""A delay has to last so long until it is a gap; longer for a stream that comes in bursts."""

WINDOW_S = 30.0
"""After between one and two of these, a moment is forgotten: so a clock that drifts is followed."""

STEADY_S = 3.0
"""For so long audio has to come at its time until what comes late is missed."""

_PAUSES = 2.0  # of the longest that were made up for lately, have to pass before one is not
_SEGMENT = 0.9
_SEGMENTS = 9  # pauses that are remembered, and of which at least a third make segments
_FALL_S = 0.05
_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first counts in sleep too


class DelayEstimator:
    """Finds, from when audio came, when its first sample was recorded and how much was lost.

    The *delay* of some audio is when it came less its place in the stream. Nothing comes before it
    was recorded, so the least delay of late gives the time best. It varies:
    a server sends the last seconds at once to begin with, a playlist comes in segments, and after a
    pause the network catches up. What it does not do is to grow and stay so, unless audio was lost.

    A pure function of the pairs it is given. Where the stream has just begun it is not yet known
    what its delay is: a server that first sends much at once and then waits has lost nothing.

    Attributes:
        origin_s: when the first sample was recorded; infinite before any came.
    """

    def __init__(self) -> None:
        """Begin; nothing has come."""
        self.origin_s = math.inf
        self._now = self._before = math.inf  # least delay of this window, and of the last
        self._window_at = 0.0
        self._last_at = -math.inf
        self._mark_s, self._mark_at = (
            math.inf,
            0.0,
        )  # what the origin was last found to be, and when
        self._known = False  # whether audio came in time for a while since
        self._late_at: float | None = None  # since when the delay is too great
        self._least_s, self._least_at = math.inf, 0.0  # since then
        self._pause_s = 0.0  # the longest since audio was last in time
        self._pauses: deque[tuple[float, float]] = deque(maxlen=_SEGMENTS)  # when, how long

    def came(self, at_s: float, audio_s: float) -> float:
        """Take note that audio came; return how many seconds are missing before it.

        The caller counts them in from then on.

        Args:
            at_s: when, on a monotonic clock.
            audio_s: where it ends in the stream, with what was missing.
        """
        delay = at_s - audio_s
        pause = 0.0 if self._last_at == -math.inf else at_s - self._last_at
        self._pause_s = max(self._pause_s, pause)
        self._last_at = at_s
        if delay <= self.origin_s + GAP_S:
            self._in_time(at_s, delay)
            return 0.0
        usual_s, longest_s = self._usual_pauses(at_s)
        if delay <= self.origin_s + _SEGMENT * usual_s:
            self._in_time(at_s, delay)
            return 0.0
        if self._late_at is None:
            self._late_at, self._least_s, self._least_at = at_s, delay, at_s
        elif delay < self._least_s - _FALL_S:
            self._least_s, self._least_at = delay, at_s
        wait_s = min(MOST_WAIT_S, max(LEAST_WAIT_S, _PAUSES * longest_s))
        late_s = at_s - self._late_at
        catching_up = self._least_at > max(self._late_at, at_s - wait_s / 2)
        if late_s < wait_s or catching_up:
            return 0.0
        return self._missing()

    def _in_time(self, at_s: float, delay: float) -> None:
        self._late_at = None
        if at_s - self._window_at >= WINDOW_S:
            self._before, self._now, self._window_at = self._now, delay, at_s
        if self._pause_s > GAP_S / 2:
            self._pauses.append((at_s, self._pause_s))
        self._pause_s = 0.0
        self._now = min(self._now, delay)
        self.origin_s = min(self._now, self._before)
        if self.origin_s < self._mark_s - GAP_S / 2:
            self._mark_s, self._mark_at, self._known = self.origin_s, at_s, False
        self._known = self._known or at_s - self._mark_at >= STEADY_S

    def _usual_pauses(self, at_s: float) -> tuple[float, float]:
        """Return how long the stream pauses as a rule, and at most, of late."""
        while self._pauses and at_s - self._pauses[0][0] > 2 * WINDOW_S:
            self._pauses.popleft()
        lengths = sorted(length for _, length in self._pauses)
        if not lengths:
            return 0.0, 0.0
        regular = len(lengths) >= _SEGMENTS // 3
        return (lengths[len(lengths) // 2] if regular else 0.0), lengths[-1]

    def _missing(self) -> float:
        """Return what is missing, now that a delay has lasted."""
        missing_s = self._least_s - self.origin_s
        self._late_at, self._pause_s = None, 0.0
        if self._known:
            return missing_s
        self._known = True
        self.origin_s = self._now = self._before = self._mark_s = self._least_s
        return 0.0


class ArrivalClock:
    """Gives the time of the first sample, and how much was lost, by the clocks of this machine."""

    def __init__(
        self,
        sample_rate: int,
        *,
        running: Callable[[], float] = lambda: time.clock_gettime(_RUNNING),
        utc: Callable[[], float] = time.time,
    ) -> None:
        """Begin; nothing has arrived.

        Args:
            sample_rate: Hz.
            running: seconds on a monotonic clock.
            utc: seconds of UTC, which may be set.
        """
        self._sample_rate = sample_rate
        self._running = running
        self._utc = utc
        self._delay = DelayEstimator()
        self._utc_ahead_s = utc() - running()
        self._begun_s = running()

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0; of the construction while nothing has arrived."""
        origin_s = self._delay.origin_s
        if origin_s == math.inf:
            origin_s = self._begun_s
        return datetime.fromtimestamp(origin_s + self._utc_ahead_s, UTC)

    def arrived(self, end_sample: int) -> int:
        """Note that everything up to ``end_sample`` is there now.

        Returns:
            Samples that are missing before what has just come; the index goes on behind them.
        """
        now = self._running()
        self._utc_ahead_s = self._utc() - now
        return round(self._delay.came(now, end_sample / self._sample_rate) * self._sample_rate)
