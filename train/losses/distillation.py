"""Distillation of embeddings between two networks, paper (d); see :mod:`train.losses.focal`.

Each network's embeddings are projected, ``F_t W_t`` and ``F_s W_s``, the teacher's longer frames
spread over the student's, and compared frame by frame by their Euclidean distance (eq. 2)::

    D_j = || (F_t W_t)_j - (F_s W_s)_j ||_2

The paper's rows differ in what becomes of the distances: their squares, in all frames of all clips
(DFD-MSE, :func:`frame_mse`); the distances themselves in these (DFD-D); or in the frames ``M`` of
target events of strongly labelled clips (TFD, eq. 1: ``1/T (D . M) A``, divided by all frames of a
clip, not by those of events). The latter two are :func:`frame_distance`.

All are 0 where both projections are, which distinguishes nothing. So projections are scaled to
length 1 first (:func:`unit_length`), which leaves the answer that all frames are alike; against it
the teacher's side may be kept from gradients. :func:`norms` watches what the networks return.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from train.losses.known import mean_known

ACTIVE = 0.5
"""A class is active in a frame above this."""
_EPS = 1e-6
Alignment = Literal["repeat", "linear"]


def target_frames(values: Tensor, known: Tensor, padding: Tensor | None = None) -> Tensor:
    """Return M, where a target event is active in a strongly labelled clip, ``(B, T)`` bool.

    Args:
        values: ``(B, T, C)``, 0 to 1; zeros where nothing is known.
        known: ``(B,)`` bool, clips whose events are known.
        padding: ``(B, T)`` bool, True beyond the end of a clip; None for none.
    """
    active = (values > ACTIVE).any(dim=2) & known[:, None]
    return active if padding is None else active & ~padding


def over_longer_frames(x: Tensor, counts: Tensor, ratio: int) -> tuple[Tensor, Tensor]:
    """Return the means of labels over frames that are ``ratio`` times as long.

    Args:
        x: ``(B, T, D)``.
        counts: ``(B, T)`` bool, frames that count; others change no mean.
        ratio: frames of one longer frame. The last may be shorter.

    Returns:
        ``(B, ceil(T / ratio), D)``, zeros where nothing counts, and where something does, bool.
    """
    missing = -x.shape[1] % ratio
    x = F.pad(x, (0, 0, 0, missing)).reshape(len(x), -1, ratio, x.shape[2])
    counts = F.pad(counts, (0, missing)).reshape(len(x), -1, ratio)
    chosen = torch.where(counts[..., None], x, torch.zeros_like(x)).sum(dim=2)
    number = counts.sum(dim=2)
    return chosen / number.clamp(min=1)[..., None], number > 0


def over_shorter_frames(x: Tensor, ratio: int, *, align: Alignment = "repeat") -> Tensor:
    """Return ``(B, T * ratio, D)``, what ``(B, T, D)`` is in frames ``ratio`` times as short.

    Args:
        x: of longer frames.
        ratio: shorter frames in a longer one.
        align: ``repeat``, or ``linear`` between the middles of longer frames.
    """
    if align == "repeat" or ratio == 1:
        return x.repeat_interleave(ratio, dim=1)
    spread = F.interpolate(x.transpose(1, 2).float(), scale_factor=ratio, mode="linear")
    return spread.transpose(1, 2)


def unit_length(x: Tensor) -> Tensor:
    """Return projections ``(..., D)`` of length 1; zeros stay zeros, with finite gradients."""
    x = x.float()
    # Scaled to a largest feature of 1 first, so that no square leaves the range of floats.
    highest = x.detach().abs().amax(dim=-1, keepdim=True).clamp(min=1e-30)
    x = x / highest
    return x / (x.square().sum(dim=-1, keepdim=True) + _EPS**2).sqrt()


def frame_mse(student: Tensor, teacher: Tensor, frames: Tensor) -> Tensor:
    """Return the mean over frames ``()`` of the squared distances; 0 where no frame counts.

    Args:
        student: ``(B, T, D)``, projected.
        teacher: ``(B, T, D)``, projected.
        frames: ``(B, T)`` bool, those of the clips that take part.
    """
    return mean_known((student.float() - teacher.float()).square().sum(dim=2), frames)


def frame_distance(student: Tensor, teacher: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
    """Return ``1/T sum_j D_j M_j`` (eq. 1), the mean over the clips that take part, ``()``.

    Args:
        student: ``(B, T, D)``, projected.
        teacher: ``(B, T, D)``, projected.
        frames: ``(B, T)`` bool, those of the clips that take part; a clip without any takes none.
        mask: ``(B, T)`` bool, M.
    """
    squares = (student.float() - teacher.float()).square().sum(dim=2)
    counted = frames & mask
    # The root has no finite gradient at 0, where two embeddings are equal.
    distances = (torch.where(counted, squares, torch.zeros_like(squares)) + _EPS**2).sqrt()
    distances = torch.where(counted, distances, torch.zeros_like(distances))
    length = frames.sum(dim=1)
    return mean_known(distances.sum(dim=1) / length.clamp(min=1), length > 0)


class Norms(NamedTuple):
    """How long embeddings are, and how much they differ from frame to frame.

    Attributes:
        norm: root mean square of a feature.
        spread: root mean square of a feature's deviation from its mean over all frames; 0 where
            all frames are the same.
    """

    norm: float
    spread: float


def norms(x: Tensor) -> Norms:
    """Return the norms of embeddings ``(N, D)``; NaN without any."""
    x = x.detach().float()
    spread = (x - x.mean(dim=0, keepdim=True)).square().mean().sqrt()
    return Norms(float(x.square().mean().sqrt()), float(spread))


def frame_distance_reference(
    student: Tensor, teacher: Tensor, frames: Tensor, mask: Tensor
) -> float:
    """Return what :func:`frame_distance` returns, frame by frame."""
    clips = []
    for row in range(len(student)):
        total, length = 0.0, 0
        for frame in range(student.shape[1]):
            if not frames[row, frame]:
                continue
            length += 1
            if mask[row, frame]:
                pair = zip(student[row, frame].tolist(), teacher[row, frame].tolist(), strict=True)
                total += sum((one - other) ** 2 for one, other in pair) ** 0.5
        if length:
            clips.append(total / length)
    return sum(clips) / max(len(clips), 1)
