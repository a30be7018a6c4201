"""Losses of frames and clips; B rows, T frames, C classes. All return a scalar.

``known`` are the rows that have labels. The mean is over these; without any the loss is 0, and so
are its gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, where the logarithm has no finite gradient."""


def strong_bce(
    logits: Tensor, targets: Tensor, known: Tensor, frames: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of frames.

    Args:
        logits: ``(B, T, C)``.
        targets: ``(B, T, C)``, 0 to 1.
        known: ``(B,)`` bool.
        frames: ``(B, T)`` bool, frames of these rows that have labels; None for all.
    """
    _check(logits, targets, known, axes=3)
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return mean_of_known(losses, known, frames)


def weak_bce(probabilities: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of clips.

    A clip's probability is pooled from frames, so that there is no logit to take. To be called
    outside autocast.

    Args:
        probabilities: ``(B, C)``, 0 to 1.
        targets: ``(B, C)``, 0 to 1.
        known: ``(B,)`` bool.
    """
    _check(probabilities, targets, known, axes=2)
    clamped = probabilities.float().clamp(SMALLEST, 1.0 - SMALLEST)
    losses = F.binary_cross_entropy(clamped, targets, reduction="none")
    return _mean_of_rows(losses.mean(dim=1), known)


def strong_consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the frames' probabilities, over all rows.

    Args:
        student: ``(B, T, C)`` logits.
        teacher: ``(B, T, C)`` logits; no gradient reaches them.
    """
    _check(student, teacher, None, axes=3)
    return F.mse_loss(torch.sigmoid(student.float()), torch.sigmoid(teacher.detach().float()))


def weak_consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the clips' probabilities, over all rows.

    Args:
        student: ``(B, C)`` probabilities.
        teacher: ``(B, C)`` probabilities; no gradient reaches them.
    """
    _check(student, teacher, None, axes=2)
    return F.mse_loss(student.float(), teacher.detach().float())


def mean_of_known(losses: Tensor, known: Tensor, frames: Tensor | None = None) -> Tensor:
    """Return the mean ``()`` over known rows of the means over their known frames.

    Args:
        losses: ``(B, T, C)``.
        known: ``(B,)`` bool.
        frames: ``(B, T)`` bool; None for all.
    """
    if frames is None:
        return _mean_of_rows(losses.mean(dim=(1, 2)), known)
    chosen = torch.where(frames[:, :, None], losses, torch.zeros_like(losses)).mean(dim=2)
    counts = frames.sum(dim=1)
    return _mean_of_rows(chosen.sum(dim=1) / counts.clamp(min=1), known & (counts > 0))


def _mean_of_rows(losses: Tensor, known: Tensor) -> Tensor:
    # Selected, not multiplied: scores of other rows count for nothing, not even
    # if they are infinite.
    chosen = torch.where(known, losses, torch.zeros_like(losses))
    return chosen.sum() / known.sum().clamp(min=1)


def _check(first: Tensor, second: Tensor, known: Tensor | None, *, axes: int) -> None:
    wanted = "(B, T, C)" if axes == 3 else "(B, C)"
    if first.ndim != axes or first.shape != second.shape:
        raise ValueError(
            f"shapes {tuple(first.shape)} and {tuple(second.shape)}; must both be {wanted}"
        )
    if known is not None and (known.shape != first.shape[:1] or known.dtype != torch.bool):
        raise ValueError(
            f"known is {known.dtype} of shape {tuple(known.shape)}; must be bool, "
            f"({first.shape[0]},)"
        )
