"""Masks over time or frequency (SpecAugment, Park et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class MaskConfig:
    """Stripes to be wiped out.

    Attributes:
        count: stripes a clip; 0 for none.
        widest: their greatest width, in feature frames or bands; widths are drawn from 0 on.
        fill: what stands in a stripe. 0 is the mean of features scaled by statistics.
    """

    count: int = 2
    widest: int = 12
    fill: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 0 or self.widest < 0:
            raise ValueError(f"count {self.count} and widest {self.widest} must not be negative")


def stripes(
    batch: int, length: int, config: MaskConfig, *, generator: Generator | None = None
) -> Tensor:
    """Draw which frames or bands are masked.

    Returns:
        ``(batch, length)`` bool, True inside a stripe.
    """
    position = torch.arange(length)
    masked = torch.zeros(batch, length, dtype=torch.bool)
    widest = min(config.widest, length)
    for _ in range(config.count):
        width = torch.randint(0, widest + 1, (batch, 1), generator=generator)
        start = (torch.rand(batch, 1, generator=generator) * (length - width + 1)).long()
        masked |= (position >= start) & (position < start + width)
    return masked


@dataclass(frozen=True)
class Spare:
    """Frames that are labelled, of which none may be wiped out whole.

    Attributes:
        first: feature frame with which the labelled frames begin.
        end: one past their last.
        frames: feature frames of a labelled one.
    """

    first: int
    end: int
    frames: int


@torch.no_grad()
def mask_time(
    features: Tensor,
    config: MaskConfig,
    *,
    spare: Spare | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Return features ``(B, T, F)`` with stripes of frames wiped out; labels stay as they are.

    Args:
        features: of clips.
        config: the stripes.
        spare: labelled frames that are left as they are where a stripe would cover all of one.
        generator: of the draws.
    """
    batch, frames, _ = features.shape
    masked = stripes(batch, frames, config, generator=generator)
    if spare is not None:
        labelled = masked[:, spare.first : spare.end].reshape(batch, -1, spare.frames)
        kept = labelled & ~labelled.all(dim=2, keepdim=True)
        masked[:, spare.first : spare.end] = kept.reshape(batch, -1)
    masked = masked.to(features.device)
    return features.masked_fill(masked[:, :, None], config.fill)


@torch.no_grad()
def mask_bands(
    features: Tensor, config: MaskConfig, *, generator: Generator | None = None
) -> Tensor:
    """Return features ``(B, T, F)`` with stripes of bands wiped out."""
    batch, _, bands = features.shape
    masked = stripes(batch, bands, config, generator=generator).to(features.device)
    return features.masked_fill(masked[:, None, :], config.fill)
