"""Batches of scenes that are mixed when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from train.data.batches import Batch
from train.data.labels import LabelGrid
from train.data.soundscape import SoundscapeGenerator
from train.data.targets import STRONG, WEAK, Target


class SceneBatches:
    """Batch ``k`` holds the scenes ``k * batch`` and so on: any process mixes it alike.

    Args:
        generator: of the scenes, made before worker processes are.
        grid: of the labels; as long as a scene.
        batch: scenes of a batch.
        steps_per_epoch: for whoever counts epochs.
        rank: of this process among ``ranks`` that share each batch.
        ranks: ``batch`` must be a multiple of it.
    """

    def __init__(
        self,
        generator: SoundscapeGenerator,
        grid: LabelGrid,
        *,
        batch: int,
        steps_per_epoch: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch % ranks:
            raise DataError(f"{batch} scenes a batch; must be a multiple of {ranks} processes")
        self.generator = generator
        self.grid = grid
        self.batch = batch
        self.steps_per_epoch = steps_per_epoch
        self.rank, self.ranks = rank, ranks

    def __getitem__(self, step: int) -> Batch[NDArray[Any]]:
        """Mix the batch of a step; its rows are of the set ``strong``."""
        indices = range(step * self.batch + self.rank, (step + 1) * self.batch, self.ranks)
        scenes = [self.generator.generate(index) for index in indices]
        strong = np.stack([self.grid.strong(scene.events) for scene in scenes])
        known = np.ones(len(scenes), bool)
        return Batch(
            inputs=np.stack([scene.audio for scene in scenes]),
            targets={STRONG: Target(strong, known), WEAK: Target(strong.max(axis=1), known)},
            frames=np.full(len(scenes), self.grid.frames, np.int64),
            rows={"strong": slice(0, len(scenes))},
            names=tuple(map(str, indices)),
            step=step,
        )
