"""Messages as lines for people."""

from __future__ import annotations

from datetime import datetime

import typer

from streamsed.cli import levels
from streamsed.client import Gap, GapReason
from streamsed.detect.events import Kind
from streamsed.printable import printable_model
from streamsed.publish.messages import (
    AnyMessage,
    DaemonMessage,
    EventMessage,
    Heartbeat,
    LevelMessage,
    StatusMessage,
)

_COLOURS = {Kind.ONSET: typer.colors.GREEN, Kind.UPDATE: None, Kind.OFFSET: typer.colors.CYAN}


def line(message: AnyMessage) -> str:
    """Write a message as one line, with colours, for :func:`echo_styled`."""
    message = printable_model(message)
    match message:
        case EventMessage():
            return _event(message)
        case StatusMessage():
            text = f": {message.message}" if message.message else ""
            return f"{_clock(message.published)}  {message.source:<12}  {message.state}{text}"
        case DaemonMessage():
            text = f": {message.message}" if message.message else ""
            bundle = f"{message.bundle.name} {message.bundle.version} on {message.provider}"
            return f"{_clock(message.published)}  daemon {message.state} ({bundle}){text}"
        case Heartbeat():
            sources = ", ".join(f"{s.source} {s.state}" for s in message.sources)
            return f"{_clock(message.published)}  alive, seq {message.last_seq}: {sources}"
        case LevelMessage():
            return _level(message)


def gap_line(gap: Gap) -> str:
    """Write what is not known as one line."""
    span = f"messages {gap.after + 1} to {gap.before - 1}"
    match gap.reason:
        case GapReason.REMOVED:
            return f"{span}: the daemon's journal no longer has them"
        case GapReason.UNANSWERED:
            return f"{span}: may be missing, for the daemon does not answer requests"
        case GapReason.RESTARTED:
            return f"the daemon counts anew after message {gap.after}; some may be missing"


def _event(message: EventMessage) -> str:
    moment = message.offset or message.onset
    parts = [
        _clock(moment.utc),
        f"{message.source:<12}",
        typer.style(f"{message.label:<26}", bold=True),
        typer.style(f"{message.kind:<6}", fg=_COLOURS[message.kind]),
        f"{moment.seconds:10.3f} s",
        f"score {message.score.peak:.2f}",
    ]
    if message.duration is not None:
        parts.append(f"after {message.duration:.3f} s, {message.reason}")
    return "  ".join(parts)


def _level(message: LevelMessage) -> str:
    parts = [
        _clock(message.end.utc),
        f"{message.source:<12}",
        f"{levels.decibels(message.rms_dbfs):>5} dBFS",
        levels.bar(message),
        f"peak {levels.decibels(message.peak_dbfs):>5}",
        levels.top(message),
        levels.remarks(message),
    ]
    return "  ".join(part for part in parts if part)


def _clock(moment: datetime) -> str:
    """Local time of day."""
    return moment.astimezone().strftime("%H:%M:%S.%f")[:-3]
