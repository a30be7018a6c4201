"""ROC curves of several classes as staircases over one axis, and what lies below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_AT_ONCE = 2**22  # values; bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """The curve of one class: right-continuous, never falling, 0 before its first corner.

    Attributes:
        x: ``(K,)`` rising, no two equal.
        y: ``(K,)`` the height from each x on.
    """

    x: Floats
    y: Floats

    @classmethod
    def through(cls, x: Floats, y: Floats) -> Staircase:
        """Return the curve through operating points in any order: at each x the best so far."""
        order = np.lexsort((y, x))
        x, y = x[order], np.maximum.accumulate(y[order])
        last = np.append(x[1:] != x[:-1], True)
        return cls(x[last], y[last])

    def at(self, x: Floats) -> Floats:
        """Return the heights at ``x``."""
        return np.append(0.0, self.y)[np.searchsorted(self.x, x, side="right")]

    def area(self, end: float) -> float:
        """Return the mean height from 0 to ``end``."""
        widths = np.diff(np.append(np.minimum(self.x, end), end))
        return float(self.y @ widths / end)


def mean_and_deviation(curves: Sequence[Staircase], x: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation over the curves at each of ``x``."""
    mean, deviation = np.empty_like(x), np.empty_like(x)
    step = max(1, _AT_ONCE // len(curves))
    for start in range(0, len(x), step):
        piece = slice(start, start + step)
        heights = np.stack([curve.at(x[piece]) for curve in curves])
        mean[piece], deviation[piece] = heights.mean(axis=0), heights.std(axis=0)
    return mean, deviation


def corners(curves: Sequence[Staircase], *, end: float) -> Floats:
    """Return where any of the curves may rise, up to ``end``: rising, no two equal."""
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    return x[x <= end]


def psds_below(curves: Sequence[Staircase], *, alpha_st: float, end: float) -> float:
    """Return the mean over 0 to ``end`` of the mean curve less its deviation, at least 0.

    Bilen et al. 2020, equation 8.
    """
    x = corners(curves, end=end)
    mean, deviation = mean_and_deviation(curves, x)
    height = np.maximum(mean - alpha_st * deviation, 0.0)
    return float(height @ np.diff(np.append(x, end)) / end)
