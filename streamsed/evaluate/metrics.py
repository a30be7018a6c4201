"""PSDS, event-based and intersection-based F1."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psds_eval import PSDSEval
from sed_eval.sound_event import EventBasedMetrics

from streamsed.evaluate.tables import duration_table, threshold_events

PSDS_THRESHOLDS: tuple[float, ...] = tuple(np.arange(0.01, 1, 0.02).tolist())
"""The 50 operating points 0.01, 0.03 ... 0.99 of the DCASE baseline."""


@dataclass(frozen=True)
class PSDSCriteria:
    """Parameters of one PSDS (Bilen et al. 2020); cross triggers count only where alpha_ct > 0."""

    dtc: float
    gtc: float
    cttc: float
    alpha_ct: float
    alpha_st: float = 1.0
    max_efpr_per_hour: float = 100.0


PSDS1 = PSDSCriteria(dtc=0.7, gtc=0.7, cttc=0.3, alpha_ct=0.0)
"""DCASE scenario 1: exact boundaries, no penalty for cross triggers."""
PSDS2 = PSDSCriteria(dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5)
"""DCASE scenario 2: right class rather than exact boundaries."""


@dataclass(frozen=True)
class F1:
    """F1 per class, in [0, 1]; NaN for a class without truth."""

    per_class: dict[str, float]

    @property
    def macro(self) -> float:
        """Mean over the classes that have a value."""
        return float(np.nanmean(list(self.per_class.values())))


def psds(
    scores: Mapping[str, NDArray[np.float32]],
    truth: pd.DataFrame,
    criteria: PSDSCriteria,
    *,
    classes: Sequence[str],
    frame_s: float,
    durations_s: Mapping[str, float],
) -> tuple[float, dict[str, float]]:
    """Return the PSDS over 50 operating points, and the same for each class alone.

    The value of a class is its own normalised area under the PSD-ROC, without the penalty
    ``alpha_st`` for variation between classes. Classes without truth count for nothing: NaN.

    Args:
        scores: recording to median-filtered scores ``(T, C)``.
        truth: event table.
        criteria: which PSDS.
        classes: the C class names.
        frame_s: seconds of a frame.
        durations_s: every recording and its length.
    """
    present = _with_truth(classes, truth)
    evaluation = PSDSEval(
        ground_truth=truth,
        metadata=duration_table(durations_s),
        class_names=present,
        dtc_threshold=criteria.dtc,
        gtc_threshold=criteria.gtc,
        cttc_threshold=criteria.cttc,
    )
    with _without_library_warnings():
        for threshold in PSDS_THRESHOLDS:
            found = threshold_events(
                scores, threshold, classes=classes, frame_s=frame_s, durations_s=durations_s
            )
            evaluation.add_operating_point(found[found["event_label"].isin(present)])
        result = evaluation.psds(
            alpha_ct=criteria.alpha_ct,
            alpha_st=criteria.alpha_st,
            max_efpr=criteria.max_efpr_per_hour,
        )
        curves, _, _ = evaluation.psd_roc_curves(criteria.alpha_ct)
    limit = criteria.max_efpr_per_hour
    widths = np.diff(np.append(np.minimum(curves.xp, limit), limit))  # the curve is a staircase
    areas = dict.fromkeys(classes, float("nan"))
    areas.update(zip(present, (curves.yp @ widths / limit).tolist(), strict=True))
    return float(result.value), areas


def event_f1(
    detections: pd.DataFrame, truth: pd.DataFrame, *, classes: Sequence[str], files: Sequence[str]
) -> F1:
    """Return the collar-based F1: onset within 200 ms, offset within 200 ms or 20 % of length."""
    metrics = EventBasedMetrics(
        event_label_list=list(classes), t_collar=0.2, percentage_of_length=0.2
    )
    by_file = dict(iter(detections.groupby("filename")))
    truth_by_file = dict(iter(truth.groupby("filename")))
    for name in files:
        metrics.evaluate(
            reference_event_list=_records(truth_by_file.get(name)),
            estimated_event_list=_records(by_file.get(name)),
        )
    result = metrics.results_class_wise_metrics()
    return _f1({name: result[name]["f_measure"]["f_measure"] for name in classes}, truth)


def _records(table: pd.DataFrame | None) -> list[dict[str, object]]:
    return [] if table is None else table.to_dict("records")


def intersection_f1(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    classes: Sequence[str],
    durations_s: Mapping[str, float],
) -> F1:
    """Return the intersection-based F1 (dtc 0.5, gtc 0.5, cttc 0.3), as DCASE 2021 uses it."""
    present = _with_truth(classes, truth)
    evaluation = PSDSEval(
        ground_truth=truth,
        metadata=duration_table(durations_s),
        class_names=present,
        dtc_threshold=0.5,
        gtc_threshold=0.5,
        cttc_threshold=0.3,
    )
    with _without_library_warnings():
        _, per_class = evaluation.compute_macro_f_score(
            detections[detections["event_label"].isin(present)]
        )
    return _f1({name: per_class.get(name, float("nan")) for name in classes}, truth)


def _with_truth(classes: Sequence[str], truth: pd.DataFrame) -> list[str]:
    """Return the classes that occur in the truth; psds_eval knows no others."""
    occurring = set(truth["event_label"])
    return [name for name in classes if name in occurring]


@contextmanager
def _without_library_warnings() -> Iterator[None]:
    """Silence psds_eval 0.5: old calls into numpy and pandas, and 0 / 0 where nothing was found.

    It also warns of thresholds that find the same events; they are one point on the curve.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"psds_eval")
        yield


def _f1(per_class: Mapping[str, float], truth: pd.DataFrame) -> F1:
    """Both libraries divide by the number of detections: with truth and none, the F1 is 0."""
    occurring = set(truth["event_label"])
    return F1(
        {
            name: float(np.nan_to_num(value)) if name in occurring else float("nan")
            for name, value in per_class.items()
        }
    )
