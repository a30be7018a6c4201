"""The area below one class's PSD-ROC, for choosing its median window."""

from __future__ import annotations

import numpy as np

from streamsed.evaluate.criteria.psds import PSDS1, PSDSCriteria
from streamsed.evaluate.metrics.thresholds import THRESHOLDS
from train.postprocess.clips import Clips, Track
from train.postprocess.decoding import Decoding, decode_intervals
from train.postprocess.intervals import Intervals, covered_share


def psd_roc_area(
    clips: Clips, track: Track, truth: Intervals, *, criteria: PSDSCriteria = PSDS1
) -> float:
    """Return the normalised area below a class's PSD-ROC over 50 thresholds.

    What psds_eval computes for one class without cross triggers; a test compares the two.

    Args:
        clips: the recordings.
        track: the class's scores under one median window.
        truth: its events, at least one.
        criteria: those of PSDS1, or others in which cross triggers cost nothing.
    """
    points = []
    for threshold in THRESHOLDS:
        above = float(np.nextafter(np.float32(threshold), np.float32(2.0)))  # exclusive
        found = decode_intervals(clips, track, Decoding(above, above))
        valid = covered_share(found, truth) >= criteria.dtc
        counted = Intervals(found.clip[valid], found.onset[valid], found.offset[valid])
        hits = int((covered_share(truth, counted) >= criteria.gtc).sum())
        points.append((int((~valid).sum()) / clips.hours, hits / len(truth)))
    false_per_hour, hit_ratio = np.array(sorted(points)).T
    limit = criteria.max_efpr_per_hour
    edges = np.append(np.minimum(false_per_hour, limit), limit)
    return float(np.maximum.accumulate(hit_ratio) @ np.diff(edges) / limit)
