"""Sets of clips, read as audio or as mel bands that are computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from train.console import PrintableConsole
from train.data.batches import EpochBatches, TrainingBatches
from train.data.clips import Clip, ClipSet
from train.data.feature_cache import FeatureCache
from train.data.inputs import AudioInputs, FeatureExtractor, Inputs, Signal
from train.data.labels import LabelGrid
from train.engine.stage import Sets
from train.models.model import ModelConfig
from train.models.registry import build

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class ClipSets(Sets):
    """Clips of a run.

    Attributes:
        recipe: of the run.
        training: sets, and how many clips of each stand in a batch.
        strong: with events, to validate on.
        weak: with tags, to validate on; None if the run learns from no tags.
    """

    recipe: Recipe
    training: tuple[tuple[ClipSet, int], ...]
    strong: ClipSet
    weak: ClipSet | None

    @cached_property
    def inputs(self) -> Inputs:
        """What reads clips; mel bands that are kept are computed when it is first asked for.

        Raises:
            DataError: a clip cannot be read, or the cache cannot be written.
        """
        return make_inputs(self.recipe, self.clips)

    def batches(self, *, rank: int = 0, ranks: int = 1) -> EpochBatches:
        """Return training batches; see the base class."""
        return TrainingBatches(
            self.inputs,
            self.training,
            seed=self.recipe.seed,
            steps_per_epoch=self.recipe.data.steps_per_epoch,
            rank=rank,
            ranks=ranks,
        )

    @property
    def clips(self) -> list[Clip]:
        """All of them."""
        held_out = (self.strong, *([self.weak] if self.weak else []))
        sets = (*(clips for clips, _ in self.training), *held_out)
        return [clip for part in sets for clip in part.clips]

    def counts(self) -> dict[str, int]:
        """Return the number of clips by set."""
        counts = {clips.name: len(clips) for clips, _ in self.training}
        counts[f"validation: {self.strong.name}"] = len(self.strong)
        if self.weak is not None:
            counts[f"validation: {self.weak.name}"] = len(self.weak)
        return counts

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the names and labels of all clips, not of their audio."""
        return clips_fingerprint(self.clips)


def clips_fingerprint(clips: Iterable[Clip], *, beside: Sequence[str] = ()) -> str:
    """Return 16 hexadecimal digits of clips' names and labels, and of what stands beside them."""
    described = []
    for clip in clips:
        own = [[event.label, event.onset_s, event.offset_s] for event in clip.events or ()]
        entry: list[object] = [clip.name, clip.tags, own]
        if clip.further:
            entry.append({name: asdict(labels) for name, labels in clip.further.items()})
        described.append(entry)
    text = json.dumps([*described, *beside])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_inputs(recipe: Recipe, clips: Sequence[Clip]) -> Inputs:
    """Return what reads clips: as audio, or as linear mel bands that are computed once."""
    model, cache = recipe.model, recipe.machine.cache
    grid = LabelGrid(
        model.classes,
        sample_rate=model.front_end.sample_rate,
        frame_samples=model.frame_samples,
        duration_s=recipe.data.duration_s,
    )
    if cache is None:
        return AudioInputs(grid)
    inputs = FeatureCache(cache, mel_extractor(model), grid)
    with Progress(console=PrintableConsole(stderr=True), transient=True) as bar:
        task = bar.add_task("mel bands", total=len(clips))
        inputs.add(clips, progress=lambda count: bar.advance(task, count))
    return inputs


def mel_extractor(config: ModelConfig) -> FeatureExtractor:
    """Return what computes a model's linear mel bands, on the CPU."""
    model = build(config)

    @torch.no_grad()
    def compute(audio: Signal) -> NDArray[np.float32]:
        mels: NDArray[np.float32] = model.mels(torch.from_numpy(audio)[None])[0].numpy()
        return mels

    return FeatureExtractor(
        compute,
        # All that the base classes' ``mels`` look at, whatever the weights.
        config={
            "kind": config.kind,
            "front_end": asdict(config.front_end),
            "frame_samples": config.frame_samples,
            "latency_frames": config.latency_frames,
        },
        sample_rate=config.front_end.sample_rate,
        hop_samples=config.front_end.hop_samples,
    )
