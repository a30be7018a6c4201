"""Events from scores: the runs of frames in which a score exceeds a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from streamsed.evaluate.data import ScoreTable
from streamsed.evaluate.intervals import Intervals

THRESHOLDS: tuple[float, ...] = tuple(np.round(np.arange(0.01, 1, 0.02), 2).tolist())
"""The 50 operating points 0.01, 0.03 ... 0.99 of the DCASE baseline."""


class ScoreStack:
    """The scores of all recordings below one another, to be thresholded at once.

    A row that no threshold is below follows each recording: it ends what is still sounding, and
    makes rows and frame edges the same in number.
    """

    def __init__(self, scores: Mapping[str, ScoreTable], classes: Sequence[str]) -> None:
        self._classes = np.array(classes, dtype=object)
        self._names = np.array(list(scores), dtype=object)
        self._lengths = [len(table.edges_s) for table in scores.values()]
        self._edges_s = np.concatenate([np.zeros(0), *(t.edges_s for t in scores.values())])
        self._recording = np.repeat(np.arange(len(scores)), self._lengths)
        # Classes first: the runs of each class are then found in order of recording and time.
        self._scores = np.full((len(classes), len(self._edges_s)), -np.inf, np.float32)
        row = 0
        for table in scores.values():
            self._scores[:, row : row + len(table.scores)] = table.scores.T
            row += len(table.edges_s)

    def intervals(self, threshold: float) -> Intervals:
        """Return the events above ``threshold`` (exclusive); recordings and classes by number."""
        active = self._scores > threshold
        before = np.zeros_like(active)
        before[:, 1:] = active[:, :-1]
        label, first = np.nonzero(active & ~before)
        _, end = np.nonzero(before & ~active)
        return Intervals(self._recording[first], label, self._edges_s[first], self._edges_s[end])

    def events(self, threshold: float) -> pd.DataFrame:
        """Return the events above ``threshold`` (exclusive) as an event table."""
        found = self.intervals(threshold)
        return pd.DataFrame(
            {
                "filename": self._names[found.recording],
                "onset": found.onset_s,
                "offset": found.offset_s,
                "event_label": self._classes[found.label],
            }
        )


def threshold_events(
    scores: Mapping[str, ScoreTable], threshold: float, *, classes: Sequence[str]
) -> pd.DataFrame:
    """Return the runs of frames in which a score exceeds ``threshold``, as an event table.

    Args:
        scores: by recording, already filtered.
        threshold: exclusive.
        classes: the C class names.
    """
    return ScoreStack(scores, classes).events(threshold)
