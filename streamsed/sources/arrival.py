"""ArrivalClock: when audio was heard that comes over a network, in bursts and with pauses."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from time import time

WINDOW_S = 30.0
"""After between one and two of these, a moment is forgotten: so the clock follows drift."""

PAUSE_S = 5.0
"""After a pause as long as this, everything is forgotten: audio was lost."""


class ArrivalClock:
    """Tells when sample 0 was heard, from when the others arrived.

    Nothing is heard after it arrived. A server that sends the last seconds at once, as many do
    to begin with, sends old audio: of all that has come lately, what came earliest for its place
    in the stream is the best there is to tell the time by.
    """

    def __init__(self, sample_rate: int, *, clock: Callable[[], float] = time) -> None:
        """Begin; nothing has arrived.

        Args:
            sample_rate: Hz.
            clock: seconds of UTC.
        """
        self._sample_rate = sample_rate
        self._clock = clock
        self._begun_at = self._last_at = clock()
        self._now = self._before = math.inf  # earliest of this window, and of the last

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0; of the construction while nothing has arrived."""
        earliest = min(self._now, self._before)
        return datetime.fromtimestamp(self._begun_at if earliest == math.inf else earliest, UTC)

    def arrived(self, end_sample: int) -> None:
        """Note that everything up to ``end_sample`` is there now."""
        moment = self._clock()
        start = moment - end_sample / self._sample_rate
        paused = moment - self._last_at > PAUSE_S
        if paused or not 0.0 <= moment - self._begun_at < WINDOW_S:
            self._before = math.inf if paused else self._now
            self._now, self._begun_at = start, moment
        else:
            self._now = min(self._now, start)
        self._last_at = moment
