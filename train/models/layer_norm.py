"""Layer normalisation of sequences ``(B, C, K)``: over a clip, over the past, over each frame."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

EPS = 1e-8


class Normalisation(nn.Module, ABC):
    """Zero mean and unit deviation, then a gain and a bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    @abstractmethod
    def forward(self, x: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalise.

        Args:
            x: ``(B, C, K)``.
            sums: ``(B, 3)``, what is remembered of the past; None for nothing.

        Returns:
            The same shape, and what is to be remembered.
        """


class GlobalNorm(Normalisation):
    """Statistics of a whole clip, over channels and time (gLN); not causal."""

    def forward(self, x: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalise; see the base class. There is no past."""
        return nn.functional.group_norm(x, 1, self.gain, self.bias, EPS), sums


class ChannelNorm(Normalisation):
    """Statistics of each frame by itself: the past is nothing to it, and neither is level."""

    def forward(self, x: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalise; see the base class. There is no past."""
        frames = x.transpose(1, 2)
        y = nn.functional.layer_norm(frames, frames.shape[2:], self.gain, self.bias, EPS)
        return y.transpose(1, 2), sums


class CumulativeNorm(Normalisation):
    """Statistics of all frames so far (cLN), of which the oldest are forgotten little by little.

    A plain cumulative sum grows without end, and after hours of a stream its rounding errors do.
    Here sum, sum of squares and number of frames all shrink by ``1 - 1 / memory_frames`` a frame.
    Their ratios begin as plain means, and end as means with that time constant; the sums are
    bounded, so hour 40 is as exact as second 40.

    Args:
        channels: of ``x``.
        memory_frames: the time constant.
    """

    def __init__(self, channels: int, *, memory_frames: int) -> None:
        super().__init__(channels)
        self.memory_frames = memory_frames

    def forward(self, x: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalise; see the base class. ``sums`` are of values, of squares, and of frames."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            # A product with a row is a mean that every runtime computes fast.
            row = x.new_full((1, x.shape[1]), 1.0 / x.shape[1])
            values = torch.cat([row @ x, row @ (x * x)], dim=1)  # (B, 2, K)
            before = values.new_zeros(len(x), 3) if sums is None else sums
            totals = forgetful_sums(values, before[:, :2], memory_frames=self.memory_frames)
            frames = forgetful_count(x.shape[2], before[:, 2:], memory_frames=self.memory_frames)
            mean, square = torch.split(totals / frames[:, None], 1, dim=1)
            # Not added: the exporter takes a sum with so little for no sum, and drops it.
            deviation = torch.sqrt((square - mean * mean).clamp(min=EPS))
            y = (x - mean) * (1.0 / deviation)
            after = torch.cat([totals[:, :, -1], frames[:, -1:]], dim=1)
            return y * self.gain[:, None] + self.bias[:, None], after


PRODUCT_FRAMES = 256
"""Up to so many frames are summed by a matrix, which costs less than its steps one by one."""


def forgetful_sums(values: Tensor, before: Tensor, *, memory_frames: int) -> Tensor:
    """Return ``s_k = a s_(k-1) + v_k`` with ``a = 1 - 1 / memory_frames``, for all ``k`` at once.

    Args:
        values: ``(B, D, K)``.
        before: ``(B, D)``, the sums before the first.
        memory_frames: time constant, 2 or more.

    Returns:
        ``(B, D, K)``.
    """
    rate = math.log1p(-1.0 / memory_frames)
    if values.shape[2] <= PRODUCT_FRAMES:
        frame = torch.arange(values.shape[2], dtype=values.dtype, device=values.device)
        # The lower half would overflow where much is forgotten.
        ages = (frame[None, :] - frame[:, None]).clamp(min=0.0)
        shrunk = torch.exp(rate * ages).triu()  # (from frame j, to frame k)
        return torch.exp(rate * (frame + 1.0)) * before[:, :, None] + values @ shrunk
    parts = []
    # Within a time constant no value is scaled by more than e, and little is lost by it.
    for part in torch.split(values, memory_frames, dim=2):
        age = torch.arange(1, part.shape[2] + 1, dtype=values.dtype, device=values.device)
        shrunk = torch.exp(rate * age)  # a power of a rounded ``a`` would be off by far more
        parts.append(shrunk * (before[:, :, None] + torch.cumsum(part / shrunk, dim=2)))
        before = parts[-1][:, :, -1]
    return torch.cat(parts, dim=2)


def forgetful_count(frames: int, before: Tensor, *, memory_frames: int) -> Tensor:
    """Return :func:`forgetful_sums` of ones, ``(B, frames)``, from ``before`` ``(B, 1)``."""
    age = torch.arange(1, frames + 1, dtype=before.dtype, device=before.device)
    rate = math.log1p(-1.0 / memory_frames)
    return torch.exp(rate * age) * before - memory_frames * torch.expm1(rate * age)


def make_norm(
    kind: Literal["global", "cumulative", "channel"], channels: int, *, memory_frames: int
) -> Normalisation:
    """Return a normalisation of a kind; the memory is of the cumulative one."""
    if kind == "cumulative":
        return CumulativeNorm(channels, memory_frames=memory_frames)
    return GlobalNorm(channels) if kind == "global" else ChannelNorm(channels)
