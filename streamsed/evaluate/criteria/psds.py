"""PSDS over operating points, and the same arithmetic on counts for resampled recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from streamsed.evaluate.criteria.intersection import IntersectionCounts, IntersectionCriteria
from streamsed.evaluate.criteria.staircases import (
    Staircase,
    corners,
    mean_and_deviation,
    psds_below,
)
from streamsed.evaluate.evaluation import RocCurve
from streamsed.evaluate.intervals import Intervals

Floats = NDArray[np.float64]

_DRAWN = 2000
"""Corners of a curve to be drawn, at most: of many classes all would fill a file of 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PSDSCriteria(IntersectionCriteria):
    """Parameters of one PSDS (Bilen et al. 2020); cross triggers count only where alpha_ct > 0.

    Attributes:
        key: in ``metrics.json``.
        alpha_ct: what a cross trigger costs.
        alpha_st: what variation between the classes costs.
        max_efpr_per_hour: where the area ends: effective false positives an hour.
    """

    key: str
    alpha_ct: float
    alpha_st: float = 1.0
    max_efpr_per_hour: float = 100.0

    def parameters(self) -> dict[str, float | int | str]:
        """Return them by their names in the field; cttc only where it matters."""
        cross = {"cttc_threshold": self.cttc} if self.alpha_ct > 0 else {}
        return {
            "dtc_threshold": self.dtc,
            "gtc_threshold": self.gtc,
            **cross,
            "alpha_ct": self.alpha_ct,
            "alpha_st": self.alpha_st,
            "max_efpr": self.max_efpr_per_hour,
            "duration_unit": "hour",
        }


PSDS1 = PSDSCriteria(key="psds1", dtc=0.7, gtc=0.7, cttc=0.3, alpha_ct=0.0)
"""DCASE scenario 1: exact boundaries, no penalty for cross triggers."""
PSDS2 = PSDSCriteria(key="psds2", dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5)
"""DCASE scenario 2: right class rather than exact boundaries."""


@dataclass(frozen=True, slots=True, eq=False)
class PSDSResult:
    """One PSDS, its curve, and what is needed to compute it of resampled recordings.

    Attributes:
        value: the score.
        per_class: by class with truth: its own area below its curve, without ``alpha_st``.
        curve: PSD-ROC.
        counts: by recording.
        criteria: which PSDS.
    """

    value: float
    per_class: Mapping[str, float]
    curve: RocCurve
    counts: IntersectionCounts
    criteria: PSDSCriteria

    def resampled(self, weights: Floats) -> Floats:
        """Return the PSDS ``(B,)`` where recording ``r`` counts ``weights[b, r]`` times."""
        tpr, efpr = rates(self.counts, self.criteria, weights)
        return area_below_roc(tpr, efpr, self.criteria)


def psds(
    points: Iterable[pd.DataFrame],
    truth: pd.DataFrame,
    criteria: PSDSCriteria,
    *,
    durations_s: Mapping[str, float],
) -> PSDSResult:
    """Return the PSDS over operating points; classes without truth are left out.

    Args:
        points: event tables, one an operating point, in any order; at least one.
        truth: event table; not empty.
        criteria: which PSDS.
        durations_s: every recording and its length.
    """
    recordings, classes = tuple(durations_s), tuple(pd.unique(truth["event_label"]))
    counts = IntersectionCounts(
        Intervals.of(truth, recordings=recordings, classes=classes),
        criteria,
        duration_s=np.array(list(durations_s.values()), np.float64),
        classes=classes,
        cross_triggers=criteria.alpha_ct > 0,
    )
    for events in points:
        known = events[events["event_label"].isin(classes)]
        detections = Intervals.of(known, recordings=recordings, classes=classes)
        counts.count(counts.intersections(detections))
    return psds_of(counts, criteria)


