"""Status: what the daemon answers when asked how it is, composed from what its parts know."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from streamsed import __version__
from streamsed.log import failure as log_failure
from streamsed.publish.daemon_status import (
    ClipsCondition,
    DaemonStatus,
    LatencyStatus,
    SourceStatus,
)
from streamsed.publish.messages import (
    BundleName,
    JournalCondition,
    LogCondition,
    LogState,
    SourceState,
)
from streamsed.service.counters import Counters
from streamsed.service.levels import Levels
from streamsed.service.session import SourceSession

_HEARD = {SourceState.RUNNING, SourceState.SILENT}


def source_statuses(
    sessions: Iterable[SourceSession], levels: Levels, *, sample_rate: int
) -> tuple[SourceStatus, ...]:
    """Say how each source is; a level only of one that is heard."""
    return tuple(
        SourceStatus(
            **dict(condition),
            queued_s=session.queue.samples / sample_rate,
            level=levels.latest(session.name) if condition.state in _HEARD else None,
        )
        for session in sessions
        for condition in (session.condition(),)
    )


def log_condition() -> LogCondition:
    """Say how writing the log goes."""
    failure = log_failure()
    return LogCondition(
        state=LogState.ON if failure.reason is None else LogState.DEGRADED,
        message=failure.reason,
        dropped_lines=failure.dropped_lines,
    )


def daemon_status(
    *,
    trouble: str | None,
    counters: Counters,
    sources: tuple[SourceStatus, ...],
    bundle: BundleName,
    provider: str,
    last_seq: int,
    journal: JournalCondition,
    clips: ClipsCondition,
    log: LogCondition,
    uptime_s: float,
    asked: datetime,
) -> DaemonStatus:
    """Compose the answer."""
    return DaemonStatus(
        version=__version__,
        uptime_s=uptime_s,
        trouble=trouble,
        provider=provider,
        bundle=bundle,
        last_seq=last_seq,
        real_time_factor=counters.real_time_factor(),
        onset_latency=LatencyStatus.of(tuple(counters.onset_latencies.recent_s)),
        offset_latency=LatencyStatus.of(tuple(counters.offset_latencies.recent_s)),
        sources=sources,
        journal=journal,
        clips=clips,
        log=log,
        asked=asked,
    )
