"""Pseudo labels: what a detector found in clips, as labels that others learn from.

As of Ebbers and Haeb-Umbach 2020, events are of a clip's tags alone, and a tag without any event
stays a tag: such a clip is labelled weakly, not strongly. The tags of a clip are its own where the
data set has them, and predicted ones elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from streamsed.errors import ConfigError
from train.checkpoint import Checkpoint
from train.data.batches import OrderedBatches
from train.data.clips import ClipSet
from train.data.desed import Part, read_desed
from train.data.events import Event, write_tsv
from train.data.inputs import AudioInputs
from train.data.labels import LabelGrid
from train.data.loading import load
from train.data.tables import write_rows
from train.models.model import SoundEventModel
from train.stages.validation import Scores, beyond_the_end, odd_frames

STRONG_FILE, WEAK_FILE, ORIGIN_FILE = "strong.tsv", "weak.tsv", "origin.yaml"
PARTS: tuple[Part, ...] = ("weak", "unlabelled")
_BATCH = 16


@dataclass(frozen=True)
class PseudoConfig:
    """How scores become labels.

    Attributes:
        tag_threshold: a class is a tag above it.
        threshold: a frame is active above it.
        fit: part of the data set, with events, on which both are chosen for each class instead, as
            those of the highest F1 of clips and of frames; null keeps them as they are.
        median_s: of the filter of active frames.
        look_ahead_frames: of scores; null for the model's own. Of several, the one of the highest
            F1 of frames on ``fit`` is chosen for each class: as windows around a frame of an
            fbcrnn, which the paper tunes so.
        duration_s: of each clip; longer ones are cropped.
    """

    tag_threshold: float = 0.5
    threshold: float = 0.5
    fit: Part | None = None
    median_s: float = 0.45
    look_ahead_frames: int | tuple[int, ...] | None = None
    duration_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("tag_threshold", "threshold"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} {getattr(self, name)}; must be between 0 and 1")
        if isinstance(self.look_ahead_frames, tuple):
            if self.fit is None:
                raise ValueError("look_ahead_frames: of several, one is chosen on fit; name a part")
            if not self.look_ahead_frames:
                raise ValueError("look_ahead_frames is empty; null is the model's own")


@dataclass(frozen=True)
class Thresholds:
    """How scores of each class become labels; ``(C,)`` each.

    Attributes:
        tags: the class is a tag of a clip above it.
        frames: it is active in a frame above it.
        look_aheads: frames of look-ahead of its scores.
    """

    tags: NDArray[np.float32]
    frames: NDArray[np.float32]
    look_aheads: NDArray[np.int64]


@dataclass(frozen=True)
class PseudoLabels:
    """Labels of clips by name; each is in one of the two.

    Attributes:
        strong: events; a clip without any has no tags either.
        weak: tags of clips of which one has no event.
    """

    strong: Mapping[str, tuple[Event, ...]]
    weak: Mapping[str, tuple[str, ...]]


def pseudo_label(
    frames: Mapping[str, Scores],
    tags: Mapping[str, Scores],
    *,
    classes: Sequence[str],
    thresholds: Thresholds,
    given: Mapping[str, Sequence[str]],
    frame_s: float,
    median_s: float,
    durations_s: Mapping[str, float],
) -> PseudoLabels:
    """Return the labels of scored clips.

    Args:
        frames: ``(T, C)`` in [0, 1] by clip.
        tags: ``(C,)`` in [0, 1] by clip.
        classes: of the columns.
        thresholds: of both.
        given: tags that clips are known to have, by clip; others' are predicted.
        frame_s: seconds of a frame.
        median_s: of the filter of active frames.
        durations_s: of each clip; no event goes on beyond.
    """
    window = odd_frames(median_s, frame_s)
    strong: dict[str, tuple[Event, ...]] = {}
    weak: dict[str, tuple[str, ...]] = {}
    for name, scores in frames.items():
        predicted = [c for c, on in zip(classes, tags[name] > thresholds.tags, strict=True) if on]
        allowed = set(given.get(name, predicted))
        active = median_filter(
            (scores > thresholds.frames).astype(np.uint8), size=(window, 1), mode="nearest"
        )
        events = tuple(
            event
            for column, label in enumerate(classes)
            if label in allowed
            for event in _runs(active[:, column], label, frame_s, durations_s[name])
        )
        if allowed == {event.label for event in events}:
            strong[name] = events
        else:
            weak[name] = tuple(sorted(allowed))
    return PseudoLabels(strong, weak)


def _runs(active: NDArray[np.uint8], label: str, frame_s: float, end_s: float) -> list[Event]:
    """Return an event for every run of active frames."""
    edges = np.diff(np.pad(active.astype(np.int8), 1))
    starts, ends = np.flatnonzero(edges == 1) * frame_s, np.flatnonzero(edges == -1) * frame_s
    return [
        Event(label=label, onset_s=float(onset), offset_s=float(offset))
        for onset, offset in zip(starts, np.minimum(ends, end_s), strict=True)
        if onset < offset
    ]


def best_thresholds(scores: NDArray[np.float32], true: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the threshold ``(C,)`` of the highest F1 of each class; 0.5 of one without positives.

    Args:
        scores: ``(N, C)`` in [0, 1].
        true: ``(N, C)``.
    """
    best = np.full(scores.shape[1], 0.5, np.float32)
    for column in np.flatnonzero(true.any(axis=0)):
        order = np.argsort(-scores[:, column], kind="stable")
        values, hits = scores[order, column], np.cumsum(true[order, column])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
        f1[:-1][values[:-1] == values[1:]] = -1.0  # a threshold does not part equal scores
        chosen = int(np.argmax(f1))
        below = values[chosen + 1] if chosen + 1 < len(values) else 0.0
        best[column] = (float(values[chosen]) + float(below)) / 2
    return best


