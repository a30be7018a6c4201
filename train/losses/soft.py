"""Losses of frames whose labels are agreements of annotators, 0 to 1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Sides = Literal["two", "one"]
Labels = Literal["soft", "hard"]


def quality_focal(
    logits: Tensor,
    targets: Tensor,
    *,
    beta: float = 2.0,
    sides: Sides = "two",
    labels: Labels = "soft",
) -> Tensor:
    """Return the quality focal loss of every element (Li et al., 2020, equation 3).

    ``|y - p|^b * (-y log p - (1 - y) log(1 - p))``: how far a score is from its soft label weighs
    the cross-entropy, which for soft labels is least, but not 0, where both agree.

    Args:
        logits: any shape.
        targets: the same shape, 0 to 1.
        beta: how much less an element counts that is near its label; 0 is the cross-entropy.
        sides: ``two``, as above; ``one`` is without the second term, ``-y log p`` alone, which
            no score of an absent class adds to.
        labels: ``soft``, as they are; ``hard``, 1 from 0.5 on and 0 below, which with two sides
            is the focal loss of hard labels.

    Raises:
        ValueError: shapes differ, or ``beta`` is negative.
    """
    if logits.shape != targets.shape:
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(targets.shape)}; must be equal")
    if beta < 0.0:
        raise ValueError(f"beta {beta}; must be 0 or more")
    logits, targets = logits.float(), targets.float()
    if labels == "hard":
        targets = (targets >= 0.5).float()
    entropy = -targets * F.logsigmoid(logits)
    if sides == "two":
        entropy = entropy - (1.0 - targets) * F.logsigmoid(-logits)
    distance = (targets - torch.sigmoid(logits)).abs()
    if beta == 0.0:
        return entropy
    # The slope of |x|^b at 0 is 0 for b > 1 and none for smaller ones.
    return distance.clamp(min=1e-12) ** beta * entropy


def squared(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the squared difference of every element; of a linear output, the baseline's loss.

    Raises:
        ValueError: shapes differ.
    """
    if scores.shape != targets.shape:
        raise ValueError(f"shapes {tuple(scores.shape)} and {tuple(targets.shape)}; must be equal")
    return (scores.float() - targets.float()).square()
