"""Summary: how the daemon is doing in one line, as ``systemctl status`` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streamsed.publish.messages import SourceCondition


class Summary:
    """Writes sources by state, the real-time factor since the last line, and drops.

    The real-time factor is the seconds of computing that a second of audio of all sources takes.
    They share one thread: at 1 the machine can do no more.
    """

    def __init__(self, *, sample_rate: int) -> None:
        """Begin.

        Args:
            sample_rate: the bundle's.
        """
        self._sample_rate = sample_rate
        self._busy_s = 0.0
        self._positions: dict[str, int] = {}

    def line(self, conditions: Sequence[SourceCondition], *, busy_s: float) -> str:
        """Write the line.

        Args:
            conditions: of all sources.
            busy_s: time that detection has spent in all.
        """
        by_state = Counter(condition.state for condition in conditions)
        dropped_s = sum(condition.dropped_samples for condition in conditions) / self._sample_rate
        return (
            f"{len(conditions)} source{'s' * (len(conditions) != 1)}: "
            + ", ".join(f"{count} {state}" for state, count in by_state.items())
            + f"; real-time factor {self._factor(conditions, busy_s)}; dropped {dropped_s:.1f} s"
        )

    def _factor(self, conditions: Sequence[SourceCondition], busy_s: float) -> str:
        before, spent_s = self._positions, busy_s - self._busy_s
        self._positions = {c.source: c.position.sample for c in conditions if c.position}
        self._busy_s = busy_s
        # Sources are processed side by side: the one that got on furthest tells the time.
        advances = (sample - before.get(name, 0) for name, sample in self._positions.items())
        longest_s = max(advances, default=0) / self._sample_rate
        return f"{spent_s / longest_s:.3f}" if longest_s > 0 else "unknown"
