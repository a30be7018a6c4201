"""Status: the reply to a status request, composed from the daemon's parts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from streamsed import __version__
from streamsed.log import failure as log_failure
from streamsed.publish.daemon_status import (
    ClipsCondition,
    DaemonStatus,
    LatencyStatus,
    SinkCondition,
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

_WITH_AUDIO = {SourceState.RUNNING, SourceState.SILENT}


def source_statuses(
    sessions: Iterable[SourceSession], levels: Levels, *, sample_rate: int
) -> tuple[SourceStatus, ...]:
    """Return the status of each source; a level only of one that has audio."""
    return tuple(
        SourceStatus(
            **dict(condition),
            queued_s=session.queue.samples / sample_rate,
            level=levels.latest(session.name) if condition.state in _WITH_AUDIO else None,
        )
        for session in sessions
        for condition in (session.condition(),)
    )


def log_condition() -> LogCondition:
    """Return the state of the log."""
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
    sinks: tuple[SinkCondition, ...],
    uptime_s: float,
    asked: datetime,
) -> DaemonStatus:
    """Compose the reply."""
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
        sinks=sinks,
        asked=asked,
    )
