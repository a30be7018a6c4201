"""Focal loss of frames, from logits (T.-Y. Lin et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def focal(
    logits: Tensor, targets: Tensor, *, gamma: float = 2.0, alpha: float | None = None
) -> Tensor:
    """Return the focal loss of every element.

    ``-a y (1 - p)^g log p - (1 - a) (1 - y) p^g log(1 - p)``, in which ``g = 0`` without ``a`` is
    the binary cross-entropy. All terms come from logits, so no probability is rounded to 0 or 1.

    Args:
        logits: any shape.
        targets: the same shape, 0 to 1; a soft target weighs both terms.
        gamma: how much less an element counts that is classified well.
        alpha: weight of positives, with ``1 - alpha`` of negatives; None weighs neither.
            RetinaNet's 0.25 weighs positives down, which sparse events do not need.

    Raises:
        ValueError: shapes differ, ``gamma`` is negative, or ``alpha`` is not between 0 and 1.
    """
    if logits.shape != targets.shape:
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(targets.shape)}; must be equal")
    if gamma < 0.0 or (alpha is not None and not 0.0 < alpha < 1.0):
        raise ValueError(f"gamma {gamma}, alpha {alpha}; must be 0 or more, and in (0, 1) or None")
    logits = logits.float()
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    positive = -targets * torch.exp(gamma * log_not_p) * log_p
    negative = -(1.0 - targets) * torch.exp(gamma * log_p) * log_not_p
    if alpha is None:
        return positive + negative
    return alpha * positive + (1.0 - alpha) * negative
