"""A stage on the CPU, step by step, without data sets or folders."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from train.data.targets import Target
from train.engine.networks import Networks
from train.engine.schedules import At
from train.engine.stage import Stage, Terms
from train.recipe.schema import Recipe
from train.stages.registry import STAGES

EPOCH_STEPS = 10
PLATEAU = 10_000
"""A step at which every ramp is over."""


class StageRun:
    """A stage, its networks, and what a step does with them."""

    def __init__(self, recipe: Recipe, precision: Literal["32-true", "bf16-mixed"] = "32-true"):
        self.recipe = recipe
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        self.stage: Any = STAGES.maker(recipe.stage.kind)(recipe, fabric.device)
        assert isinstance(self.stage, Stage)
        torch.manual_seed(recipe.seed)
        self.networks: Any = Networks(
            self.stage.networks(), optimiser=recipe.optimiser, fabric=fabric
        )

    def at(self, step: int = PLATEAU, seed: int = 0) -> At:
        return At(step, EPOCH_STEPS, np.random.default_rng(seed), self.stage.schedules())

    def terms(self, batch: Any, *, step: int = PLATEAU) -> Terms:
        terms: Terms = self.stage.terms(batch, self.networks, self.at(step))
        return terms

    def prepare(self, batch: Any) -> Any:
        return self.stage.prepare(batch, self.networks, self.at())

    def step(self, batch: Any, k: int, learning_rate: float = 0.01) -> Terms:
        terms = self.terms(batch)
        self.networks.backward(torch.stack(list(terms.values())).sum())
        self.networks.step(k, {"learning_rate": learning_rate})
        return terms


def targets(
    strong: Tensor, weak: Tensor, *, has_strong: Tensor, has_weak: Tensor
) -> dict[str, Target[Tensor]]:
    return {"strong": Target(strong, has_strong), "weak": Target(weak, has_weak)}
