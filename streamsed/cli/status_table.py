"""The daemon's status as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamsed.cli import levels
from streamsed.publish.daemon_status import DaemonStatus, LatencyStatus, SinkState, SourceStatus
from streamsed.publish.messages import EventMessage, SourceState

_COLOURS = {SourceState.RUNNING: "green", SourceState.ENDED: "dim"}
_TROUBLE = "red"
_MOST_CLASSES = 3
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


OpenEvents = Mapping[str, Sequence[EventMessage]]
"""By source, the latest message of each event that is open."""


def render(status: DaemonStatus, open_events: OpenEvents | None = None) -> RenderableType:
    """Lay out a status: four lines on the daemon, and a line for each source."""
    trouble = [Text(status.trouble, style=_TROUBLE)] if status.trouble else []
    lines = [Text(line) for line in _daemon_lines(status)]
    return Group(*trouble, *lines, "", _table(status, open_events or {}))


def _daemon_lines(status: DaemonStatus) -> Iterator[str]:
    bundle = f"{status.bundle.name} {status.bundle.version} on {status.provider}"
    yield f"streamsed {status.version}, up {duration(status.uptime_s)}, bundle {bundle}"
    factor = status.real_time_factor
    yield "; ".join(
        [
            "real-time factor " + ("unknown" if factor is None else f"{factor:.3f}"),
            f"onsets {_lateness(status.onset_latency)}",
            f"offsets {_lateness(status.offset_latency)}",
            f"seq {status.last_seq}",
        ]
    )
    for name, part in (("journal", status.journal), ("clips", status.clips)):
        why = f": {part.message}" if part.message else ""
        yield f"{name} {part.state}{why}"
    for sink in status.sinks:
        why = f": {sink.last_error}" if sink.state is SinkState.FAILING and sink.last_error else ""
        counts = f"{sink.delivered} delivered, {sink.waiting} wait"
        missed = f", {sink.missed} missed" if sink.missed else ""
        yield f"sink {sink.name} ({sink.type}) {sink.state}{why}; {counts}{missed}"
    if dropped := status.log.dropped_lines:
        why = f": {status.log.message}" if status.log.message else ""
        yield f"log {status.log.state}{why}; {dropped} lines dropped so far"


def _lateness(latency: LatencyStatus | None) -> str:
    if latency is None:
        return "none yet"
    return f"{latency.p50_s:.2f} s late, {latency.p99_s:.2f} s at p99 of {latency.messages}"


def _table(status: DaemonStatus, open_events: OpenEvents) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("source", "state", "level"):
        table.add_column(name, no_wrap=True)
    for name in ("rms dBFS", "peak dBFS", "waits"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("open events")
    table.add_column("top classes now")
    table.add_column("remarks")
    for source in status.sources:
        level, since = source.level, source.since
        lasting = f" {duration((status.asked - since).total_seconds())}" if since else ""
        table.add_row(
            Text(source.source),
            Text(source.state + lasting, style=_COLOURS.get(source.state, _TROUBLE)),
            Text("" if level is None else levels.bar(level)),
            "" if level is None else levels.decibels(level.rms_dbfs),
            "" if level is None else levels.decibels(level.peak_dbfs),
            f"{source.queued_s:.1f} s",
            Text(_open(open_events.get(source.source, ()), status)),
            Text("" if level is None else levels.top(level, _MOST_CLASSES)),
            Text(", ".join(_remarks(source))),
        )
    return table


def _open(events: Sequence[EventMessage], status: DaemonStatus) -> str:
    """Name the events of a source that are open, and for how long, by the clock of its audio."""
    return ", ".join(
        f"{event.label} {duration((status.asked - event.onset.utc).total_seconds())}"
        for event in events
    )


def _remarks(source: SourceStatus) -> Iterator[str]:
    if source.message:
        yield source.message
    if source.level is not None and (odd := levels.remarks(source.level)):
        yield odd
    counts = {
        "dropped": source.dropped_samples,
        "lost": source.lost_samples,
        "bad": source.bad_samples,
    }
    losses = [f"{count} {what}" for what, count in counts.items() if count]
    if losses:
        yield f"samples: {', '.join(losses)}"
    if source.reconnections:
        yield f"back {source.reconnections} time{'s' * (source.reconnections > 1)}"


def duration(seconds: float) -> str:
    """Write a time span in its two largest units, such as ``3 d 4 h``."""
    left = max(int(seconds), 0)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
