"""What a checkpoint is chosen by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from streamsed.evaluate.criteria.error_counts import f1, macro
from streamsed.evaluate.criteria.intersection import intersection_counts
from streamsed.evaluate.tables import event_table
from train.data.batches import Batch
from train.data.clips import ClipSet
from train.data.crops import PRESENT
from train.data.events import merge
from train.data.labels import LabelGrid
from train.data.targets import STRONG
from train.models.model import Given, SoundEventModel

Scores = NDArray[np.float32]

THRESHOLD = 0.5


@dataclass(frozen=True)
class ClipScores:
    """Scores of clips, by name.

    Attributes:
        frames: ``(T, C)`` each, in [0, 1], frames beyond the end of the clip left out.
        tags: ``(C,)`` each, in [0, 1]; of a network without a clip-level output, the highest of
            the frames.
    """

    frames: Mapping[str, Scores]
    tags: Mapping[str, Scores]


@torch.no_grad()
def score_clips(
    network: SoundEventModel,
    batches: Iterable[Batch[Tensor]],
    *,
    device: torch.device,
    given: Callable[[Batch[Tensor]], Given | None] | None = None,
) -> ClipScores:
    """Score clips whole, in evaluation mode; the network is left in the mode that it was in.

    Args:
        network: on the device.
        batches: of the clips.
        device: of the network.
        given: returns what the network takes beside features of a batch on the device.
    """
    was_training = network.training
    network.eval()
    frames: dict[str, Scores] = {}
    tags: dict[str, Scores] = {}
    for batch in batches:
        moved = batch.map(lambda tensor: tensor.to(device))
        further = None if given is None else given(moved)
        padding = beyond_the_end(moved)
        if moved.inputs.ndim == 2:
            output = network.detect(moved.inputs, padding, further)
        else:
            output = network.clip(network.front_end.features(moved.inputs), padding, further)
        scores = torch.sigmoid(output.frames.float()).cpu().numpy()
        clip = None if output.clip is None else output.clip.float().cpu().numpy()
        for row, (name, count) in enumerate(zip(batch.names, batch.frames.tolist(), strict=True)):
            frames[name] = scores[row, :count]
            tags[name] = frames[name].max(axis=0) if clip is None else clip[row]
    network.train(was_training)
    return ClipScores(frames, tags)


@torch.no_grad()
def score_tags(
    network: SoundEventModel, batches: Iterable[Batch[Tensor]], device: torch.device
) -> dict[str, Scores]:
    """Return the tags ``(C,)`` of clips by name, whatever frames the network has.

    Args:
        network: with a clip-level output, on the device; left in the mode that it was in.
        batches: of the clips, as audio or as linear mel bands.
        device: of the network.
    """
    was_training = network.training
    network.eval()
    tags: dict[str, Scores] = {}
    for batch in batches:
        inputs = batch.inputs.to(device)
        mels = inputs if inputs.ndim == 3 else network.mels(inputs)
        found = network.clip(network.front_end.features(mels)).clip
        assert found is not None
        tags |= dict(zip(batch.names, found.float().cpu().numpy(), strict=True))
    network.train(was_training)
    return tags


def beyond_the_end(batch: Batch[Tensor]) -> Tensor:
    """Return ``(B, T')`` bool, True for score frames beyond the end of a clip."""
    count = batch.targets[STRONG].values.shape[1]
    return torch.arange(count, device=batch.frames.device)[None] >= batch.frames[:, None]


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
    return active_events(
        {
            name: median_filter(values, size=(median_frames, 1), mode="nearest") > THRESHOLD
            for name, values in scores.items()
        },
        classes=classes,
        frame_s=frame_s,
        durations_s=durations_s,
    )


def active_events(
    active: Mapping[str, NDArray[np.bool_]],
    *,
    classes: Sequence[str],
    frame_s: float,
    durations_s: Mapping[str, float],
) -> pd.DataFrame:
    """Return an event for every run of active frames, as an event table.

    Args:
        active: ``(T, C)`` by recording.
        classes: C names.
        frame_s: length of a frame.
        durations_s: events end by then.
    """
    rows = []
    for name, frames in active.items():
        edges = np.diff(np.pad(frames.astype(np.int8), ((1, 1), (0, 0))), axis=0)
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


def objective(figures: Mapping[str, float], name: str) -> float:
    """Return what is to be as large as possible; see ``ValidationConfig.objective``."""
    names = ("weak_f1", "intersection_f1") if name == "f1" else (name,)
    return float(np.nansum([figures[each] for each in names]))  # those that are defined


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
    found = np.concatenate([scores[clip.name] for clip in clips.clips])
    true = np.concatenate(
        [
            grid.strong(clip.events or ())[: len(scores[clip.name])] >= THRESHOLD
            for clip in clips.clips
        ]
    )
    areas = []
    for column in np.flatnonzero(true.any(axis=0)):
        hits = true[np.argsort(-found[:, column], kind="stable"), column]
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        areas.append(float(precision[hits].mean()))
    return float(np.mean(areas)) if areas else math.nan


def weak_f1(scores: Mapping[str, Scores], clips: ClipSet) -> float:
    """Return the macro F1 of scores ``(C,)`` above 0.5 against a set's tags; may be NaN."""
    found = np.stack([scores[clip.name] > THRESHOLD for clip in clips.clips])
    true = np.array([[label in clip.labels for label in clips.classes] for clip in clips.clips])
    return float(macro(f1((found & true).sum(0), (found & ~true).sum(0), (~found & true).sum(0))))


def f1_at(scores: NDArray[np.float32], labels: NDArray[np.float32], threshold: float) -> float:
    """Return the macro F1 of seconds, over the classes that are present in any; may be NaN."""
    true, found = labels >= PRESENT, scores >= threshold
    present = true.any(axis=0)
    hits = (true & found).sum(axis=0)[present]
    both = true.sum(axis=0)[present] + found.sum(axis=0)[present]
    return float(np.mean(2.0 * hits / both)) if present.any() else float("nan")


def best_f1(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Return F1MO of seconds ``(T, C)``: macro, of each class at its best threshold; may be NaN.

    The classes are those that are present in any second. Of whole seconds this is what
    sed_scores_eval's segment-based ``best_fscore`` computes, at a fraction of the time.
    """
    true = labels >= PRESENT
    best = []
    for column in np.flatnonzero(true.any(axis=0)):
        order = np.argsort(-scores[:, column], kind="stable")
        ranked, hits = scores[order, column], np.cumsum(true[order, column])
        last = np.append(ranked[1:] != ranked[:-1], True)  # a threshold takes all that are equal
        taken = np.arange(1, len(order) + 1)
        best.append(float((2.0 * hits / (taken + hits[-1]))[last].max()))
    return float(np.mean(best)) if best else float("nan")
