"""Confusion between classes: what was sounding where a class was detected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamsed.evaluate.evaluation import Confusion
from streamsed.evaluate.intervals import Intervals, overlapping


def confusion(detections: Intervals, truth: Intervals, classes: Sequence[str]) -> Confusion:
    """Return the confusion matrix; :class:`Confusion` defines what is counted where.

    Of classes that a detection overlaps equally long, the first in ``classes`` counts.
    """
    nothing = len(classes)
    pairs = overlapping(detections, truth)
    overlap_s = np.zeros((len(detections), len(classes)))
    np.add.at(overlap_s, (pairs.first, truth.label[pairs.second]), pairs.overlap_s)
    own = overlap_s[np.arange(len(detections)), detections.label] > 0
    longest = overlap_s.argmax(axis=1)
    row = np.where(overlap_s.any(axis=1), longest, nothing)
    row[own] = detections.label[own]
    counts = np.zeros((nothing + 1, nothing + 1), np.int64)
    np.add.at(counts, (row, detections.label), 1)
    met = np.zeros(len(truth), bool)
    met[pairs.second[detections.label[pairs.first] == truth.label[pairs.second]]] = True
    np.add.at(counts, (truth.label[~met], nothing), 1)
    return Confusion(labels=tuple(classes), counts=counts)
