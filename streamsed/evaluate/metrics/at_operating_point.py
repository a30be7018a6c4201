"""What is measured at the operating point: F1s, error counts, confusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamsed.evaluate.criteria import collar, intersection, segments, tagging
from streamsed.evaluate.criteria.confusion import confusion
from streamsed.evaluate.criteria.error_counts import ErrorCounts, macro
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.evaluation import Averages, ClassCounts, Confusion, Metric, RecordingErrors
from streamsed.evaluate.intervals import Intervals
from streamsed.evaluate.libraries import computed_by, values_of
from streamsed.evaluate.metrics.counts import class_counts, errors_by_recording
from streamsed.evaluate.metrics.detections import OperatingPoint
from streamsed.evaluate.metrics.resampled import Parameters, ResampledMetric


@dataclass(frozen=True, slots=True, eq=False)
class AtOperatingPoint:
    """What follows from the one operating point."""

    figures: tuple[ResampledMetric, ...] = ()
    counts: Mapping[str, ClassCounts] = field(default_factory=dict)
    confusion: Confusion | None = None
    by_recording: tuple[RecordingErrors, ...] = ()
    notes: tuple[str, ...] = ()
    averages: Mapping[str, Averages] = field(default_factory=dict)


def at_operating_point(data: EvaluationData, point: OperatingPoint | None) -> AtOperatingPoint:
    """Measure the detections at one threshold, or as they were given; None are nothing."""
    if point is None:
        return AtOperatingPoint(notes=("no F1 and no error counts: nothing was detected",))
    recordings, classes = tuple(data.durations_s), data.classes
    tables = {"detections": point.events, "truth": data.truth}
    event = collar.event_counts(**tables, recordings=recordings, classes=classes)
    durations_s = data.durations_s
    (intersections,) = intersection.intersection_counts(
        [point.events], data.truth, durations_s=durations_s, classes=classes
    )
    segment = segments.segment_counts(**tables, durations_s=durations_s, classes=classes)
    tags = tagging.tag_counts(**tables, recordings=recordings, classes=classes)
    sed_eval = computed_by("sed_eval")
    at: Parameters = {"threshold": "as given" if point.threshold is None else point.threshold}

    def figure(
        key: str, title: str, computed_by: str, counts: ErrorCounts, parameters: Parameters
    ) -> ResampledMetric:
        values = counts.f1()
        metric = Metric(
            key=key,
            title=title,
            computed_by=computed_by,
            parameters={**parameters, **at},
            value=float(macro(values)),
            per_class=dict(zip(classes, values.tolist(), strict=True)),
        )
        return ResampledMetric(metric, counts.resampled_f1)

    notes = point.notes
    if point.events.empty:
        notes = (
            "nothing was detected at the operating point: its figures are 0 or undefined",
            *notes,
        )
    criteria = {
        "event": ("Event-based", event),
        "intersection": ("Intersection-based", intersections),
        "segment": ("Segment-based", segment),
        "tagging": ("Clip-level tagging", tags),
    }
    found = Intervals.of(point.events, recordings=recordings, classes=classes)
    true = Intervals.of(data.truth, recordings=recordings, classes=classes)
    return AtOperatingPoint(
        figures=(
            figure("event_f1", "Event-based F1", sed_eval, event, collar.PARAMETERS),
            figure(
                "intersection_f1",
                "Intersection-based F1",
                values_of("psds_eval"),
                intersections,
                intersection.PARAMETERS,
            ),
            figure("segment_f1", "Segment-based F1", sed_eval, segment, segments.PARAMETERS),
            figure("tagging_f1", "Clip-level tagging F1", sed_eval, tags, tagging.PARAMETERS),
        ),
        counts=class_counts(event, found, true, classes=classes, hours=data.hours),
        confusion=confusion(found, true, classes),
        by_recording=errors_by_recording(event, recordings),
        notes=notes,
        averages={
            key: counts.averages(title, classes) for key, (title, counts) in criteria.items()
        },
    )
