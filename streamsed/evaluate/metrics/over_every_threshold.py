"""Metrics of scores without a choice of thresholds: exact PSDS, and F1 at the best ones."""

from __future__ import annotations

from collections.abc import Mapping

from streamsed.evaluate.criteria.exact_psds import exact_psds, too_much
from streamsed.evaluate.criteria.psds import PSDS1, PSDS2, PSDSCriteria
from streamsed.evaluate.criteria.segments import (
    BEST_PARAMETERS,
    MICROSECONDS,
    OFFICIAL_DECIMALS,
    best_segment_f1,
)
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.evaluation import Metric
from streamsed.evaluate.libraries import computed_by, values_of
from streamsed.evaluate.metrics.resampled import ResampledMetric, classes_with_truth, of_all


def exact_figures(data: EvaluationData) -> tuple[tuple[ResampledMetric, ...], tuple[str, ...]]:
    """Return both PSDS over every threshold there is; a note where that is left out."""
    if data.scores is None or not classes_with_truth(data):
        return (), ()
    reason = too_much(
        data.scores,
        data.truth,
        recordings=tuple(data.durations_s),
        classes=data.classes,
    )
    if reason:
        return (), (f"no exact PSDS: {reason}",)
    return tuple(_exact(data, criteria) for criteria in (PSDS1, PSDS2)), ()


def _exact(data: EvaluationData, criteria: PSDSCriteria) -> ResampledMetric:
    assert data.scores is not None
    value, per_class = exact_psds(
        data.scores,
        data.truth,
        criteria,
        durations_s=data.durations_s,
        classes=data.classes,
    )
    return ResampledMetric(
        Metric(
            key=f"{criteria.key}_exact",
            title=f"{criteria.key.upper()}, exact",
            computed_by=values_of("sed_scores_eval"),
            parameters={**criteria.parameters(), "thresholds": "all"},
            value=value,
            per_class=of_all(per_class, data.classes),
        )
    )


def best_figures(data: EvaluationData) -> tuple[ResampledMetric, ...]:
    """Return F1MO, segment-based F1 at the best threshold of each class: official and exact."""
    scores = data.scores
    if scores is None:
        return ()
    return tuple(
        _best_figure(data, scores, key=key, title=title, time_decimals=decimals)
        for key, title, decimals in (
            ("f1mo", "F1MO (best thresholds)", OFFICIAL_DECIMALS),
            ("f1mo_exact", "F1MO, times to 1 µs", MICROSECONDS),
        )
    )


def _best_figure(
    data: EvaluationData,
    scores: Mapping[str, ScoreTable],
    *,
    key: str,
    title: str,
    time_decimals: int,
) -> ResampledMetric:
    value, per_class = best_segment_f1(
        scores,
        data.truth,
        durations_s=data.durations_s,
        classes=data.classes,
        time_decimals=time_decimals,
    )
    return ResampledMetric(
        Metric(
            key=key,
            title=title,
            computed_by=computed_by("sed_scores_eval"),
            parameters={**BEST_PARAMETERS, "time_decimals": time_decimals},
            value=value,
            per_class=of_all(per_class, data.classes),
        )
    )
