"""Distillation of embeddings between two networks, paper (d); see :mod:`train.losses.focal`.

The student's embeddings are brought to the teacher's longer frames by their mean over the frames
that count (:func:`over_longer_frames`). Then either each frame is compared with its own
(:func:`feature_mse`), or the distances between frames are compared with the distances between the
other network's (:func:`distance_loss`). Which frames count makes the difference of the paper's
rows: all of them, or those of target events in strongly labelled clips (:func:`target_frames`).

Both losses are smallest where all embeddings are equal, which distinguishes nothing. So what is
compared is standardised (:func:`standardised`), the length of an embedding is no way to a smaller
loss, and :func:`norms` watches what the networks themselves return.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from train.losses.known import mean_known

ACTIVE = 0.5
"""A class is active in a frame above this."""
_EPS = 1e-5


def target_frames(values: Tensor, known: Tensor, padding: Tensor | None = None) -> Tensor:
    """Return where a target event is active in a strongly labelled clip, ``(B, T)`` bool.

    Args:
        values: ``(B, T, C)``, 0 to 1; zeros where nothing is known.
        known: ``(B,)`` bool, clips whose events are known.
        padding: ``(B, T)`` bool, True beyond the end of a clip; None for none.
    """
    active = (values > ACTIVE).any(dim=2) & known[:, None]
    return active if padding is None else active & ~padding


def over_longer_frames(x: Tensor, counts: Tensor, ratio: int) -> tuple[Tensor, Tensor]:
    """Return the means of embeddings over frames that are ``ratio`` times as long.

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


def standardised(x: Tensor) -> Tensor:
    """Return embeddings ``(..., D)`` of mean 0 and mean square 1 over their features.

    An embedding of equal features has none of either and becomes zeros, with finite gradients.
    """
    return F.layer_norm(x.float(), x.shape[-1:], eps=_EPS)


def feature_mse(student: Tensor, teacher: Tensor, counts: Tensor) -> Tensor:
    """Return the mean squared difference ``()`` of standardised embeddings; 0 where none counts.

    Args:
        student: ``(B, T, D)``.
        teacher: ``(B, T, D)``.
        counts: ``(B, T)`` bool, frames that are compared.
    """
    return mean_known((standardised(student) - standardised(teacher)).square(), counts)


def distance_loss(student: Tensor, teacher: Tensor, counts: Tensor) -> Tensor:
    """Return how far the distances of frames from each other differ in two networks, ``()``.

    Euclidean distances between all pairs of frames, each network's divided by their own mean, and
    compared by the Huber loss: relational distillation by distances (W. Park et al. 2019). Widths
    may differ, and turning or scaling one network's embeddings changes nothing.

    Args:
        student: ``(B, T, D)``.
        teacher: ``(B, T, D')``.
        counts: ``(B, T)`` bool, frames whose pairs are compared; without a pair the loss is 0.
    """
    if int(counts.sum()) < 2:
        none = torch.zeros_like(counts)
        return mean_known(student.float(), none) + mean_known(teacher.float(), none)
    mine, theirs = (_relative_distances(x[counts].float()) for x in (student, teacher))
    return F.smooth_l1_loss(mine, theirs)


def _relative_distances(points: Tensor) -> Tensor:
    """Return the distances ``(N (N - 1) / 2,)`` of points ``(N, D)``, divided by their mean."""
    first, second = torch.triu_indices(len(points), len(points), 1, device=points.device)
    # The root has no finite gradient at 0, where two frames are equal.
    distances = ((points[first] - points[second]).square().sum(dim=1) + _EPS**2).sqrt()
    return distances / distances.mean()


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


def feature_mse_reference(student: Tensor, teacher: Tensor, counts: Tensor) -> float:
    """Return what :func:`feature_mse` returns, feature by feature."""
    total, number = 0.0, 0
    for row, frame in counts.nonzero().tolist():
        pair = []
        for x in (student[row, frame].tolist(), teacher[row, frame].tolist()):
            mean = sum(x) / len(x)
            variance = sum((value - mean) ** 2 for value in x) / len(x)
            pair.append([(value - mean) / (variance + _EPS) ** 0.5 for value in x])
        total += sum((one - other) ** 2 for one, other in zip(*pair, strict=True))
        number += len(pair[0])
    return total / max(number, 1)


def distance_loss_reference(student: Tensor, teacher: Tensor, counts: Tensor) -> float:
    """Return what :func:`distance_loss` returns, pair by pair."""
    places = counts.nonzero().tolist()
    pairs = [(i, j) for i in range(len(places)) for j in range(i + 1, len(places))]
    if not pairs:
        return 0.0
    relative = []
    for x in (student, teacher):
        points = [x[row, frame].tolist() for row, frame in places]
        distances = [
            sum((a - b) ** 2 for a, b in zip(points[i], points[j], strict=True)) ** 0.5
            for i, j in pairs
        ]
        mean = sum(distances) / len(distances)
        relative.append([distance / mean for distance in distances])
    gaps = [abs(one - other) for one, other in zip(*relative, strict=True)]
    huber = [0.5 * gap * gap if gap < 1.0 else gap - 0.5 for gap in gaps]
    return float(sum(huber)) / len(huber)
