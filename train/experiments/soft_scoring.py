"""What scores of seconds reach, pooled over the folds of a data set with soft labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamsed.evaluate.criteria.segments import OFFICIAL_DECIMALS, best_segment_f1
from streamsed.evaluate.data import ScoreTable
from streamsed.evaluate.tables import event_table
from train.data.crops import PRESENT
from train.stages.validation import best_f1, f1_at
from train.writing import replacing

Values = NDArray[np.float32]

OFFICIAL: Mapping[str, float | int] = {
    "segment_length": 1.0,
    "min_precision": 0.0,
    "min_recall": 0.0,
    "beta": 1.0,
    "time_decimals": OFFICIAL_DECIMALS,
}
"""Parameters of the challenge's own call of ``sed_scores_eval.segment_based.best_fscore``."""


@dataclass(frozen=True)
class SoftScores:
    """Scores of recordings, and their labels.

    Attributes:
        scores: ``(T, C)`` by recording.
        labels: ``(T, C)``, soft, on the same frames.
        frame_s: length of a frame.
        classes: of the columns.
    """

    scores: Mapping[str, Values]
    labels: Mapping[str, Values]
    frame_s: float
    classes: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write scores and labels as ``.npz``."""
        arrays = {f"scores:{name}": values for name, values in self.scores.items()}
        arrays |= {f"labels:{name}": values for name, values in self.labels.items()}
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # arrays by name

    def seconds(self, name: str) -> tuple[Values, Values]:
        """Return scores and labels ``(T, C)`` of whole seconds; a second's score is the highest."""
        frames = round(1.0 / self.frame_s)
        found, true = self.scores[name], self.labels[name]
        whole = min(len(found), len(true)) // frames
        shape = (whole, frames, len(self.classes))
        size = whole * frames
        return found[:size].reshape(shape).max(axis=1), true[:size].reshape(shape).max(axis=1)


@dataclass(frozen=True)
class Pooled:
    """Figures of all folds' test recordings.

    Attributes:
        f1mo: macro, of all folds pooled, each class at its best threshold: the official call.
        f1: macro, of all folds pooled, at 0.5.
        per_fold: F1MO of each fold's recordings alone.
        per_class: F1MO's classes.
        seconds: that were scored.
        parameters: of a model.
        look_ahead_s: of a model; None of a floor.
    """

    f1mo: float
    f1: float
    per_fold: dict[int, float]
    per_class: dict[str, float]
    seconds: int
    parameters: int
    look_ahead_s: float | None = None


def pooled(
    scores: SoftScores,
    *,
    evaluated: Sequence[str],
    folds: Mapping[int, Sequence[str]],
    parameters: int,
    look_ahead_s: float | None = None,
) -> Pooled:
    """Return the figures of scores.

    Args:
        scores: of all folds' recordings.
        evaluated: classes that count.
        folds: recordings by fold.
        parameters: of the model.
        look_ahead_s: of the model.
    """
    columns = [scores.classes.index(name) for name in evaluated]
    parts = {name: scores.seconds(name) for name in scores.scores}
    found = np.concatenate([of[0][:, columns] for of in parts.values()])
    true = np.concatenate([of[1][:, columns] for of in parts.values()])
    value, per_class = official_f1mo(
        {name: of[0][:, columns] for name, of in parts.items()},
        {name: of[1][:, columns] for name, of in parts.items()},
        classes=evaluated,
    )
    per_fold = {}
    for fold, names in folds.items():
        mine = [np.concatenate([parts[name][k][:, columns] for name in names]) for k in (0, 1)]
        per_fold[fold] = best_f1(mine[0], mine[1])
    return Pooled(
        f1mo=value,
        f1=f1_at(found, true, PRESENT),
        per_fold=per_fold,
        per_class=per_class,
        seconds=len(true),
        parameters=parameters,
        look_ahead_s=look_ahead_s,
    )


def official_f1mo(
    scores: Mapping[str, Values], labels: Mapping[str, Values], *, classes: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """Return F1MO, macro and by class, of seconds, as the challenge computes it.

    Args:
        scores: ``(T, C)`` by recording.
        labels: ``(T, C)`` by recording, soft; from 0.5 on a class is present.
        classes: C names.
    """
    rows = []
    for name, values in labels.items():
        for column, label in enumerate(classes):
            padded = np.pad((values[:, column] >= PRESENT).astype(np.int8), 1)
            edges = np.flatnonzero(np.diff(padded)).reshape(-1, 2)
            rows += [(name, float(onset), float(offset), label) for onset, offset in edges]
    return best_segment_f1(
        {
            name: ScoreTable(np.arange(len(of) + 1, dtype=np.float64), of)
            for name, of in scores.items()
        },
        event_table(rows),
        durations_s={name: float(len(of)) for name, of in labels.items()},
        classes=classes,
        time_decimals=OFFICIAL_DECIMALS,
    )
