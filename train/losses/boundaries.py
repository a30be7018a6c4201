"""Losses of forward-backward networks (Ebbers and Haeb-Umbach 2020 and 2021).

The forward network returns for each frame whether a class has been in the clip up to it, the
backward network whether it is in the clip from it on.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from train.losses.known import mean_known

UNKNOWN = (0.01, 0.99)
"""Boundary targets between these are left out: whether the class is there is not known."""


def framewise_max(forward: Tensor, backward: Tensor, tags: Tensor, known: Tensor) -> Tensor:
    """Return the cross-entropy of tags at every frame with the surer of the two networks.

    At each frame, a class of the clip has been before it or comes after it, so that one of the two
    can know the tag.

    Args:
        forward: ``(B, T, C)`` logits.
        backward: the same.
        tags: ``(B, C)``, 0 to 1.
        known: ``(B, T)`` bool, frames of clips whose tags are known.
    """
    logits = torch.maximum(forward, backward).float()
    targets = tags[:, None].expand_as(logits)
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return mean_known(losses, known)


def boundary_targets(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return what forward and backward networks should return for frames ``(B, T, C)``.

    The highest value so far, and the highest from each frame on.
    """
    forward = frames.cummax(dim=1).values
    backward = frames.flip(1).cummax(dim=1).values.flip(1)
    return forward, backward


def boundaries(forward: Tensor, backward: Tensor, frames: Tensor, known: Tensor) -> Tensor:
    """Return the mean of both networks' cross-entropies where events are known.

    Args:
        forward: ``(B, T, C)`` logits.
        backward: the same.
        frames: ``(B, T, C)``, 0 to 1.
        known: ``(B, T)`` bool.
    """
    total = forward.new_zeros((), dtype=torch.float32)
    for logits, targets in zip((forward, backward), boundary_targets(frames), strict=True):
        losses = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        sure = (targets <= UNKNOWN[0]) | (targets >= UNKNOWN[1])
        total = total + 0.5 * mean_known(losses, known[:, :, None] & sure)
    return total
