"""Losses of frames whose labels are agreements of annotators, 0 to 1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from train.losses.focal import focal

SoftLoss = Literal["squared", "quality_focal", "two_sided_focal", "hard_focal"]


def quality_focal(logits: Tensor, targets: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Return the quality focal loss of every element (Li et al., 2020, equation 3).

    ``|y - p|^g * (-y log p - (1 - y) log(1 - p))``: how far a score is from its soft label weighs
    the cross-entropy. It is least, 0, where both agree; the focal loss is not.

    Args:
        logits: any shape.
        targets: the same shape, 0 to 1.
        gamma: how much less an element counts that is near its label; 0 is the cross-entropy.

    Raises:
        ValueError: shapes differ, or ``gamma`` is negative.
    """
    if logits.shape != targets.shape:
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(targets.shape)}; must be equal")
    if gamma < 0.0:
        raise ValueError(f"gamma {gamma}; must be 0 or more")
    logits, targets = logits.float(), targets.float()
    entropy = -targets * F.logsigmoid(logits) - (1.0 - targets) * F.logsigmoid(-logits)
    distance = (targets - torch.sigmoid(logits)).abs()
    if gamma == 0.0:
        return entropy
    # The slope of |x|^g at 0 is 0 for g > 1 and none for smaller ones.
    return distance.clamp(min=1e-12) ** gamma * entropy


def soft_focal(
    logits: Tensor,
    targets: Tensor,
    *,
    form: Literal["quality_focal", "two_sided_focal", "hard_focal"] = "quality_focal",
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Tensor:
    """Return a focal loss of every element against soft labels; the paper does not say which.

    Args:
        logits: any shape.
        targets: the same shape, 0 to 1.
        form: ``quality_focal``; ``two_sided_focal``, each side of Lin's focal loss weighed by the
            soft label, which is least elsewhere than at the label (gamma 2, label 0.2: at 0.37);
            or ``hard_focal``, Lin's of labels that are 1 from 0.5 on.
        gamma: of it.
        alpha: weight of the positive side of Lin's; None weighs neither, and must be with
            ``quality_focal``.

    Raises:
        ValueError: shapes differ, or ``gamma`` or ``alpha`` is out of range.
    """
    if form == "quality_focal":
        if alpha is not None:
            raise ValueError("alpha: the quality focal loss has none")
        return quality_focal(logits, targets, gamma=gamma)
    if form == "hard_focal":
        targets = (targets >= 0.5).float()
    return focal(logits, targets.float(), gamma=gamma, alpha=alpha)


def squared(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the squared difference of every element; of a linear output, the baseline's loss.

    Raises:
        ValueError: shapes differ.
    """
    if scores.shape != targets.shape:
        raise ValueError(f"shapes {tuple(scores.shape)} and {tuple(targets.shape)}; must be equal")
    return (scores.float() - targets.float()).square()
