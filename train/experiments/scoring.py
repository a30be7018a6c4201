"""What a trained network reaches on the validation part, with postprocessing that is not fitted.

Scores are filtered by one median window for all classes, that of the baseline, because fitted
windows and thresholds are worth as much as the differences between recipes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import median_filter

from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.metrics.detections import merge_overlapping
from train.data.batches import Batch, OrderedBatches
from train.data.clips import ClipSet
from train.data.inputs import AudioInputs
from train.data.labels import LabelGrid
from train.data.loading import load
from train.models.model import SoundEventModel
from train.stages.validation import ClipScores, Scores, odd_frames, score_clips, true_events

MEDIAN_S = 0.45
CPU = torch.device("cpu")
_BATCH = 16


@dataclass(frozen=True)
class Reached:
    """Figures of one network.

    Attributes:
        psds1: over 50 thresholds.
        psds2: the same.
        event_f1: macro, above 0.5.
        intersection_f1: macro, above 0.5.
    """

    psds1: float
    psds2: float
    event_f1: float
    intersection_f1: float


Figure = Literal["psds1", "psds2", "event_f1", "intersection_f1"]


def score(
    network: SoundEventModel,
    clips: ClipSet,
    *,
    duration_s: float,
    look_ahead_frames: int | None = None,
    device: torch.device = CPU,
) -> dict[str, Scores]:
    """Return the scores ``(T, C)`` of clips by name.

    Args:
        network: in evaluation mode.
        clips: to be scored.
        duration_s: of each clip; longer ones are cropped.
        look_ahead_frames: score each clip as a stream with this look-ahead; None scores it whole.
        device: to compute with.

    Raises:
        ConfigError: the network cannot be run with this look-ahead.
        DataError: a clip cannot be read.
    """
    network = network.to(device)
    loaded = _batches(_grid(network, duration_s), clips)
    if look_ahead_frames is None:
        return dict(score_clips(network, loaded, device=device).frames)
    scores = {}
    for batch in loaded:
        with torch.no_grad():
            streamed = network.scores(batch.inputs.to(device), latency_frames=look_ahead_frames)
        for name, row, count in zip(batch.names, streamed, batch.frames.tolist(), strict=True):
            scores[name] = row[:count].cpu().numpy()
    return scores


def tagged_scores(
    network: SoundEventModel, clips: ClipSet, *, duration_s: float, device: torch.device = CPU
) -> ClipScores:
    """Return the scores of frames and the tags of clips that are scored whole.

    Args:
        network: in evaluation mode.
        clips: to be scored.
        duration_s: of each clip; longer ones are cropped.
        device: to compute with.

    Raises:
        DataError: a clip cannot be read.
    """
    loaded = _batches(_grid(network, duration_s), clips)
    return score_clips(network.to(device), loaded, device=device)


def _grid(network: SoundEventModel, duration_s: float) -> LabelGrid:
    config = network.config
    return LabelGrid(
        config.classes,
        sample_rate=config.front_end.sample_rate,
        frame_samples=config.frame_samples,
        duration_s=duration_s,
    )


def _batches(grid: LabelGrid, clips: ClipSet) -> Iterator[Batch[torch.Tensor]]:
    batches = OrderedBatches(AudioInputs(grid), clips, batch=_BATCH)
    return load(batches, range(len(batches)), workers=0)


def figures(scores: Mapping[str, Scores], clips: ClipSet, *, frame_s: float) -> Reached:
    """Return the figures of scores ``(T, C)`` by clip, filtered here, against a set's events."""
    window = odd_frames(MEDIAN_S, frame_s)
    durations_s = clips.durations()
    truth = true_events(clips, durations_s=durations_s)
    tables = {
        name: ScoreTable(
            np.minimum(np.arange(len(values) + 1) * frame_s, durations_s[name]),
            median_filter(values, size=(window, 1), mode="nearest"),
        )
        for name, values in scores.items()
    }
    evaluation = evaluate(
        EvaluationData(
            classes=clips.classes,
            durations_s=durations_s,
            truth=merge_overlapping(truth, touching=True),
            scores=tables,
        ),
        bootstrap=0,
    )
    values = {metric.key: metric.value for metric in evaluation.metrics}
    return Reached(
        psds1=values["psds1"],
        psds2=values["psds2"],
        event_f1=values["event_f1"],
        intersection_f1=values["intersection_f1"],
    )
