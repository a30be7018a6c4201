"""What follows from several operating points: PSDS, PSD-ROC, and F1 over the threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamsed.evaluate.criteria.collar import matched_counts
from streamsed.evaluate.criteria.error_counts import macro
from streamsed.evaluate.criteria.intersection import F1_CRITERIA, IntersectionCounts
from streamsed.evaluate.criteria.psds import PSDS1, PSDS2, psds_of
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.evaluation import Metric, RocCurve, ThresholdCurve
from streamsed.evaluate.intervals import Intervals
from streamsed.evaluate.libraries import values_of
from streamsed.evaluate.metrics.detections import mended
from streamsed.evaluate.metrics.resampled import Floats, ResampledMetric, classes_with_truth, of_all
from streamsed.evaluate.metrics.thresholds import THRESHOLDS, ScoreStack


@dataclass(frozen=True, slots=True, eq=False)
class OverThresholds:
    """What follows from several operating points."""

    figures: tuple[ResampledMetric, ...] = ()
    roc: tuple[RocCurve, ...] = ()
    curves: tuple[ThresholdCurve, ...] = ()
    notes: tuple[str, ...] = ()


def over_thresholds(data: EvaluationData) -> OverThresholds:
    """Measure over 50 thresholds on the scores, or the operating points that were given."""
    thresholds = _thresholds(data)
    if len(thresholds) < 2:
        return OverThresholds(notes=("no PSDS: it needs scores or several operating points",))
    if not classes_with_truth(data):
        return OverThresholds(notes=("no PSDS: there is no truth at all",))
    notes: list[str] = []
    counts, event_f1 = _count(data, notes)
    all_f1 = {
        "event": np.stack(event_f1),
        "intersection": np.stack([c.f1() for c in counts[2].error_counts(data.classes)]),
    }
    results = [psds_of(c, criteria) for c, criteria in zip(counts, (PSDS1, PSDS2), strict=False)]
    range_ = f"{len(thresholds)} from {thresholds[0]:g} to {thresholds[-1]:g}"
    return OverThresholds(
        figures=tuple(
            ResampledMetric(
                Metric(
                    key=result.criteria.key,
                    title=result.criteria.key.upper(),
                    computed_by=values_of("psds_eval"),
                    parameters={**result.criteria.parameters(), "thresholds": range_},
                    value=result.value,
                    per_class=of_all(result.per_class, data.classes),
                ),
                result.resampled,
            )
            for result in results
        ),
        roc=tuple(result.curve for result in results),
        curves=tuple(
            ThresholdCurve(
                key=f"{kind}_f1",
                title=f"{kind.capitalize()}-based F1",
                thresholds=np.array(thresholds, np.float64),
                macro=macro(values),
                per_class={name: values[:, c] for c, name in enumerate(data.classes)},
            )
            for kind, values in all_f1.items()
        ),
        notes=tuple(notes),
    )


def _thresholds(data: EvaluationData) -> Sequence[float]:
    return THRESHOLDS if data.scores is not None else sorted(data.operating_points or ())


def _points(data: EvaluationData, notes: list[str]) -> Iterator[Intervals]:
    """Yield the detections at each threshold, rising; note what had to be mended."""
    recordings, classes = tuple(data.durations_s), data.classes
    if data.scores is not None:
        stack = ScoreStack({name: data.scores[name] for name in recordings}, classes)
        yield from map(stack.intervals, THRESHOLDS)
        return
    for threshold, events in sorted((data.operating_points or {}).items()):
        table, lines = mended(events, classes)
        notes += [f"operating point {threshold:g}: {line}" for line in lines]
        yield Intervals.of(table, recordings=recordings, classes=classes)


def _count(
    data: EvaluationData, notes: list[str]
) -> tuple[tuple[IntersectionCounts, ...], list[Floats]]:
    """Count all points by the criteria of PSDS1, PSDS2 and F1, and by collars.

    Points are looked at once and one after the other: all at once they may not fit into memory.
    """
    recordings, classes = tuple(data.durations_s), data.classes
    true = Intervals.of(data.truth, recordings=recordings, classes=classes)
    duration_s = np.array(list(data.durations_s.values()), np.float64)
    counts = tuple(
        IntersectionCounts(
            true,
            criteria,
            duration_s=duration_s,
            classes=classes,
            cross_triggers=criteria is PSDS2,
        )
        for criteria in (PSDS1, PSDS2, F1_CRITERIA)
    )
    event_f1 = []
    for found in _points(data, notes):
        intersections = counts[0].intersections(found)
        for each in counts:
            each.count(intersections)
        matched = matched_counts(found, true, recordings=len(recordings), classes=len(classes))
        event_f1.append(matched.f1())
    return counts, event_f1
