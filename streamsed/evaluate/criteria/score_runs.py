"""Runs of scores above any threshold: every event that some threshold detects, each once.

As the threshold falls, runs of frames appear at the peaks of the scores, grow, and join: a tree
with at most a run a frame, where a table of all events at all thresholds has the square of that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRuns:
    """The runs of several columns of scores, N in all.

    A run is detected at the thresholds below ``score`` down to that of its parent, which absorbs
    it.

    Attributes:
        column: ``(N,)`` of the scores.
        first: ``(N,)`` its first frame.
        end: ``(N,)`` the frame after its last.
        score: ``(N,)`` the lowest in the run.
        parent: ``(N,)`` the run that absorbs it; -1 for one that nothing absorbs.
    """

    column: Indices
    first: Indices
    end: Indices
    score: NDArray[np.float32]
    parent: Indices

    def changes(self, values: Floats) -> Floats:
        """Return by how much a sum over the detected events changes at the score of each run.

        Args:
            values: ``(N,)`` what each run adds to the sum while it is detected.
        """
        absorbed = self.parent >= 0
        lost = np.bincount(self.parent[absorbed], values[absorbed], minlength=len(values))
        return values - lost

    @property
    def absorbed_at(self) -> NDArray[np.float32]:
        """``(N,)`` the score of the parent; ``-inf`` where there is none."""
        return np.where(self.parent >= 0, self.score[self.parent], np.float32(-np.inf))


def score_runs(scores: NDArray[np.float32]) -> ScoreRuns:
    """Return the runs of scores ``(T, C)``, by column, then by the frame of their lowest score."""
    columns = np.ascontiguousarray(scores.T)
    frames = columns.shape[1]
    before = _last_before(columns, equal=True)
    after = frames - 1 - _last_before(columns[:, ::-1], equal=False)[:, ::-1]
    rows = np.arange(len(columns))[:, None]
    # A frame stands for the run in which its score is the lowest; of equal ones, the first.
    tied = (before >= 0) & (columns[rows, before] == columns)
    stands = np.where(tied, before, np.arange(frames))
    while not np.array_equal(further := stands[rows, stands], stands):
        stands = further
    low = np.where(before >= 0, columns[rows, before], -np.inf)
    high = np.where(after < frames, columns[rows, np.minimum(after, frames - 1)], -np.inf)
    neighbour = np.where(low >= high, before, np.minimum(after, frames - 1))
    number = np.cumsum(~tied).reshape(tied.shape) - 1
    parent = np.where(
        np.maximum(low, high) > -np.inf, number[rows, stands[rows, np.maximum(neighbour, 0)]], -1
    )
    chosen = ~tied
    return ScoreRuns(
        column=np.nonzero(chosen)[0],
        first=before[chosen] + 1,
        end=after[chosen],
        score=columns[chosen],
        parent=parent[chosen],
    )


def _last_before(rows: NDArray[np.float32], *, equal: bool) -> Indices:
    """Return the last index before each with a lower, or an equal, value ``(C, T)``; -1 if none.

    From each on, blocks of halving lengths in which all values are higher are passed over.
    """
    width = rows.shape[1]
    lowest = [rows]  # of the 2 ** k from each index on
    while 2 ** len(lowest) <= width:
        half = 2 ** (len(lowest) - 1)
        lowest.append(np.minimum(lowest[-1][:, :-half], lowest[-1][:, half:]))
    position = np.broadcast_to(np.arange(width), rows.shape).copy()
    row = np.arange(len(rows))[:, None]
    for k in reversed(range(len(lowest))):
        start = position - 2**k
        value = lowest[k][row, np.maximum(start, 0)]
        passed = (start >= 0) & ((value > rows) if equal else (value >= rows))
        position = np.where(passed, start, position)
    return position - 1
