"""Simulated annotators: opinions on overlapping stretches become soft labels of seconds.

MAESTRO Real was labelled so (Martin-Morato and Mesaros, "Strong labeling of sound events using
crowdsourced weak labels and annotator competence estimation", 2023): several people tag each
stretch of 10 s, a stretch begins every second, opinions are weighed by how competent their
authors seem, and a second takes the mean of the stretches that it lies in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class AnnotatorsConfig:
    """Who annotates, and what.

    Attributes:
        pool: annotators of a recording.
        opinions: of them that tag each stretch; at most ``pool``.
        stretch_s: whole seconds that are tagged at once; a stretch begins every second.
        hit: share of the classes that sound which an annotator names; drawn for each evenly.
        false_alarm: share of the others that they name; drawn for each evenly.
        weighed: whether opinions are weighed by :func:`competence`, or alike.
    """

    pool: int = 12
    opinions: int = 5
    stretch_s: int = 10
    hit: tuple[float, float] = (0.5, 0.98)
    false_alarm: tuple[float, float] = (0.0, 0.05)
    weighed: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.opinions <= self.pool or self.stretch_s < 1:
            raise ValueError(
                f"opinions {self.opinions}, pool {self.pool}, stretch_s {self.stretch_s}; must be "
                "1 or more, and opinions at most pool"
            )
        for name in ("hit", "false_alarm"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high <= 1.0:
                raise ValueError(f"{name} {low} to {high}; must be from 0 to 1, in order")


def soft_labels(
    active: Flags, config: AnnotatorsConfig, *, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return what annotators make of a recording.

    Args:
        active: ``(T, C)``, whether a class sounds in a second.
        config: who annotates.
        rng: of their competence and their opinions.

    Returns:
        ``(T, C)``, 0 to 1.
    """
    sounds = stretches(active, config.stretch_s)
    hit = rng.uniform(*config.hit, config.pool)
    false_alarm = rng.uniform(*config.false_alarm, config.pool)
    who = np.stack([rng.permutation(config.pool)[: config.opinions] for _ in sounds])
    share = np.where(sounds[:, None], hit[who][:, :, None], false_alarm[who][:, :, None])
    named = rng.random(share.shape) < share
    weights = np.ones(config.pool)
    if config.weighed:
        weights = np.maximum(competence(named, who, pool=config.pool), 1e-3)
    of_each = weights[who][:, :, None]
    agreement = (named * of_each).sum(axis=1) / of_each.sum(axis=1)
    return seconds(agreement, len(active), config.stretch_s)


def stretches(active: Flags, length: int) -> Flags:
    """Return ``(W, C)``, whether a class sounds anywhere in each stretch of ``length`` seconds.

    A recording that is no longer than a stretch is one.
    """
    count = max(len(active) - length + 1, 1)
    return np.stack([active[first : first + length].any(axis=0) for first in range(count)])


def seconds(agreement: NDArray[np.float64], total: int, length: int) -> NDArray[np.float64]:
    """Return ``(total, C)``: of each second the mean of the stretches ``(W, C)`` it lies in."""
    sums = np.zeros((total, agreement.shape[1]))
    covered = np.zeros((total, 1))
    for first, values in enumerate(agreement):
        sums[first : first + length] += values
        covered[first : first + length] += 1.0
    mean: NDArray[np.float64] = sums / covered
    return mean


def competence(named: Flags, who: NDArray[np.int64], *, pool: int) -> NDArray[np.float64]:
    """Estimate from opinions alone how competent each annotator is, as their authors do.

    It is an annotator's agreement with the majority of the others that tagged the same stretch,
    beyond chance (Cohen's kappa); ties of the others count for nothing.

    Args:
        named: ``(W, A, C)``, the opinions of A annotators on each stretch.
        who: ``(W, A)``, which annotators these are.
        pool: how many there are.

    Returns:
        ``(pool,)``, at most 1, and 0 for who guesses, or has no opinion to compare.
    """
    others = named.sum(axis=1, keepdims=True) - named
    count = named.shape[1] - 1
    decided = 2 * others != count
    majority = 2 * others > count
    found = np.zeros(pool)
    for annotator in range(pool):
        counts = decided & (who == annotator)[:, :, None]
        mine, theirs = named[counts], majority[counts]
        if not len(mine):
            continue
        agree = float((mine == theirs).mean())
        p, q = float(mine.mean()), float(theirs.mean())
        chance = p * q + (1.0 - p) * (1.0 - q)
        found[annotator] = 0.0 if chance == 1.0 else (agree - chance) / (1.0 - chance)
    return found
