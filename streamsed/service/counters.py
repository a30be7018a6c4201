"""Counters: what detection counts of its own work, for metrics and status."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import datetime

from streamsed.detect.events import Kind, Transition
from streamsed.publish.message_builders import MessageBuilder
from streamsed.publish.messages import EventMessage, NumberedMessage

STEP_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
LATENCY_BOUNDS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)
LATELY_S = 60.0
"""The period of what is reported as of lately."""

_RECENT_LATENCIES = 500
_MARKS = 6


class Histogram:
    """Counts of values up to each bound; one thread observes, any may read.

    Attributes:
        bounds: upper ends of the buckets, inclusive, but for the last, which is unbounded.
        counts: of each bucket.
        total: sum of the values.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Latencies:
    """Latencies of one kind of message, by class and lately.

    Attributes:
        by_label: seconds, from the beginning of the process.
        recent_s: the last few, of whatever class.
    """

    def __init__(self) -> None:
        self.by_label: dict[str, Histogram] = {}
        self.recent_s: deque[float] = deque(maxlen=_RECENT_LATENCIES)

    def observe(self, label: str, seconds: float) -> None:
        """Count a message."""
        histogram = self.by_label.get(label)
        if histogram is None:
            histogram = self.by_label[label] = Histogram(LATENCY_BOUNDS_S)
        histogram.observe(seconds)
        self.recent_s.append(seconds)


class Counters:
    """Plain counters, each written by one thread and read by any.

    The detection thread writes all but the latencies, which are known, and written, where a
    message is sent: in the publisher's thread. Readers may see a step half counted.

    Args:
        classes: that may be published; they are counted from 0.
        clock: monotonic seconds.

    Attributes:
        steps: seconds that each step took, of all sources that it advanced.
        events: onsets by class.
        processed_s: seconds of audio processed, by source.
        onset_latencies: of messages about audio captured in real time.
        offset_latencies: the same.
        busy_s: time that the detection thread did not sleep.
        round_began: when the detection thread began what it is doing, by ``clock``; None while
            it waits for audio.
    """

    def __init__(
        self, classes: Iterable[str] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.steps = Histogram(STEP_BOUNDS_S)
        self.events = Counter(dict.fromkeys(classes, 0))
        self.processed_s: dict[str, float] = {}
        self.onset_latencies = Latencies()
        self.offset_latencies = Latencies()
        self.busy_s = 0.0
        self.round_began: float | None = None
        self._clock = clock
        # Computing time and audio at moments some seconds apart, back to about LATELY_S ago.
        self._marks: deque[tuple[float, float, dict[str, float]]] = deque(maxlen=_MARKS + 1)
        self._mark(clock())

    def begin(self) -> None:
        """Begin a round: the detection thread has something to do."""
        self.round_began = self._clock()

    def end(self) -> None:
        """End the round."""
        assert self.round_began is not None
        now = self._clock()
        self.busy_s += now - self.round_began
        self.round_began = None
        if now - self._marks[-1][0] >= LATELY_S / _MARKS:
            self._mark(now)

    def add_classes(self, classes: Iterable[str]) -> None:
        """Count further classes, from 0."""
        self.events.update(dict.fromkeys(classes, 0))

    def count_audio(self, source: str, seconds: float) -> None:
        """Count audio of which the scores are known."""
        self.processed_s[source] = self.processed_s.get(source, 0.0) + seconds

    def count_event(self, transition: Transition) -> None:
        """Count an event by its onset."""
        if transition.kind is Kind.ONSET:
            self.events[transition.label] += 1

    def with_latency(self, builder: MessageBuilder) -> MessageBuilder:
        """Return a builder that also counts the latency of its message."""

        def complete(seq: int, published: datetime) -> NumberedMessage:
            message = builder(seq, published)
            if isinstance(message, EventMessage) and message.latency_ms is not None:
                onset = message.kind is Kind.ONSET
                latencies = self.onset_latencies if onset else self.offset_latencies
                latencies.observe(message.label, message.latency_ms / 1e3)
            return message

        return complete

    def real_time_factor(self) -> float | None:
        """Seconds of computing that a second of audio of all sources took lately.

        They share one thread: at 1 the machine can do no more. None before there was audio.
        """
        _, busy_s, processed_s = self._marks[0]
        # Sources advance side by side: the one that got furthest gives the time.
        advances = (
            s - processed_s.get(source, 0.0) for source, s in dict(self.processed_s).items()
        )
        furthest_s = max(advances, default=0.0)
        return (self.busy_s - busy_s) / furthest_s if furthest_s > 0.0 else None

    def _mark(self, now: float) -> None:
        self._marks.append((now, self.busy_s, dict(self.processed_s)))
