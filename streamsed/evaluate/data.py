"""Everything that an evaluation looks at, read, checked and on one set of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Scores of one recording, as they meet the thresholds: fused and median-filtered.

    Attributes:
        edges_s: ``(T + 1,)`` float64: onset of each frame, and the offset of the last.
        scores: ``(T, C)`` float32 in [0, 1]; columns in the order of the data's classes.
    """

    edges_s: NDArray[np.float64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationData:
    """What is evaluated, against what.

    All tables name recordings as ``durations_s`` does. Detections come in one or more of three
    forms: ``events`` (one operating point), ``scores`` (every operating point) and
    ``operating_points`` (some). What a metric needs and is not there, it does without, or it is
    left out.

    Attributes:
        classes: the C classes that are evaluated.
        durations_s: every recording that is evaluated, also those without events, and its length.
        truth: event table ``filename onset offset event_label``, seconds; no two events of one
            class of one recording overlap or touch; all labels are among ``classes``.
        events: event table of what was detected; None if only scores or operating points are.
        scores: by recording; None if there are none.
        operating_points: event table by threshold, rising; None if there are none.
        decided: ``filename onset offset event_label onset_decided offset_decided``, a row for
            each detected event: the last two are how far into the recording (seconds) the audio
            had been processed when the onset and the offset were published; None if not known.
        audio: by recording, for pictures; only those that were found.
        notes: what was mended or left out on reading, a line each, for people.
        threshold: without ``events``, the operating point is what exceeds this in the scores, or
            the one of the ``operating_points`` that is nearest.
        class_thresholds: by class, above which a score began one of the ``events``; empty where
            that is not known.
        evaluated: what made the detections, such as a bundle's name, for people; may be empty.
    """

    classes: tuple[str, ...]
    durations_s: Mapping[str, float]
    truth: pd.DataFrame
    events: pd.DataFrame | None = None
    scores: Mapping[str, ScoreTable] | None = None
    operating_points: Mapping[float, pd.DataFrame] | None = None
    decided: pd.DataFrame | None = None
    audio: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    threshold: float = 0.5
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    evaluated: str = ""

    @property
    def hours(self) -> float:
        """Length of all recordings together."""
        return sum(self.durations_s.values()) / 3600
