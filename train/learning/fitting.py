"""From a recipe, and a data set or a bank, to a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from train.data.clips import Clip
from train.data.feature_cache import FeatureCache
from train.data.inputs import AudioInputs, FeatureExtractor, Inputs, Signal
from train.data.labels import LabelGrid
from train.learning.data_config import ScenesConfig
from train.learning.detection import DetectionTrainer
from train.learning.folder import RunFolder, run_id
from train.learning.machine import make_fabric
from train.learning.recipe import LearningRecipe
from train.learning.sets import read_sets, scene_sets
from train.learning.stopping import StopRequest
from train.models.registry import AnyModelConfig, build


def fit_recipe(
    recipe: LearningRecipe,
    *,
    data: Path,
    folder: Path | None = None,
    until: float | None = None,
) -> tuple[DetectionTrainer, bool]:
    """Train a recipe; a run that was stopped goes on.

    Args:
        recipe: what is learned.
        data: the folder with ``audio`` and ``metadata`` of a data set in DESED's shape; of a
            recording bank for a recipe of scenes.
        folder: of the run; by default ``runs/<id>``.
        until: monotonic time after which it stops, to be resumed.

    Returns:
        The trainer, and whether the run is done.

    Raises:
        DataError: the data set or the bank is wrong.
        ConfigError: the folder is another run's, or the machine has no such device.
    """
    if isinstance(recipe.data, ScenesConfig):
        sets = scene_sets(data, recipe)
    else:
        sets = read_sets(data, recipe.data, recipe.validation, classes=recipe.model.classes)
    fabric = make_fabric(recipe.machine)
    place = RunFolder(folder or Path("runs") / run_id(recipe, sets))
    if fabric.is_global_zero:
        place.claim(recipe, sets, data=data)
    fabric.barrier()
    trainer = DetectionTrainer(
        recipe,
        sets=sets,
        inputs=make_inputs(recipe, sets.clips),
        folder=place,
        fabric=fabric,
    )
    stop = StopRequest(until)
    with stop.on_signals():
        done = trainer.fit(stop)
    fabric.barrier()
    return trainer, done


def make_inputs(recipe: LearningRecipe, clips: Sequence[Clip]) -> Inputs:
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
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("mel bands", total=len(clips))
        inputs.add(clips, progress=lambda count: bar.advance(task, count))
    return inputs


def mel_extractor(config: AnyModelConfig) -> FeatureExtractor:
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
