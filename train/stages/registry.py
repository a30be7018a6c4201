"""Which stages there are, and their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamsed.registry import Registry
from train.engine.schedules import TEACHER_DECAY
from train.engine.stage import Stage

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class StageConfig:
    """A stage's own options, as a recipe's ``stage`` holds them.

    A kind is a dataclass below this one with a field ``kind`` that has the kind's name as its only
    value and default.
    """

    @property
    def kind(self) -> str:
        """Name of the stage."""
        raise NotImplementedError

    def network_names(self) -> tuple[str, ...]:
        """Return the names of networks that learn or follow; the first is selected by default."""
        raise NotImplementedError

    def needs(self) -> Mapping[str, Path]:
        """Return files that decide what is learned, such as checkpoints, by the key of the option.

        Their content is part of which run it is.
        """
        return {}

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe that this stage cannot run.

        Raises:
            ValueError: the line names the key, and what would be right.
        """


@dataclass(frozen=True)
class AverageConfig:
    """A network that averages the weights of another; see :class:`AverageOf`.

    Attributes:
        decay: of the average, ``min(1 - 1 / (k + 1), decay)``.
    """

    decay: float = TEACHER_DECAY

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"decay {self.decay}; must be from 0 to below 1")


STAGES: Registry[type[Stage]] = Registry("stage", package="train.stages", default="mean_teacher")
"""Stages of all kinds.

An example returns what a recipe of the stage must have beside its kind, as plain data; a stage
that learns from clips with any model needs none.
"""
