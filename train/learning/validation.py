"""What a checkpoint is chosen by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from streamsed.evaluate.f1 import f1, macro
from streamsed.evaluate.intersection import intersection_counts
from streamsed.evaluate.tables import event_table
from train.data.batches import Batch
from train.data.clips import ClipSet
from train.data.events import merge
from train.data.labels import LabelGrid
from train.learning.recipe import FigureName
from train.models.model import SoundEventModel

Scores = NDArray[np.float32]

THRESHOLD = 0.5


@dataclass(frozen=True)
class ClipScores:
    """What a network said of clips, by name.

    Attributes:
        strong: ``(T, C)`` each, in [0, 1], frames beyond the end of the clip left out.
        weak: ``(C,)`` each, in [0, 1]; of a network without a clip-level output, the highest of
            the frames.
    """

    strong: Mapping[str, Scores]
    weak: Mapping[str, Scores]


@dataclass(frozen=True)
class Objective:
    """Figures of one network.

    Attributes:
        weak_f1: macro, of tags; NaN without any to compare with.
        intersection_f1: macro, at 0.5, dtc 0.5, gtc 0.5, cttc 0.3; NaN without events.
        average_precision: macro, of frames; NaN without events.
    """

    weak_f1: float
    intersection_f1: float
    average_precision: float

    def value(self, name: FigureName) -> float:
        """Return what is to be as large as possible; see ``ValidationConfig.objective``."""
        if name == "average_precision":
            return float(np.nan_to_num(self.average_precision))
        return float(np.nansum([self.weak_f1, self.intersection_f1]))  # those that are defined


@torch.no_grad()
def score_clips(
    network: SoundEventModel, batches: Iterable[Batch[Tensor]], *, device: torch.device
) -> ClipScores:
    """Score clips whole, in evaluation mode; the network is left in the mode that it was in."""
    was_training = network.training
    network.eval()
    strong: dict[str, Scores] = {}
    weak: dict[str, Scores] = {}
    for batch in batches:
        inputs, frames = batch.inputs.to(device), batch.frames.to(device)
        padding = torch.arange(batch.strong.shape[1], device=device)[None] >= frames[:, None]
        if inputs.ndim == 2:
            said = network.hear(inputs, padding)
        else:
            said = network.clip(network.front_end.features(inputs), padding)
        scores = torch.sigmoid(said.strong.float()).cpu().numpy()
        tags = None if said.weak is None else said.weak.float().cpu().numpy()
        for row, (name, count) in enumerate(zip(batch.names, batch.frames.tolist(), strict=True)):
            strong[name] = scores[row, :count]
            weak[name] = strong[name].max(axis=0) if tags is None else tags[row]
    network.train(was_training)
    return ClipScores(strong, weak)


def decode(
    scores: Mapping[str, Scores],
    *,
    classes: Sequence[str],
    frame_s: float,
    median_frames: int,
    durations_s: Mapping[str, float],
) -> pd.DataFrame:
    """Return what exceeds 0.5 after a median filter, as an event table.

    Args:
        scores: ``(T, C)`` by recording.
        classes: C names.
        frame_s: length of a frame.
        median_frames: odd; the first and last frame go on beyond the ends.
        durations_s: events end by then.
    """
    rows = []
    for name, values in scores.items():
        active = median_filter(values, size=(median_frames, 1), mode="nearest") > THRESHOLD
        edges = np.diff(np.pad(active.astype(np.int8), ((1, 1), (0, 0))), axis=0)
        for column, label in enumerate(classes):
            onsets = np.flatnonzero(edges[:, column] == 1) * frame_s
            offsets = np.flatnonzero(edges[:, column] == -1) * frame_s
            for onset, offset in zip(onsets, np.minimum(offsets, durations_s[name]), strict=True):
                if onset < offset:
                    rows.append((name, float(onset), float(offset), label))
    return event_table(rows)


def true_events(clips: ClipSet, *, durations_s: Mapping[str, float]) -> pd.DataFrame:
    """Return a set's events as an event table; none overlaps another of its class."""
    return event_table(
        (clip.name, event.onset_s, min(event.offset_s, durations_s[clip.name]), event.label)
        for clip in clips.clips
        for event in merge(clip.events or ())
        if event.onset_s < durations_s[clip.name]
    )


def odd_frames(seconds: float, frame_s: float) -> int:
    """Return the odd number of frames, 1 or more, that is nearest to a time."""
    return 2 * max(0, round((seconds / frame_s - 1.0) / 2.0)) + 1


def intersection_f1(
    scores: Mapping[str, Scores], clips: ClipSet, *, frame_s: float, median_s: float
) -> float:
    """Return the macro intersection F1 of scores ``(T, C)`` against a set's events; may be NaN."""
    durations_s = clips.durations()
    events = decode(
        scores,
        classes=clips.classes,
        frame_s=frame_s,
        median_frames=odd_frames(median_s, frame_s),
        durations_s=durations_s,
    )
    truth = true_events(clips, durations_s=durations_s)
    (counts,) = intersection_counts([events], truth, durations_s=durations_s, classes=clips.classes)
    return float(macro(counts.f1()))


def average_precision(scores: Mapping[str, Scores], clips: ClipSet, *, grid: LabelGrid) -> float:
    """Return the area below the precision-recall curve of frames, the mean of the classes.

    Args:
        scores: ``(T, C)`` by clip.
        clips: with events.
        grid: of their labels.

    Returns:
        The mean of the classes that have events; NaN if none has.
    """
    said = np.concatenate([scores[clip.name] for clip in clips.clips])
    true = np.concatenate(
        [
            grid.strong(clip.events or ())[: len(scores[clip.name])] >= THRESHOLD
            for clip in clips.clips
        ]
    )
    areas = []
    for column in np.flatnonzero(true.any(axis=0)):
        hits = true[np.argsort(-said[:, column], kind="stable"), column]
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        areas.append(float(precision[hits].mean()))
    return float(np.mean(areas)) if areas else math.nan


def weak_f1(scores: Mapping[str, Scores], clips: ClipSet) -> float:
    """Return the macro F1 of scores ``(C,)`` above 0.5 against a set's tags; may be NaN."""
    found = np.stack([scores[clip.name] > THRESHOLD for clip in clips.clips])
    true = np.array([[label in clip.labels for label in clips.classes] for clip in clips.clips])
    return float(macro(f1((found & true).sum(0), (found & ~true).sum(0), (~found & true).sum(0))))
