"""Back-off: how long to wait before a lost source, or a sink that failed, is tried again."""

from __future__ import annotations

import random
from typing import Protocol

FACTOR = 2.0
JITTER = 0.25
"""A delay is up to so much shorter or longer, lest sources that were lost together knock together
at whatever comes back."""


class Delays(Protocol):
    """The delays of a back-off, such as :class:`streamsed.config.RetryConfig`.

    Attributes:
        first_s: the first delay.
        most_s: the longest.
        healthy_s: the first again after it went well for so long.
    """

    @property
    def first_s(self) -> float: ...  # noqa: D102 - see above

    @property
    def most_s(self) -> float: ...  # noqa: D102

    @property
    def healthy_s(self) -> float: ...  # noqa: D102


class Backoff:
    """Exponential back-off with jitter, for one source or sink."""

    def __init__(self, config: Delays, *, seed: str | None = None) -> None:
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
            healthy_for_s: how long it went well since the last attempt; 0 if that failed.
        """
        config = self._config
        if healthy_for_s >= config.healthy_s:
            self._delay_s = config.first_s
        delay_s = min(self._delay_s, config.most_s)
        self._delay_s = delay_s * FACTOR
        return delay_s * self._random.uniform(1.0 - JITTER, 1.0 + JITTER)
