"""Everything that is measured of a material."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamsed.evaluate.at_operating_point import at_operating_point
from streamsed.evaluate.bootstrap import confidence_intervals
from streamsed.evaluate.detections import operating_point
from streamsed.evaluate.evaluation import ClassLatency, Evaluation, Metric
from streamsed.evaluate.intervals import Intervals
from streamsed.evaluate.latency import message_latency
from streamsed.evaluate.material import Material, ScoreTable
from streamsed.evaluate.over_every_threshold import best_figures, exact_figures
from streamsed.evaluate.over_thresholds import over_thresholds
from streamsed.evaluate.resampled import ResampledMetric, classes_with_truth


def evaluate(
    material: Material,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    show: Callable[[str], object] = lambda _: None,
) -> Evaluation:
    """Measure all that the material allows; the notes name what it does not, and why.

    Args:
        material: detections and truth.
        bootstrap: resamples of the recordings for the confidence intervals; 0 for none.
        seed: of the resamples; the same seed gives the same intervals.
        show: called with what is being measured, before each part that may take long.
    """
    material, mends = _complete(material)
    show("measuring PSDS and F1 over thresholds")
    over = over_thresholds(material)
    show("measuring PSDS over every threshold there is")
    exact, too_long = exact_figures(material)
    show("measuring F1 and errors")
    at = at_operating_point(material, operating_point(material))
    figures = [*over.figures, *exact, *at.figures, *best_figures(material)]
    show("resampling for confidence intervals")
    metrics, doubts = _with_intervals(
        figures, recordings=len(material.durations_s), resamples=bootstrap, seed=seed
    )
    return Evaluation(
        classes=material.classes,
        recordings=len(material.durations_s),
        hours=material.hours,
        metrics=metrics,
        counts=at.counts,
        latency=_latency(material),
        roc=over.roc,
        f1_over_threshold=over.curves,
        confusion=at.confusion,
        by_recording=at.by_recording,
        averages=at.averages,
        notes=(*mends, *over.notes, *too_long, *at.notes, *_left_out(material), *doubts),
    )


def _complete(material: Material) -> tuple[Material, tuple[str, ...]]:
    """Give recordings without scores scores of 0: nothing was detected in them."""
    if material.scores is None:
        return material, material.notes
    absent = [name for name in material.durations_s if name not in material.scores]
    if not absent:
        return material, material.notes
    nothing = np.zeros((1, len(material.classes)), np.float32)
    scores = {
        name: material.scores.get(name) or ScoreTable(np.array([0.0, duration_s]), nothing)
        for name, duration_s in material.durations_s.items()
    }
    named = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
    note = f"{len(absent)} recordings have no scores, as if nothing were detected: {named}"
    return replace(material, scores=scores), (*material.notes, note)


def _latency(material: Material) -> Mapping[str, ClassLatency]:
    if material.decided is None:
        return {}
    recordings, classes = tuple(material.durations_s), material.classes
    true = Intervals.of(material.truth, recordings=recordings, classes=classes)
    return message_latency(material.decided, true, recordings=recordings, classes=classes)


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


def _left_out(material: Material) -> list[str]:
    notes = []
    present = classes_with_truth(material)
    absent = [name for name in material.classes if name not in present]
    if absent:
        notes.append(f"no truth of {', '.join(absent)}: not in macro averages and PSDS")
    if len(present) == 1:
        notes.append(f"only {present[0]} has truth: PSDS2 has no cross triggers to punish")
    if material.scores is None:
        notes.append("no exact PSDS and no F1MO: they need scores")
    if material.decided is None:
        notes.append("no latency: when messages were published is not known")
    return notes
