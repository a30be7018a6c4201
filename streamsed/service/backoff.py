"""Back-off: how long to wait before a lost source is tried again."""

from __future__ import annotations

import random

from streamsed.config import RetryConfig

FACTOR = 2.0
JITTER = 0.25
"""A delay is up to so much shorter or longer, lest sources that were lost together knock together
at whatever comes back."""


class Backoff:
    """Exponential back-off with jitter, for one source."""

    def __init__(self, config: RetryConfig, *, seed: str | None = None) -> None:
        """Begin with the shortest delay.

        Args:
            config: the delays.
            seed: of the jitter; None for any.
        """
        self._config = config
        self._random = random.Random(seed)  # noqa: S311  # no secret
        self._delay_s = config.first_s

    def next_s(self, *, healthy_for_s: float) -> float:
        """Return how long to wait now.

        Args:
            healthy_for_s: how long audio came since the last attempt; 0 if it failed.
        """
        config = self._config
        if healthy_for_s >= config.healthy_s:
            self._delay_s = config.first_s
        delay_s = min(self._delay_s, config.most_s)
        self._delay_s = delay_s * FACTOR
        return delay_s * self._random.uniform(1.0 - JITTER, 1.0 + JITTER)
