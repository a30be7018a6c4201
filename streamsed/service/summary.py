"""Summary: how the daemon is doing in one line, as ``systemctl status`` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streamsed.publish.messages import SourceCondition


def summary(
    conditions: Sequence[SourceCondition], *, sample_rate: int, real_time_factor: float | None
) -> str:
    """Write sources by state, the real-time factor, and drops.

    Args:
        conditions: of all sources.
        sample_rate: the bundle's.
        real_time_factor: see :meth:`streamsed.service.counters.Counters.real_time_factor`.
    """
    by_state = Counter(condition.state for condition in conditions)
    dropped_s = sum(condition.dropped_samples for condition in conditions) / sample_rate
    factor = "unknown" if real_time_factor is None else f"{real_time_factor:.3f}"
    return (
        f"{len(conditions)} source{'s' * (len(conditions) != 1)}: "
        + ", ".join(f"{count} {state}" for state, count in by_state.items())
        + f"; real-time factor {factor}; dropped {dropped_s:.1f} s"
    )
