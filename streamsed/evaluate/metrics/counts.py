"""Error counts at the operating point: by class, and by recording, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from streamsed.evaluate.criteria.error_counts import ErrorCounts
from streamsed.evaluate.evaluation import ClassCounts, RecordingErrors
from streamsed.evaluate.intervals import Intervals, overlapping


def class_counts(
    counts: ErrorCounts,
    detections: Intervals,
    truth: Intervals,
    *,
    classes: Sequence[str],
    hours: float,
) -> Mapping[str, ClassCounts]:
    """Return the errors of each class.

    Args:
        counts: event-based.
        detections: at the operating point.
        truth: true events.
        classes: the C classes.
        hours: of audio.
    """
    pairs = overlapping(detections, truth)
    same = detections.label[pairs.first] == truth.label[pairs.second]
    touching = np.zeros(len(detections), bool)
    touching[pairs.first[same]] = True
    alarms = np.bincount(detections.label[~touching], minlength=len(classes))
    hits, wrong, missed = (c.sum(axis=0) for c in (counts.hits, counts.wrong, counts.missed))
    return {
        name: ClassCounts(
            truth=int(hits[c] + missed[c]),
            found=int(hits[c] + wrong[c]),
            hits=int(hits[c]),
            false_alarms=int(alarms[c]),
            false_alarms_per_hour=float(alarms[c] / hours) if hours > 0 else float("nan"),
        )
        for c, name in enumerate(classes)
    }


def errors_by_recording(
    counts: ErrorCounts, recordings: Sequence[str]
) -> tuple[RecordingErrors, ...]:
    """Return the errors of every recording, most errors first; of equals, in their order."""
    hits, wrong, missed = (c.sum(axis=1) for c in (counts.hits, counts.wrong, counts.missed))
    errors = [
        RecordingErrors(
            recording=name, truth=int(hits[r] + missed[r]), hits=int(hits[r]), wrong=int(wrong[r])
        )
        for r, name in enumerate(recordings)
    ]
    return tuple(sorted(errors, key=lambda e: -e.errors))
