"""Segment-based F1: of each second, which classes occur in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pandas as pd
from sed_eval.sound_event import SegmentBasedMetrics
from sed_scores_eval.segment_based import best_fscore

from streamsed.evaluate.criteria.error_counts import ErrorCounts
from streamsed.evaluate.criteria.sed_eval_counts import (
    count_by_recording,
    labels_of,
    records_by_recording,
)
from streamsed.evaluate.data import ScoreTable
from streamsed.evaluate.libraries import library_scores, library_truth, plain_labels

SEGMENT_S = 1.0
PARAMETERS: dict[str, float | int | str] = {
    "time_resolution": SEGMENT_S,
    "average": "macro over the classes with truth",
}
# The challenge's own call rounds times to 30 decimals, that is by a factor of 1e30 and back: some
# whole seconds (15, 23, 27, ...) come out a rounding error away, and what ends there also touches
# the next segment. So faultless scores may reach less than 1. With microseconds nothing moves.
OFFICIAL_DECIMALS = 30
MICROSECONDS = 6
BEST_PARAMETERS: dict[str, float | int | str] = {
    "call": "sed_scores_eval.segment_based.best_fscore",
    "segment_length": SEGMENT_S,
    "min_precision": 0.0,
    "min_recall": 0.0,
    "beta": 1.0,
    "segment_score": "maximum of the frames that it overlaps",
    "threshold": "by class, the best for this very truth: an oracle, not for use",
    "average": "macro over the classes with truth, all recordings pooled",
}


def segment_counts(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    durations_s: Mapping[str, float],
    classes: Sequence[str],
) -> ErrorCounts:
    """Count segments of 1 s with sed_eval: a class is in a segment if an event touches it."""
    true = records_by_recording(truth, classes)
    found = records_by_recording(detections, classes)

    def count(name: str, labels: list[str]) -> Mapping[str, Mapping[str, float]]:
        metrics = SegmentBasedMetrics(event_label_list=labels, time_resolution=SEGMENT_S)
        metrics.evaluate(
            reference_event_list=true.get(name, []),
            estimated_event_list=found.get(name, []),
            evaluated_length_seconds=durations_s[name],
        )
        return cast("Mapping[str, Mapping[str, float]]", metrics.class_wise)

    return count_by_recording(
        count, labels_of(true, found), recordings=tuple(durations_s), classes=classes
    )


def best_segment_f1(
    scores: Mapping[str, ScoreTable],
    truth: pd.DataFrame,
    *,
    durations_s: Mapping[str, float],
    classes: Sequence[str],
    time_decimals: int,
) -> tuple[float, dict[str, float]]:
    """Return F1MO, macro and of each class that has truth: F1 at its best threshold.

    It is the figure of DCASE's MAESTRO Real task (Martin-Morato et al. 2023). The thresholds are
    chosen with the truth in hand: it bounds what a system may reach.

    Args:
        scores: by recording, of all that ``durations_s`` names.
        truth: event table.
        durations_s: every recording and its length.
        classes: the C columns of the scores.
        time_decimals: to which times are rounded: ``OFFICIAL_DECIMALS`` or ``MICROSECONDS``.
    """
    present = [name for name in classes if (truth["event_label"] == name).any()]
    if not present:
        return float("nan"), {}
    plain = plain_labels(present)
    values, *_ = best_fscore(
        library_scores(scores, classes, plain),
        library_truth(truth, list(durations_s), plain),
        dict(durations_s),
        segment_length=SEGMENT_S,
        min_precision=0.0,
        min_recall=0.0,
        beta=1.0,
        time_decimals=time_decimals,
    )
    return float(values["macro_average"]), {name: float(values[plain[name]]) for name in present}
