"""The reply to a status request."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, Self

import numpy as np
from pydantic import Field

from streamsed.publish.messages import (
    BundleName,
    Count,
    JournalCondition,
    Level,
    LogCondition,
    Note,
    Part,
    Seconds,
    SourceCondition,
    Utc,
)


class SourceStatus(SourceCondition):
    """A source, with what status messages do not have.

    Attributes:
        queued_s: seconds of audio that wait to be processed.
        level: over the last second or so; null while no audio arrives.
    """

    queued_s: Seconds
    level: Level | None


class LatencyStatus(Part):
    """Latency of the last messages about audio captured in real time.

    Attributes:
        messages: how many these figures are of.
        p50_s: half of them came within this time.
        p99_s: 99 of 100 came within this time.
    """

    messages: Count
    p50_s: Seconds
    p99_s: Seconds

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self | None:
        """Summarise latencies; None if there are none."""
        if not seconds:
            return None
        p50, p99 = np.quantile(seconds, (0.5, 0.99)).tolist()
        return cls(messages=len(seconds), p50_s=p50, p99_s=p99)


class ClipsState(StrEnum):
    """Whether audio around events is recorded."""

    ON = "on"
    OFF = "off"
    FAILING = "failing"


class ClipsCondition(Part):
    """How recording clips goes.

    Attributes:
        state: ``failing`` since one could not be written, until one can.
        message: for people: why.
    """

    state: ClipsState
    message: str | None = None


class SinkState(StrEnum):
    """Whether a sink delivers."""

    CONNECTING = "connecting"
    ON = "on"
    FAILING = "failing"


class SinkCondition(Part):
    """How a sink of the ``sinks:`` list is.

    Attributes:
        name: as configured.
        type: its kind.
        state: ``failing`` since it could not connect or deliver, until it can.
        delivered: messages taken since the daemon started, filtered ones too.
        waiting: messages that were recorded and not delivered yet.
        missed: messages that the journal no longer had when they would have been delivered.
        failures: how many times it could not connect or deliver.
        last_error: for people: the latest of them; null if there was none.
    """

    name: str
    type: str
    state: SinkState
    delivered: Count = 0
    waiting: Count = 0
    missed: Count = 0
    failures: Count = 0
    last_error: Note | None = None


class DaemonStatus(Part):
    """The status of a running daemon.

    Attributes:
        version: of streamsed.
        uptime_s: since the daemon started.
        trouble: for people: what is wrong with detection as a whole; null if nothing is.
        provider: the ONNX Runtime execution provider that really runs.
        last_seq: number of the last numbered message; 0 before the first.
        real_time_factor: seconds of computing that a second of audio of all sources took lately;
            at 1 the machine can do no more. Null before there was audio.
        onset_latency: from the onset to its message; null before the first.
        offset_latency: from the offset to its message.
        sources: the state of each.
        sinks: the state of each but ZeroMQ's own.
        asked: when this was composed.
    """

    schema_: Literal["streamsed.daemon-status/1"] = Field(
        "streamsed.daemon-status/1", alias="schema"
    )
    version: str
    uptime_s: Seconds
    trouble: str | None = None
    provider: str
    bundle: BundleName
    last_seq: Count
    real_time_factor: Seconds | None
    onset_latency: LatencyStatus | None
    offset_latency: LatencyStatus | None
    sources: tuple[SourceStatus, ...]
    journal: JournalCondition
    clips: ClipsCondition = ClipsCondition(state=ClipsState.OFF)
    log: LogCondition = LogCondition()
    sinks: tuple[SinkCondition, ...] = ()
    asked: Utc
