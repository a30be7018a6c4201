"""Frame-level validation while a model trains."""

from __future__ import annotations

import torch
from torch import Tensor

from train.models.causal_crnn import CausalCRNN


def average_precision(scores: Tensor, labels: Tensor) -> Tensor:
    """Area under the precision-recall curve of each class.

    Args:
        scores: ``(n, C)``, any monotone score.
        labels: ``(n, C)``, 0 or 1.

    Returns:
        ``(C,)``; NaN for a class without positives.
    """
    order = scores.argsort(dim=0, descending=True)
    hits = labels.gather(0, order).double()
    found = hits.cumsum(0)
    precision = found / torch.arange(1, len(hits) + 1, device=hits.device)[:, None]
    return ((precision * hits).sum(0) / found[-1]).float()


@torch.no_grad()
def frame_scores(model: CausalCRNN, audio: Tensor, *, batch: int = 64) -> Tensor:
    """Score clips from the initial state, each score beside the frame that it is about.

    Args:
        model: in evaluation mode.
        audio: ``(n, N)`` float32.
        batch: clips at a time.

    Returns:
        ``(n, N / frame_samples, C)`` in [0, 1]: the look-ahead is fed with silence at the end.
    """
    config = model.config
    device = model.head.weight.device
    ahead = config.latency_frames * config.frame_samples
    scores = []
    for part in torch.split(audio, batch):
        padded = torch.nn.functional.pad(part.to(device), (0, ahead))
        logits, _ = model(padded)
        scores.append(torch.sigmoid(logits[:, config.latency_frames :].float()))
    return torch.cat(scores)


def frame_average_precision(model: CausalCRNN, audio: Tensor, labels: Tensor) -> Tensor:
    """Average precision ``(C,)`` over all frames of ``audio`` ``(n, N)``."""
    scores = frame_scores(model, audio)
    return average_precision(scores.flatten(0, 1).cpu(), labels.flatten(0, 1).cpu())
