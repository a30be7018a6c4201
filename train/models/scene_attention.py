"""Additive attention of frames over the frames around them, and what is made of its result."""

from __future__ import annotations

import torch
from torch import Tensor, nn

OUTSIDE = -1e4
"""Energy of frames that hold no audio: finite, so that a window of nothing else has no NaN."""


class AdditiveAttention(nn.Module):
    """Energy ``v . tanh(W q_i + U k_j)`` of query ``i`` and key ``j`` (Bahdanau et al., 2015).

    Without the ``tanh`` the query's part would be the same for all keys, and the softmax would
    cancel it.

    Args:
        query: width of queries.
        key: width of what keys and values are made of.
        units: width of keys, as they are kept.
    """

    def __init__(self, *, query: int, key: int, units: int) -> None:
        super().__init__()
        self.query = nn.Linear(query, units)
        self.key = nn.Linear(key, units, bias=False)
        # Applied to the weighted sum: one product, not a window's, and the same by linearity.
        self.value = nn.Linear(key, key, bias=False)
        self.energy = nn.Linear(units, 1, bias=False)

    def weights(self, query: Tensor, keys: Tensor, inside: Tensor) -> Tensor:
        """Return weights ``(..., W)`` that sum to 1.

        Args:
            query: ``(..., units)``, as ``self.query`` makes them.
            keys: ``(..., W, units)``, as ``self.key`` makes them.
            inside: ``(..., W)``, 1 for frames that hold audio and 0 for others.
        """
        energy = self.energy(torch.tanh(query.unsqueeze(-2) + keys)).squeeze(-1).float()
        return torch.softmax(energy + (1.0 - inside) * OUTSIDE, dim=-1)


def windows(frames: Tensor, *, before: int, after: int) -> Tensor:
    """Return the windows ``(B, T, before + 1 + after, ...)`` around frames ``(B, T, ...)``.

    Zeros stand beyond both ends.
    """
    pad = [0, 0] * (frames.ndim - 2) + [before, after]
    return nn.functional.pad(frames, pad).unfold(1, before + 1 + after, 1).movedim(-1, 2)


class ShiftNorm(nn.Module):
    """Layer norm that another vector shifts.

    The paper names a shift layer norm and gives no equation.

    Args:
        units: width of what is normalised.
        condition: width of what it is shifted by.
    """

    def __init__(self, units: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(units)
        self.shift = nn.Linear(condition, units, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return ``norm(x) + shift(c)`` of ``(..., units)`` and ``(..., condition)``."""
        shifted: Tensor = self.norm(x) + self.shift(condition)
        return shifted