def psds_of(counts: IntersectionCounts, criteria: PSDSCriteria) -> PSDSResult:
    """Return the PSDS over the operating points, one or more, that were counted."""
    limit = criteria.max_efpr_per_hour
    tpr, efpr = rates(counts, criteria, np.ones((1, len(counts.duration_s))))
    nothing = np.zeros(1)  # detected at a threshold above all scores
    curves = [
        Staircase.through(np.append(nothing, x), np.append(nothing, y))
        for x, y in zip(efpr[0].T, tpr[0].T, strict=True)
    ]
    x = corners(curves, end=limit)
    x = x[:: -(-len(x) // _DRAWN)]
    mean, deviation = mean_and_deviation(curves, x)
    return PSDSResult(
        value=psds_below(curves, alpha_st=criteria.alpha_st, end=limit),
        per_class={
            name: curve.area(limit) for name, curve in zip(counts.classes, curves, strict=True)
        },
        curve=RocCurve(
            key=criteria.key,
            title=f"PSD-ROC of {criteria.key.upper()}",
            max_efpr=limit,
            efpr=x,
            effective_tpr=np.maximum(mean - criteria.alpha_st * deviation, 0.0),
            per_class={
                name: curve.at(x) for name, curve in zip(counts.classes, curves, strict=True)
            },
        ),
        counts=counts,
        criteria=criteria,
    )


def rates(
    counts: IntersectionCounts, criteria: PSDSCriteria, weights: Floats
) -> tuple[Floats, Floats]:
    """Return the rates of resampled recordings, as psds_eval computes them of all.

    Args:
        counts: of each recording at K operating points.
        criteria: which PSDS.
        weights: ``(B, R)`` how often each recording counts.

    Returns:
        True positive ratio and effective false positives an hour, both ``(B, K, C)``; the
        ratio is NaN for a class without truth in a resample.
    """
    truth_count = weights @ counts.truth_count
    truth_hours = weights @ counts.truth_s / 3600
    hours = weights @ counts.duration_s / 3600
    present = truth_count > 0
    # The mean cross trigger rate of a class: over all other classes that have truth.
    others = np.maximum(present.sum(axis=1) - 1, 1)
    share = np.divide(1.0, truth_hours, out=np.zeros_like(truth_hours), where=present)
    cross_weights = weights[:, counts.truth_recording] * share[:, counts.truth_label]
    cross_weights *= criteria.alpha_ct / others[:, None]
    tpr = np.full((len(weights), len(counts.hits), len(counts.classes)), np.nan)
    efpr = np.zeros_like(tpr)
    for k, (hits, false) in enumerate(zip(counts.hits, counts.false, strict=True)):
        np.divide(weights @ hits, truth_count, out=tpr[:, k], where=present)
        efpr[:, k] = weights @ false / hours[:, None]
        if criteria.alpha_ct > 0:
            efpr[:, k] += (counts.cross[k] @ cross_weights.T).T
    return tpr, efpr


def area_below_roc(tpr: Floats, efpr: Floats, criteria: PSDSCriteria) -> Floats:
    """Return the PSDS ``(B,)`` of rates ``(B, K, C)``; NaN where no class has truth.

    The curve of a class is the staircase through its operating points, never falling. Walking
    along the points of all classes together, mean and variance over the classes change by what
    the one class rises.
    """
    order = np.argsort(efpr, axis=1)
    x = np.take_along_axis(efpr, order, axis=1)
    y = np.maximum.accumulate(np.nan_to_num(np.take_along_axis(tpr, order, axis=1)), axis=1)
    below = np.concatenate([np.zeros_like(y[:, :1]), y[:, :-1]], axis=1)
    batch = len(x)
    x = x.reshape(batch, -1)
    along = np.argsort(x, axis=1)
    x = np.minimum(np.take_along_axis(x, along, axis=1), criteria.max_efpr_per_hour)
    total = _running_sum((y - below).reshape(batch, -1), along)
    squares = _running_sum((y**2 - below**2).reshape(batch, -1), along)
    classes = (~np.isnan(tpr)).any(axis=1).sum(axis=1)[:, None]
    mean = total / np.maximum(classes, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(classes, 1) - mean**2, 0.0))
    height = np.maximum(mean - criteria.alpha_st * deviation, 0.0)
    widths = np.diff(x, axis=1, append=criteria.max_efpr_per_hour)
    area = (height * widths).sum(axis=1) / criteria.max_efpr_per_hour
    return np.where(classes[:, 0] > 0, area, np.nan)


def _running_sum(steps: Floats, order: NDArray[np.intp]) -> Floats:
    return np.cumsum(np.take_along_axis(steps, order, axis=1), axis=1)
