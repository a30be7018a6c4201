"""F1 from counts of hits and errors, and the counts themselves, recording by recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.evaluate.evaluation import Averages, Rates

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCounts:
    """What was found, missed and invented; of events, segments or recordings.

    Attributes:
        hits: ``(R, C)`` by recording and class: true positives.
        wrong: ``(R, C)``: false positives.
        missed: ``(R, C)``: false negatives.
    """

    hits: Counts
    wrong: Counts
    missed: Counts

    def f1(self) -> Floats:
        """Return F1 ``(C,)`` over all recordings; NaN for a class without truth."""
        return f1(self.hits.sum(axis=0), self.wrong.sum(axis=0), self.missed.sum(axis=0))

    def averages(self, title: str, classes: Sequence[str]) -> Averages:
        """Return precision, recall, F1 and error rate: micro, macro and of each class."""
        sums = np.array([each.sum(axis=0) for each in (self.hits, self.wrong, self.missed)])
        by_class = _rates(*sums)
        true = sums[0] + sums[2] > 0
        return Averages(
            title=title,
            micro=Rates(*(float(value[0]) for value in _rates(*sums.sum(axis=1, keepdims=True)))),
            macro=Rates(*(float(macro(np.where(true, values, np.nan))) for values in by_class)),
            per_class={
                name: Rates(*(float(values[c]) for values in by_class))
                for c, name in enumerate(classes)
            },
        )

    def resampled_f1(self, weights: Floats) -> Floats:
        """Return macro F1 ``(B,)`` where recording ``r`` counts ``weights[b, r]`` times."""
        counts = (self.hits, self.wrong, self.missed)
        # As floats: numpy multiplies matrices of integers without BLAS.
        return macro(f1(*(weights @ each.astype(np.float64) for each in counts)))


def f1(hits: NDArray[Any], wrong: NDArray[Any], missed: NDArray[Any]) -> Floats:
    """Return ``2 TP / (2 TP + FP + FN)``; NaN where there is no truth to find."""
    total = np.asarray(2 * hits + wrong + missed, np.float64)
    value = np.full(total.shape, np.nan)
    np.divide(2 * hits, total, out=value, where=hits + missed > 0)
    return value


def _rates(hits: Counts, wrong: Counts, missed: Counts) -> tuple[Floats, Floats, Floats, Floats]:
    """Return precision, recall, F1 and error rate ``(C,)``."""
    true, found = hits + missed, hits + wrong
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(found > 0, hits / found, np.nan)
        recall = np.where(true > 0, hits / true, np.nan)
        error_rate = np.where(true > 0, (wrong + missed) / true, np.nan)
    return precision, recall, f1(hits, wrong, missed), error_rate


def macro(values: Floats) -> Floats:
    """Return the mean over the last axis of those that are defined; NaN where none is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    mean = np.full(total.shape, np.nan)
    np.divide(total, defined.sum(axis=-1), out=mean, where=defined.any(axis=-1))
    return mean
