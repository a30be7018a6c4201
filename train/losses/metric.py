"""Inter-frame distance contrastive loss: metric learning between synthetic and real clips.

Y. Huang et al., "Guided multi-branch learning systems for sound event detection with sound
separation", 2020, as paper (a) uses it for domain adaptation. Frames ``t`` of clips ``i`` and ``j``
are compared by ``s = |p_it - p_jt|^2 / K``, with ``p`` of ``K`` features projected from their
embeddings. A pair is positive if both frames have the same set of classes and both clips have, and
negative if frames and clips share no class and at least one frame is not silent; others do not
count. Positive pairs are to be nearer than ``near``, negative ones farther than ``far``.

Sets must be hard, so the loss is of clips that were not mixed up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEAR, FAR = 0.4, 0.6
ACTIVE = 0.5
"""A class is in a frame's or clip's set above this."""


class Frames(NamedTuple):
    """Projected frames of some clips, and what is known of them.

    Attributes:
        points: ``(B, T, K)``.
        frames: ``(B, T, C)``, classes of each frame, above 0.5 where active.
        clips: ``(B, C)``, classes of each clip; of weak clips the tags.
        valid: ``(B, T)`` bool, frames that hold audio and whose classes are known.
    """

    points: Tensor
    frames: Tensor
    clips: Tensor
    valid: Tensor

    def rows(self, chosen: Tensor) -> Frames:
        """Return the clips where ``chosen`` ``(B,)`` is True."""
        return Frames(*(tensor[chosen] for tensor in self))


class Masks(NamedTuple):
    """Which pairs are compared, ``(B_i, B_j, T)`` bool each."""

    positive: Tensor
    negative: Tensor


def pair_masks(first: Frames, second: Frames) -> Masks:
    """Return the positive and the negative pairs of frames of the same index."""
    same, apart, silent = _compared(
        first.frames.transpose(0, 1), second.frames.transpose(0, 1)
    )  # (T, B_i, B_j)
    clips_same, clips_apart, _ = _compared(first.clips, second.clips)  # (B_i, B_j)
    valid = (first.valid.T[:, :, None] & second.valid.T[:, None, :]).permute(1, 2, 0)
    positive = same.permute(1, 2, 0) & clips_same[:, :, None] & valid
    negative = (apart & ~silent).permute(1, 2, 0) & clips_apart[:, :, None] & valid
    return Masks(positive, negative)


def _compared(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where sets ``(..., B, C)`` are equal, share nothing, and are both empty."""
    one, other = (first > ACTIVE).float(), (second > ACTIVE).float()
    shared = one @ other.transpose(-1, -2)
    sizes, others = one.sum(-1)[..., :, None], other.sum(-1)[..., None, :]
    return (shared == sizes) & (shared == others), shared == 0, (sizes + others) == 0


def ifdc(
    first: Frames,
    second: Frames | None = None,
    *,
    near: float = NEAR,
    far: float = FAR,
) -> Tensor:
    """Return the mean loss of all pairs that are positive or negative; 0 without any.

    Args:
        first: clips, such as synthetic ones.
        second: others, such as real ones; None pairs the first with one another, each pair once
            and none with itself.
        near: margin of positive pairs.
        far: margin of negative pairs.

    Raises:
        ValueError: the margins are not ``0 <= near <= far``.
    """
    if not 0.0 <= near <= far:
        raise ValueError(f"near {near}, far {far}; must be 0 or more, and near at most far")
    other = first if second is None else second
    positive, negative = pair_masks(first, other)
    if second is None:
        once = torch.ones(positive.shape[:2], dtype=torch.bool, device=positive.device).triu(1)
        positive, negative = positive & once[:, :, None], negative & once[:, :, None]
    distances = _distances(first.points.float(), other.points.float())
    losses = positive * (distances - near).clamp(min=0.0)
    losses = losses + negative * (far - distances).clamp(min=0.0)
    return losses.sum() / (positive | negative).sum().clamp(min=1)


def _distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean squared differences ``(B_i, B_j, T)`` of ``(B, T, K)``."""
    one, other = first.transpose(0, 1), second.transpose(0, 1)  # (T, B, K)
    squares = one.square().sum(-1)[:, :, None] + other.square().sum(-1)[:, None, :]
    # Rounding may leave what should be 0 below it.
    distances = (squares - 2.0 * one @ other.transpose(1, 2)).clamp(min=0.0)
    return distances.permute(1, 2, 0) / first.shape[2]


class Adaptation(NamedTuple):
    """Weights of the three uses of the loss in a batch; the defaults are the published code's."""

    synthetic_real: float = 1.0
    real_real: float = 1.0
    synthetic_synthetic: float = 0.5


def domain_adaptation(
    synthetic: Frames,
    real: Frames,
    *,
    weights: Adaptation = Adaptation(),  # noqa: B008 - immutable
    near: float = NEAR,
    far: float = FAR,
) -> Tensor:
    """Return the weighted sum of the loss between the domains and within each."""
    return (
        weights.synthetic_real * ifdc(synthetic, real, near=near, far=far)
        + weights.real_real * ifdc(real, near=near, far=far)
        + weights.synthetic_synthetic * ifdc(synthetic, near=near, far=far)
    )


def ifdc_reference(
    first: Frames, second: Frames | None = None, *, near: float = NEAR, far: float = FAR
) -> float:
    """Return what :func:`ifdc` returns, pair by pair as the paper describes it."""
    other = first if second is None else second
    total, count = 0.0, 0

    def classes(row: Tensor) -> set[int]:
        return {index for index, value in enumerate(row.tolist()) if value > ACTIVE}

    for i in range(len(first.points)):
        for j in (
            range(len(other.points)) if second is not None else range(i + 1, len(first.points))
        ):
            clip_i, clip_j = classes(first.clips[i]), classes(other.clips[j])
            for t in range(first.points.shape[1]):
                if not (first.valid[i, t] and other.valid[j, t]):
                    continue
                frame_i, frame_j = classes(first.frames[i, t]), classes(other.frames[j, t])
                difference = first.points[i, t] - other.points[j, t]
                distance = float(difference.square().mean())
                if frame_i == frame_j and clip_i == clip_j:
                    total, count = total + max(0.0, distance - near), count + 1
                elif not frame_i & frame_j and frame_i | frame_j and not clip_i & clip_j:
                    total, count = total + max(0.0, far - distance), count + 1
    return total / max(count, 1)
