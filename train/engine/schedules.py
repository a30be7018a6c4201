"""Schedules: pure functions of the step, which is counted from 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

TEACHER_DECAY = 0.999


class Schedule(Protocol):
    """A weight that changes as a run goes on."""

    def weight_at(self, step: int, *, epoch_steps: int) -> float:
        """Return the weight of a step, counted from 1; ``epoch_steps`` are an epoch."""
        ...


@dataclass(frozen=True)
class Ramp:
    """Rises as ``weight * exp(-5 (1 - k/K)^2)`` and stays.

    Attributes:
        weight: at the end of the ramp.
        ramp_epochs: its length K. The baseline has one ramp for consistency and learning rate.
    """

    weight: float = 2.0
    ramp_epochs: float = 50.0

    def __post_init__(self) -> None:
        if self.weight < 0.0 or self.ramp_epochs < 0.0:
            raise ValueError(
                f"weight {self.weight} and ramp_epochs {self.ramp_epochs}; must be 0 or more"
            )

    def weight_at(self, step: int, *, epoch_steps: int) -> float:
        """Return the weight of a step; see :class:`Schedule`."""
        return self.weight * ramp(step, round(self.ramp_epochs * epoch_steps))


@dataclass(frozen=True)
class Approach:
    """Stays 0, then nears its weight as ``weight * (1 - base ** epochs)`` of those since.

    Guided learning (L. Lin et al. 2020) so lets a teacher learn from its student later and later
    more, once the student has learned something.

    Attributes:
        weight: what it nears.
        start_epochs: until when it is 0.
        base: in [0, 1), the share of the way that is left after an epoch more; 0 steps up at once.
    """

    weight: float = 1.0
    start_epochs: float = 0.0
    base: float = 0.0

    def __post_init__(self) -> None:
        if self.weight < 0.0 or self.start_epochs < 0.0 or not 0.0 <= self.base < 1.0:
            raise ValueError(
                f"weight {self.weight}, start_epochs {self.start_epochs}, base {self.base}; "
                "must be 0 or more, 0 or more, and from 0 to below 1"
            )

    def weight_at(self, step: int, *, epoch_steps: int) -> float:
        """Return the weight of a step; see :class:`Schedule`."""
        since = step / epoch_steps - self.start_epochs
        return self.weight * (1.0 - self.base**since) if since > 0.0 else 0.0


@dataclass(frozen=True)
class At:
    """Where in a run a step stands.

    Attributes:
        step: counted from 1.
        epoch_steps: steps of an epoch.
        rng: chance of this step alone.
        schedules: of the stage, by name.
    """

    step: int
    epoch_steps: int
    rng: np.random.Generator
    schedules: Mapping[str, Schedule]

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return (self.step - 1) // self.epoch_steps

    def weight(self, name: str) -> float:
        """Return the weight that a schedule gives this step."""
        return self.schedules[name].weight_at(self.step, epoch_steps=self.epoch_steps)


def ramp(k: int, length: int) -> float:
    """Return ``exp(-5 (1 - min(k, K) / K)^2)``: the DCASE 2021 baseline's rise from 0.0067 to 1.

    Args:
        k: the step.
        length: K, the step at which it reaches 1; 0 for no ramp.
    """
    if length <= 0:
        return 1.0
    return math.exp(-5.0 * (1.0 - min(k, length) / length) ** 2)


def teacher_decay(k: int, limit: float = TEACHER_DECAY) -> float:
    """Return ``min(1 - 1 / (k + 1), limit)``: at first a plain mean of all students so far."""
    return min(1.0 - 1.0 / (k + 1), limit)


def warmup_cosine(k: int, *, warmup: int, steps: int) -> float:
    """Return a share of the highest rate: linear warm-up, then half a cosine down towards 0.

    Args:
        k: the step.
        warmup: steps until 1 is reached.
        steps: of the whole run; the step after it would have 0.
    """
    if k <= warmup:
        return k / warmup
    progress = (k - 1 - warmup) / max(1, steps - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
