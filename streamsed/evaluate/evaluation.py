"""Evaluation: the figures, each with how it was computed; what reports and tables are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap confidence interval over recordings.

    Attributes:
        low: lower bound.
        high: upper bound.
        level: the share of resamplings that lie between, such as 0.95.
    """

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of merit.

    Attributes:
        key: ``psds1``, ``psds1_exact``, ``event_f1`` ...: the name in ``metrics.json``.
        title: for people.
        computed_by: library and version.
        parameters: every parameter that the value depends on, by its name in the field.
        value: overall or macro average in [0, 1]; NaN where undefined.
        per_class: by label; NaN for a class without truth.
        interval: of ``value``; None where none was computed.
    """

    key: str
    title: str
    computed_by: str
    parameters: Mapping[str, float | int | str]
    value: float
    per_class: Mapping[str, float]
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Errors of one class at the operating point, by the event-based criterion.

    Attributes:
        truth: true events.
        found: detected events.
        hits: true events that were matched by a detection.
        false_alarms: detections that touch no true event of the class at all.
        false_alarms_per_hour: the same over the hours of audio.
    """

    truth: int
    found: int
    hits: int
    false_alarms: int
    false_alarms_per_hour: float

    @property
    def missed(self) -> int:
        """True events that no detection matched."""
        return self.truth - self.hits

    @property
    def wrong(self) -> int:
        """Detections that match no true event, whether they touch one or not."""
        return self.found - self.hits


@dataclass(frozen=True, slots=True)
class Rates:
    """Precision, recall, F1 and error rate; NaN where undefined.

    Attributes:
        precision: ``TP / (TP + FP)``.
        recall: ``TP / (TP + FN)``.
        f1: ``2 TP / (2 TP + FP + FN)``.
        error_rate: ``(FN + FP) / (TP + FN)``: deletions and insertions over what is true. Without
            substitutions, which would count a miss and a false alarm at one time as one error.
    """

    precision: float
    recall: float
    f1: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class Averages:
    """Rates by one criterion.

    Attributes:
        title: of the criterion, for people.
        micro: of the counts of all classes together.
        macro: means over the classes with truth; precision over those of them with detections.
        per_class: by label.
    """

    title: str
    micro: Rates
    macro: Rates
    per_class: Mapping[str, Rates]


@dataclass(frozen=True, slots=True, eq=False)
class ClassLatency:
    """How late the messages of one class came, in seconds of audio.

    The first detection of its class that overlaps a true event has the onset message, the last one
    the offset message. A detection that spans several true events has the onset message of the
    first and the offset message of the last; of what lies between there was none. Negative: before
    the truth.

    Attributes:
        onset_s: ``(n,)`` from the true onset to the onset message, of true events that have one.
        offset_s: ``(m,)`` from the true offset to the offset message, likewise.
    """

    onset_s: Floats
    offset_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """A PSD-ROC: a staircase, to be drawn with steps after each point.

    Attributes:
        key: of the metric that is the area below it.
        title: for people.
        max_efpr: end of the x axis: effective false positives an hour.
        efpr: ``(E,)`` effective false positive rate an hour, rising.
        effective_tpr: ``(E,)`` mean over the classes less their variation (alpha_st).
        per_class: by label ``(E,)`` true positive ratios over the same ``efpr``.
    """

    key: str
    title: str
    max_efpr: float
    efpr: Floats
    effective_tpr: Floats
    per_class: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCurve:
    """An F1 over thresholds on the scores.

    Attributes:
        key: of the metric.
        title: for people.
        thresholds: ``(K,)`` rising.
        macro: ``(K,)``.
        per_class: by label ``(K,)``; NaN for a class without truth.
    """

    key: str
    title: str
    thresholds: Floats
    macro: Floats
    per_class: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """What was detected when: rows are truth, columns detections, both with ``nothing`` last.

    Attributes:
        labels: the C classes.
        counts: ``(C + 1, C + 1)`` int64. A detection that touches a true event of its class
            counts on the diagonal; otherwise in the row of the class that it overlaps longest,
            or of ``nothing``. The last column counts true events that no detection of their
            class touches.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RecordingErrors:
    """Errors of one recording at the operating point, by the event-based criterion."""

    recording: str
    truth: int
    hits: int
    wrong: int

    @property
    def errors(self) -> int:
        """Missed and wrong events together."""
        return self.truth - self.hits + self.wrong


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Everything that was measured.

    Attributes:
        classes: the classes evaluated.
        recordings: how many.
        hours: of audio.
        metrics: in the order in which people want to read them.
        counts: by label; empty without an operating point.
        latency: by label; empty where the times of messages are not known.
        roc: PSD-ROC curves; empty without several operating points.
        f1_over_threshold: empty without scores or operating points.
        confusion: None without an operating point.
        by_recording: the worst first; empty without an operating point.
        notes: what was mended, left out or could not be computed, and why; a line each.
        averages: by criterion (``event``, ``intersection``, ``segment``, ``tagging``); empty
            without an operating point.
    """

    classes: tuple[str, ...]
    recordings: int
    hours: float
    metrics: tuple[Metric, ...]
    counts: Mapping[str, ClassCounts]
    latency: Mapping[str, ClassLatency]
    roc: tuple[RocCurve, ...]
    f1_over_threshold: tuple[ThresholdCurve, ...]
    confusion: Confusion | None
    by_recording: tuple[RecordingErrors, ...]
    notes: tuple[str, ...]
    averages: Mapping[str, Averages] = field(default_factory=dict)
