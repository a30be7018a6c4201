"""Mixup (Zhang et al. 2018) of clips of one batch, on linear mel bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from train.data.batches import Batch
from train.data.targets import Target

GROUPS: tuple[tuple[str, ...], ...] = (("strong", "strong_real"), ("weak",))
"""The baseline's groups: unlabelled clips stay as they are."""


@dataclass(frozen=True)
class MixupConfig:
    """How clips are mixed; the defaults are the DCASE 2021 baseline's.

    Attributes:
        probability: of mixing in a step, one coin for all groups; 0 turns mixup off.
        alpha: of ``Beta(alpha, alpha)``, from which one share a group is drawn.
        labels: ``soft`` mixes them by the same share (the baseline); ``hard`` takes all of both.
        groups: sets whose clips are mixed with each other; others stay as they are.
    """

    probability: float = 0.5
    alpha: float = 0.2
    labels: Literal["soft", "hard"] = "soft"
    groups: tuple[tuple[str, ...], ...] = GROUPS

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability {self.probability}; must be from 0 to 1")
        if self.alpha <= 0.0:
            raise ValueError(f"alpha {self.alpha}; must be positive")


@dataclass(frozen=True)
class Partners:
    """Who is mixed with whom.

    Attributes:
        index: ``(B,)`` int64, the row that is mixed into each row; itself for none.
        share: ``(B,)`` float32 of the row itself; 1 for none.
    """

    index: Tensor
    share: Tensor


def draw_partners(
    rows: Mapping[str, slice], config: MixupConfig, rng: np.random.Generator
) -> Partners | None:
    """Draw who is mixed with whom in a step; None if nothing is mixed in this one.

    Args:
        rows: of each set of the batch.
        config: how often and how much.
        rng: draws.
    """
    if rng.random() >= config.probability:
        return None
    size = max(part.stop for part in rows.values())
    index, share = np.arange(size), np.ones(size, np.float32)
    for group in config.groups:
        parts = [index[rows[name]] for name in group if name in rows]
        if not parts:
            continue
        members = np.concatenate(parts)
        index[members] = rng.permutation(members)
        share[members] = rng.beta(config.alpha, config.alpha)
    return Partners(torch.from_numpy(index), torch.from_numpy(share))


def mix(
    batch: Batch[Tensor], partners: Partners, *, labels: Literal["soft", "hard"]
) -> Batch[Tensor]:
    """Return the batch with its inputs and all its targets mixed.

    What is known of one clip of a pair is not known of both: such rows and frames are left out.

    Args:
        batch: its inputs ``(B, T, F)`` are linear mel bands, which add up as sounds do (nearly).
        partners: of a batch of as many rows.
        labels: see :class:`MixupConfig`.
    """
    device = batch.inputs.device
    index = partners.index.to(device, non_blocking=True)
    share = partners.share.to(device, non_blocking=True)

    def mixed(values: Tensor) -> Tensor:
        own = share.view(-1, *[1] * (values.ndim - 1))
        return own * values + (1.0 - own) * values[index]

    def of_both(values: Tensor) -> Tensor:
        return torch.maximum(values, values[index])

    def target_of_both(target: Target[Tensor]) -> Target[Tensor]:
        values = mixed(target.values) if labels == "soft" else of_both(target.values)
        frames = target.frames
        return replace(
            target,
            values=values,
            known=target.known & target.known[index],
            frames=None if frames is None else frames & frames[index],
        )

    return replace(
        batch,
        inputs=mixed(batch.inputs),
        targets={name: target_of_both(target) for name, target in batch.targets.items()},
        frames=of_both(batch.frames),
    )
