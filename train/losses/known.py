"""Means over what is known."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_known(losses: Tensor, known: Tensor) -> Tensor:
    """Return the mean of losses where they are known; 0, and no gradient, where none is.

    Args:
        losses: any shape.
        known: bool, of the same leading axes; further axes are all known.

    Raises:
        ValueError: ``known`` is not bool, or its shape does not lead that of ``losses``.
    """
    if known.dtype != torch.bool or known.shape != losses.shape[: known.ndim]:
        raise ValueError(
            f"known is {known.dtype} of shape {tuple(known.shape)}; must be bool, and lead "
            f"{tuple(losses.shape)}"
        )
    wide = known.view(*known.shape, *[1] * (losses.ndim - known.ndim)).expand_as(losses)
    # Selected, not multiplied: an infinite loss of what is not known counts for nothing.
    chosen = torch.where(wide, losses, torch.zeros_like(losses))
    return chosen.sum() / wide.sum().clamp(min=1)