def f1_above(
    scores: NDArray[np.float32], true: NDArray[np.bool_], thresholds: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the F1 ``(C,)`` of scores ``(N, C)`` above thresholds ``(C,)``; 0 without a hit."""
    found = scores > thresholds
    hits = (found & true).sum(axis=0)
    f1: NDArray[np.float64] = 2 * hits / np.maximum(found.sum(axis=0) + true.sum(axis=0), 1)
    return f1


def label_parts(
    checkpoint: Checkpoint,
    data: Path,
    folder: Path,
    *,
    config: PseudoConfig,
    origin: Path,
    parts: Sequence[Part] = PARTS,
) -> dict[str, int]:
    """Write the pseudo labels of parts of a data set, and where they come from.

    Args:
        checkpoint: of a detector.
        data: data set in DESED's shape.
        folder: for the tables ``strong.tsv`` and ``weak.tsv`` in DESED's form, and
            ``origin.yaml``.
        config: how scores become labels.
        origin: file of the checkpoint.
        parts: of the data set that are labelled.

    Returns:
        How many clips are labelled strongly, weakly, and with how many events.

    Raises:
        ConfigError: the model yields no tags.
        DataError: a part is missing or wrong.
    """
    model = checkpoint.model
    thresholds = _thresholds(model, data, config)
    strong: dict[str, tuple[Event, ...]] = {}
    weak: dict[str, tuple[str, ...]] = {}
    for part in parts:
        clips = read_desed(data, part, classes=model.config.classes)
        frames, tags = scored(model, clips, config, thresholds.look_aheads)
        found = pseudo_label(
            frames,
            tags,
            classes=clips.classes,
            thresholds=thresholds,
            given={clip.name: clip.labels for clip in clips.clips if clip.kind != "unlabelled"},
            frame_s=model.config.frame_samples / model.config.front_end.sample_rate,
            median_s=config.median_s,
            durations_s=clips.durations(),
        )
        strong |= found.strong
        weak |= found.weak
    folder.mkdir(parents=True, exist_ok=True)
    write_tsv(folder / STRONG_FILE, strong)
    rows = ((name, ",".join(tags)) for name, tags in sorted(weak.items()))
    write_rows(folder / WEAK_FILE, ("filename", "event_labels"), rows)
    counts = {
        "strong": len(strong),
        "weak": len(weak),
        "events": sum(map(len, strong.values())),
    }
    described = {
        "checkpoint": str(origin),
        "sha256": hashlib.sha256(origin.read_bytes()).hexdigest(),
        "step": checkpoint.step,
        "data": str(data),
        "parts": list(parts),
        "tag_thresholds": _by_class(model, thresholds.tags),
        "thresholds": _by_class(model, thresholds.frames),
        "look_ahead_frames": _by_class(model, thresholds.look_aheads),
        "fitted_on": config.fit,
        "median_s": config.median_s,
        "clips": counts,
    }
    (folder / ORIGIN_FILE).write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return counts


def scored(
    model: SoundEventModel, clips: ClipSet, config: PseudoConfig, look_aheads: NDArray[np.int64]
) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Return the scores of frames, as a stream's, and the tags of clips, by name.

    Args:
        model: in evaluation mode.
        clips: that are scored.
        config: how long they are.
        look_aheads: ``(C,)`` frames, of each class.

    Raises:
        ConfigError: the model yields no tags.
    """
    batches = OrderedBatches(AudioInputs(_grid(model, config)), clips, batch=_BATCH)
    frames: dict[str, Scores] = {}
    tags: dict[str, Scores] = {}
    for batch in load(batches, range(len(batches)), workers=0):
        with torch.no_grad():
            streamed = _streamed(model, batch.inputs, look_aheads)
            clip = model.detect(batch.inputs, beyond_the_end(batch)).clip
        if clip is None:
            raise ConfigError(f"a {model.config.kind} of this configuration yields no tags")
        for row, (name, count) in enumerate(zip(batch.names, batch.frames.tolist(), strict=True)):
            frames[name], tags[name] = streamed[row, :count].numpy(), clip[row].numpy()
    return frames, tags


def _streamed(model: SoundEventModel, audio: Tensor, look_aheads: NDArray[np.int64]) -> Tensor:
    """Return the scores ``(B, T, C)`` of clips, each class with its own look-ahead."""
    first, *others = np.unique(look_aheads).tolist()
    scores = model.scores(audio, latency_frames=first)
    for ahead in others:
        own = torch.from_numpy(look_aheads == ahead)
        scores = torch.where(own, model.scores(audio, latency_frames=ahead), scores)
    return scores


def _grid(model: SoundEventModel, config: PseudoConfig) -> LabelGrid:
    return LabelGrid(
        model.config.classes,
        sample_rate=model.config.front_end.sample_rate,
        frame_samples=model.config.frame_samples,
        duration_s=config.duration_s,
    )


def _thresholds(model: SoundEventModel, data: Path, config: PseudoConfig) -> Thresholds:
    classes, asked = model.config.classes, config.look_ahead_frames
    asked = model.config.latency_frames if asked is None else asked
    choices = asked if isinstance(asked, tuple) else (asked,)
    every = np.ones(len(classes), np.int64)
    if config.fit is None:
        tags = np.full(len(classes), config.tag_threshold, np.float32)
        frames = np.full(len(classes), config.threshold, np.float32)
        return Thresholds(tags, frames, choices[0] * every)
    clips = read_desed(data, config.fit, classes=classes)
    if clips.kind not in ("strong", "soft"):
        raise ConfigError(f"fit: {config.fit} has no events to choose thresholds on")
    grid, best = _grid(model, config), np.full(len(classes), -1.0)
    frames, look_aheads = np.full(len(classes), 0.5, np.float32), choices[0] * every
    for ahead in choices:
        scores, tags_of = scored(model, clips, config, ahead * every)
        names = [clip.name for clip in clips.clips]
        true = [grid.strong(c.events or ())[: len(scores[c.name])] > 0.5 for c in clips.clips]
        found, of = np.concatenate([scores[name] for name in names]), np.concatenate(true)
        above = best_thresholds(found, of)
        f1 = f1_above(found, of, above)
        better = f1 > best
        best = np.where(better, f1, best)
        frames, look_aheads = (
            np.where(better, new, old) for new, old in ((above, frames), (ahead, look_aheads))
        )
    clips_true = np.stack([t.any(0) for t in true])
    tags = best_thresholds(np.stack([tags_of[name] for name in names]), clips_true)
    return Thresholds(tags, frames, look_aheads)


def _by_class(
    model: SoundEventModel, values: NDArray[np.float32] | NDArray[np.int64]
) -> dict[str, float]:
    return {
        label: round(value.item(), 4)
        for label, value in zip(model.config.classes, values, strict=True)
    }
