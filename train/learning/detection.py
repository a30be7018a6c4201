"""The loop as recipes of detection run it."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
from lightning.fabric import Fabric
from torch import Tensor

from train.data.batches import Batch, OrderedBatches
from train.data.clips import ClipSet
from train.data.inputs import Inputs
from train.data.loading import load
from train.learning.folder import RunFolder
from train.learning.learner import Learner
from train.learning.recipe import LearningRecipe
from train.learning.schedules import ramp
from train.learning.sets import Sets
from train.learning.steps import STEPS, Moment
from train.learning.trainer import Figures, Terms, Trainer
from train.learning.validation import (
    ClipScores,
    Objective,
    average_precision,
    intersection_f1,
    score_clips,
    weak_f1,
)
from train.models.model import SoundEventModel


class DetectionTrainer(Trainer[SoundEventModel]):
    """Trains a recipe on sets of clips or on scenes.

    Args:
        recipe: what is learned.
        sets: of clips.
        inputs: of these clips.
        folder: claimed for this run.
        fabric: launched.
    """

    recipe: LearningRecipe
    learner: Learner

    def __init__(
        self,
        recipe: LearningRecipe,
        *,
        sets: Sets,
        inputs: Inputs,
        folder: RunFolder,
        fabric: Fabric,
    ) -> None:
        rank, ranks = fabric.global_rank, fabric.world_size
        super().__init__(
            recipe,
            batches=sets.batches(recipe, inputs, rank=rank, ranks=ranks),
            learner=Learner(recipe, fabric),
            folder=folder,
            fabric=fabric,
        )
        self.sets, self.inputs = sets, inputs
        self.step_function = STEPS[recipe.step]

    def begin(self) -> None:
        """Fix the front end's scaling, unless the run begins with a checkpoint's."""
        if self.recipe.model.front_end.scaler != "statistics" or self.recipe.init_from is not None:
            return
        steps = range(self.recipe.statistics_batches)
        whole = self.sets.batches(self.recipe, self.inputs)  # every process sees the same
        device = self.fabric.device
        self.learner.set_statistics([b.map(lambda t: t.to(device)) for b in load(whole, steps)])

    def rates(self, k: int) -> dict[str, float]:
        """Return the learning rate and the weight of consistency."""
        config = self.recipe.consistency
        weight = config.weight * ramp(k, round(config.ramp_epochs * self.epoch_steps))
        return {**super().rates(k), "consistency": weight}

    def terms(self, batch: Batch[Tensor], k: int) -> Terms:
        """Return the parts of the loss; see the base class."""
        moment = Moment(self.rates(k)["consistency"], np.random.default_rng(self.chance(k)))
        return self.step_function(batch, self.learner, moment)

    def figures(self, network: SoundEventModel) -> Figures:
        """Score the clips to validate on; see the base class."""
        config = self.recipe.validation

        def scored(clips: ClipSet) -> ClipScores:
            batches = OrderedBatches(self.inputs, clips, batch=config.batch)
            loaded = load(batches, range(len(batches)), workers=self.recipe.machine.workers)
            return score_clips(network, loaded, device=self.fabric.device)

        strong, weak = self.sets.strong, self.sets.weak
        frames = scored(strong).strong
        objective = Objective(
            weak_f1=math.nan if weak is None else weak_f1(scored(weak).weak, weak),
            intersection_f1=intersection_f1(
                frames, strong, frame_s=self.inputs.grid.frame_s, median_s=config.median_s
            ),
            average_precision=average_precision(frames, strong, grid=self.inputs.grid),
        )
        return Figures(asdict(objective), objective.value(config.objective))
