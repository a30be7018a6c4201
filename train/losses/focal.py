"""Focal losses, from logits: that of T.-Y. Lin et al. (2018), and the adaptive one of paper (d).

Paper (d): Y. Liang, Y. Long, Y. Li, J. Liang and Y. Wang, "Joint framework with deep feature
distillation and adaptive focal loss for weakly supervised audio tagging and acoustic event
detection". With ``p_t`` the probability of the true label, Lin's loss weighs the cross-entropy
``-log p_t`` by ``(1 - p_t)^gamma``, the adaptive one by ``1 - p_t^gamma``. At ``gamma`` 1 they are
the same; above it Lin's falls off sooner, and the adaptive one keeps nearly the whole
cross-entropy of all that is not yet sure.
"""

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
    _check_shapes(logits, targets)
    if gamma < 0.0 or (alpha is not None and not 0.0 < alpha < 1.0):
        raise ValueError(f"gamma {gamma}, alpha {alpha}; must be 0 or more, and in (0, 1) or None")
    logits = logits.float()
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    positive = -targets * torch.exp(gamma * log_not_p) * log_p
    negative = -(1.0 - targets) * torch.exp(gamma * log_p) * log_not_p
    if alpha is None:
        return positive + negative
    return alpha * positive + (1.0 - alpha) * negative


def adaptive_focal(logits: Tensor, targets: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Return the adaptive focal loss of every element.

    ``-y (1 - p^g) log p - (1 - y) (1 - (1 - p)^g) log(1 - p)``, which nears the binary
    cross-entropy as ``g`` grows. ``1 - p^g`` is ``-expm1(g log p)``: near ``p = 1``, where the
    difference would be rounded to 0, it stays exact.

    Args:
        logits: any shape.
        targets: the same shape, 0 to 1; a soft target weighs both terms.
        gamma: above 0; at 0 nothing would count.

    Raises:
        ValueError: shapes differ, or ``gamma`` is not above 0.
    """
    _check_shapes(logits, targets)
    if gamma <= 0.0:
        raise ValueError(f"gamma {gamma}; must be above 0")
    logits = logits.float()
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    positive = targets * torch.expm1(gamma * log_p) * log_p
    negative = (1.0 - targets) * torch.expm1(gamma * log_not_p) * log_not_p
    return positive + negative


def _check_shapes(logits: Tensor, targets: Tensor) -> None:
    if logits.shape != targets.shape:
        raise ValueError(f"shapes {tuple(logits.shape)} and {tuple(targets.shape)}; must be equal")
