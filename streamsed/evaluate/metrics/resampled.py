"""A metric, and how to compute it of resampled recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.evaluation import Metric

Floats = NDArray[np.float64]
Parameters = dict[str, float | int | str]


@dataclass(frozen=True, slots=True, eq=False)
class ResampledMetric:
    """A metric, and how to compute it of resampled recordings.

    Attributes:
        metric: still without an interval.
        resampled: its value ``(B,)`` where recording ``r`` counts ``weights[b, r]`` times; None
            if it is no headline.
    """

    metric: Metric
    resampled: Callable[[Floats], Floats] | None = None


def of_all(values: Mapping[str, float], classes: Sequence[str]) -> dict[str, float]:
    """Return the values of all classes; NaN where there is none."""
    return {name: float(values.get(name, float("nan"))) for name in classes}


def classes_with_truth(data: EvaluationData) -> list[str]:
    """Return the classes of which there is a true event."""
    occurring = set(data.truth["event_label"])
    return [name for name in data.classes if name in occurring]
