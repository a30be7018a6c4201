"""Means over what is known."""

from __future__ import annotations

from collections.abc import Mapping

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
    total, count = _sum_known(losses, known)
    return total / count.clamp(min=1)


def parts_of_mean(losses: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return what losses of several origins add to the mean over all that is known of any.

    Args:
        losses: losses and what is known of each, by origin, as :func:`mean_known` takes them.

    Raises:
        ValueError: as of :func:`mean_known`.
    """
    sums = {name: _sum_known(*of) for name, of in losses.items()}
    count = sum(count for _, count in sums.values())
    return {name: total / torch.as_tensor(count).clamp(min=1) for name, (total, _) in sums.items()}


def _sum_known(losses: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of losses where they are known, and how many are."""
    if known.dtype != torch.bool or known.shape != losses.shape[: known.ndim]:
        raise ValueError(
            f"known is {known.dtype} of shape {tuple(known.shape)}; must be bool, and lead "
            f"{tuple(losses.shape)}"
        )
    wide = known.view(*known.shape, *[1] * (losses.ndim - known.ndim)).expand_as(losses)
    # Selected, not multiplied: an infinite loss of what is not known counts for nothing.
    chosen = torch.where(wide, losses, torch.zeros_like(losses))
    return chosen.sum(), wide.sum()
