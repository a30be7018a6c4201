"""Metrics for Prometheus, read at each scrape from what the daemon counts anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamsed.publish.daemon_status import (
    DaemonStatus,
    SinkCondition,
    SinkState,
    SourceStatus,
)
from streamsed.publish.messages import JournalState, SourceState
from streamsed.service.counters import Counters, Histogram, Latencies


def registry(status: Callable[[], DaemonStatus], counters: Counters) -> CollectorRegistry:
    """Make a registry of its own, with the daemon's metrics and the process's.

    The number of series is bounded by the configured sources and the bundle's classes.

    Args:
        status: called at each scrape.
        counters: read at each scrape.
    """
    made = CollectorRegistry(auto_describe=False)
    made.register(_DaemonCollector(status, counters))
    ProcessCollector(registry=made)
    return made


class _DaemonCollector(Collector):
    def __init__(self, status: Callable[[], DaemonStatus], counters: Counters) -> None:
        self._status = status
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield from _of_daemon(status)
        yield from _of_sources(status.sources, self._counters.processed_s)
        yield from _of_detection(self._counters)
        yield from _of_sinks(status.sinks)


def _of_daemon(status: DaemonStatus) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "streamsed",
        "The running daemon.",
        value={
            "version": status.version,
            "bundle": status.bundle.name,
            "bundle_version": status.bundle.version,
            "provider": status.provider,
        },
    )
    yield GaugeMetricFamily(
        "streamsed_uptime_seconds", "Since the daemon began.", value=status.uptime_s
    )
    yield GaugeMetricFamily(
        "streamsed_last_seq", "Number of the last numbered message.", value=status.last_seq
    )
    journal = GaugeMetricFamily(
        "streamsed_journal", "1 for the state that the journal is in.", labels=["state"]
    )
    for state in JournalState:
        journal.add_metric([state], float(state is status.journal.state))
    yield journal
    yield CounterMetricFamily(
        "streamsed_log_dropped_lines",
        "Log lines that could not be written.",
        value=status.log.dropped_lines,
    )
    factor = status.real_time_factor
    yield GaugeMetricFamily(
        "streamsed_real_time_factor",
        "Seconds of computing for a second of audio of all sources, over the last minute; "
        "at 1 the machine can do no more.",
        value=float("nan") if factor is None else factor,
    )


def _of_sources(
    sources: Sequence[SourceStatus], processed_s: Mapping[str, float]
) -> Iterator[Metric]:
    states = Counter(source.state for source in sources)
    streams = GaugeMetricFamily("streamsed_streams", "Sources by state.", labels=["state"])
    for state in SourceState:
        streams.add_metric([state], states[state])
    yield streams
    running = GaugeMetricFamily(
        "streamsed_source_running", "1 while a source is running, else 0.", labels=["source"]
    )
    queue = GaugeMetricFamily(
        "streamsed_queue_seconds", "Audio that waits to be processed.", labels=["source"]
    )
    for source in sources:
        running.add_metric([source.source], float(source.state is SourceState.RUNNING))
        queue.add_metric([source.source], source.queued_s)
    yield running
    yield queue
    yield _counter(  # of these sources only: a reload may have removed others
        "streamsed_audio_seconds",
        "Audio processed.",
        "source",
        {source.source: processed_s.get(source.source, 0.0) for source in sources},
    )
    yield _counter(
        "streamsed_dropped_samples",
        "Samples dropped because the machine could not keep up.",
        "source",
        {source.source: source.dropped_samples for source in sources},
    )
    yield _counter(
        "streamsed_lost_samples",
        "Samples lost before they reached the daemon.",
        "source",
        {source.source: source.lost_samples for source in sources},
    )
    yield _counter(
        "streamsed_bad_samples",
        "Values that were no samples.",
        "source",
        {source.source: source.bad_samples for source in sources},
    )
    yield _counter(
        "streamsed_reconnections",
        "How many times a source came back.",
        "source",
        {source.source: source.reconnections for source in sources},
    )


def _of_sinks(sinks: Sequence[SinkCondition]) -> Iterator[Metric]:
    if not sinks:
        return
    on = GaugeMetricFamily("streamsed_sink_on", "1 while a sink delivers, else 0.", labels=["sink"])
    waiting = GaugeMetricFamily(
        "streamsed_sink_waiting", "Messages that a sink has not delivered yet.", labels=["sink"]
    )
    for sink in sinks:
        on.add_metric([sink.name], float(sink.state is SinkState.ON))
        waiting.add_metric([sink.name], sink.waiting)
    yield on
    yield waiting
    yield _counter(
        "streamsed_sink_delivered",
        "Messages that a sink took.",
        "sink",
        {sink.name: sink.delivered for sink in sinks},
    )
    yield _counter(
        "streamsed_sink_failures",
        "How many times a sink could not connect or deliver.",
        "sink",
        {sink.name: sink.failures for sink in sinks},
    )
    yield _counter(
        "streamsed_sink_missed",
        "Messages that the journal no longer had for a sink.",
        "sink",
        {sink.name: sink.missed for sink in sinks},
    )


def _of_detection(counters: Counters) -> Iterator[Metric]:
    yield _counter("streamsed_events", "Events by class, at their onset.", "label", counters.events)
    yield CounterMetricFamily(
        "streamsed_busy_seconds", "Time that detection did not wait.", value=counters.busy_s
    )
    yield HistogramMetricFamily(
        "streamsed_step_seconds",
        "Time of one step of the model, of all sources that it advanced.",
        buckets=_buckets(counters.steps),
        sum_value=counters.steps.total,
    )
    yield _latencies("onset", counters.onset_latencies)
    yield _latencies("offset", counters.offset_latencies)


def _latencies(what: str, latencies: Latencies) -> Metric:
    family = HistogramMetricFamily(
        f"streamsed_{what}_latency_seconds",
        f"From the {what} to its message, of audio captured in real time.",
        labels=["label"],
    )
    for label, histogram in dict(latencies.by_label).items():
        family.add_metric([label], _buckets(histogram), histogram.total)
    return family


def _counter(name: str, description: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, description, labels=[label])
    for key, value in dict(values).items():
        family.add_metric([key], value)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    names = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(names, accumulate(histogram.counts.copy()), strict=True))
