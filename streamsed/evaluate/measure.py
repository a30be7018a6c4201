"""Everything that is measured of data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamsed.evaluate.criteria.latency import message_latency
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.evaluation import ClassLatency, Evaluation, Metric
from streamsed.evaluate.intervals import Intervals
from streamsed.evaluate.metrics.at_operating_point import at_operating_point
from streamsed.evaluate.metrics.bootstrap import confidence_intervals
from streamsed.evaluate.metrics.detections import operating_point
from streamsed.evaluate.metrics.over_every_threshold import best_figures, exact_figures
from streamsed.evaluate.metrics.over_thresholds import over_thresholds
from streamsed.evaluate.metrics.resampled import ResampledMetric, classes_with_truth


def evaluate(
    data: EvaluationData,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    show: Callable[[str], object] = lambda _: None,
) -> Evaluation:
    """Measure all that the data allows; the notes name what it does not, and why.

    Args:
        data: detections and truth.
        bootstrap: resamples of the recordings for the confidence intervals; 0 for none.
        seed: of the resamples; the same seed gives the same intervals.
        show: called with what is being measured, before each part that may take long.
    """
    data, mends = _complete(data)
    show("measuring PSDS and F1 over thresholds")
    over = over_thresholds(data)
    show("measuring PSDS over every threshold there is")
    exact, too_long = exact_figures(data)
    show("measuring F1 and errors")
    at = at_operating_point(data, operating_point(data))
    figures = [*over.figures, *exact, *at.figures, *best_figures(data)]
    show("resampling for confidence intervals")
    metrics, doubts = _with_intervals(
        figures, recordings=len(data.durations_s), resamples=bootstrap, seed=seed
    )
    return Evaluation(
        classes=data.classes,
        recordings=len(data.durations_s),
        hours=data.hours,
        metrics=metrics,
        counts=at.counts,
        latency=_latency(data),
        roc=over.roc,
        f1_over_threshold=over.curves,
        confusion=at.confusion,
        by_recording=at.by_recording,
        averages=at.averages,
        notes=(*mends, *over.notes, *too_long, *at.notes, *_left_out(data), *doubts),
    )


def _complete(data: EvaluationData) -> tuple[EvaluationData, tuple[str, ...]]:
    """Give recordings without scores scores of 0: nothing was detected in them."""
    if data.scores is None:
        return data, data.notes
    absent = [name for name in data.durations_s if name not in data.scores]
    if not absent:
        return data, data.notes
    nothing = np.zeros((1, len(data.classes)), np.float32)
    scores = {
        name: data.scores.get(name) or ScoreTable(np.array([0.0, duration_s]), nothing)
        for name, duration_s in data.durations_s.items()
    }
    named = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
    note = f"{len(absent)} recordings have no scores, as if nothing were detected: {named}"
    return replace(data, scores=scores), (*data.notes, note)


def _latency(data: EvaluationData) -> Mapping[str, ClassLatency]:
    if data.decided is None:
        return {}
    recordings, classes = tuple(data.durations_s), data.classes
    true = Intervals.of(data.truth, recordings=recordings, classes=classes)
    return message_latency(data.decided, true, recordings=recordings, classes=classes)


def _with_intervals(
    figures: Sequence[ResampledMetric], *, recordings: int, resamples: int, seed: int
) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Return the metrics, the headlines among them with their intervals, and notes."""
    intervals = confidence_intervals(
        {f.metric.key: f.resampled for f in figures if f.resampled is not None},
        recordings=recordings,
        resamples=resamples,
        seed=seed,
    )
    how = (
        f"bias-corrected percentiles of {resamples} resamples of the recordings with replacement,"
        f" seed {seed}, from the library's counts of each recording"
    )
    metrics = []
    for figure in figures:
        metric = figure.metric
        interval = intervals.get(metric.key)
        if interval is not None:
            parameters = {**metric.parameters, "interval": how}
            metric = replace(metric, parameters=parameters, interval=interval)
        metrics.append(metric)
    if resamples > 0 and recordings < 2:
        return tuple(metrics), ("no confidence intervals: they need more than one recording",)
    without = [
        figure.metric.title
        for figure in figures
        if figure.resampled is not None
        and figure.metric.key not in intervals
        and math.isfinite(figure.metric.value)
    ]
    if resamples > 0 and without:
        note = (
            f"no confidence interval of {', '.join(without)}: nearly all resamples lie on one "
            "side of the value, as of few recordings or of many classes with few events each"
        )
        return tuple(metrics), (note,)
    return tuple(metrics), ()


def _left_out(data: EvaluationData) -> list[str]:
    notes = []
    present = classes_with_truth(data)
    absent = [name for name in data.classes if name not in present]
    if absent:
        notes.append(f"no truth of {', '.join(absent)}: not in macro averages and PSDS")
    if len(present) == 1:
        notes.append(f"only {present[0]} has truth: PSDS2 has no cross triggers to punish")
    if data.scores is None:
        notes.append("no exact PSDS and no F1MO: they need scores")
    if data.decided is None:
        notes.append("no latency: when messages were published is not known")
    return notes
