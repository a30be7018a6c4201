"""Scores of whole recordings by a network that takes crops of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.data.crops import CropBatch, whole_recordings
from train.models.model import Output, SoundEventModel
from train.stages.beginning import linear_mels


class CropModel(Protocol):
    """A model that scores the target frames of crops."""

    def crop(self, features: Tensor, inside: Tensor, audio: Tensor | None = None) -> Output:
        """See :meth:`train.models.global_attention.GlobalAttention.crop`."""
        ...


def run_crops(model: SoundEventModel, batch: CropBatch[Tensor]) -> Output:
    """Return a model's output of the target frames of crops, as they are."""
    audio = batch.inputs if batch.inputs.ndim == 2 else None
    features = model.front_end.features(linear_mels(model, batch.inputs))
    return cast(CropModel, model).crop(features, batch.inside, audio)


@torch.no_grad()
def score_recordings(
    model: SoundEventModel,
    batches: Iterable[CropBatch[Tensor]],
    *,
    device: torch.device,
    note: Callable[[Output, CropBatch[Tensor]], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Score recordings, crop by crop, in evaluation mode; the mode is left as it was.

    Args:
        model: on the device.
        batches: of :class:`OrderedCrops`.
        device: of the model.
        note: called with the output and the batch of each step.

    Returns:
        ``(T, C)`` in [0, 1] by recording.
    """
    was_training = model.training
    model.eval()
    parts: dict[str, list[tuple[int, NDArray[np.float32]]]] = {}
    for batch in batches:
        moved = batch.map(lambda tensor: tensor.to(device))
        output = run_crops(model, moved)
        if note is not None:
            note(output, moved)
        scores = torch.sigmoid(output.frames.float()).cpu().numpy()
        for row, (name, first) in enumerate(zip(batch.names, batch.first.tolist(), strict=True)):
            known = batch.known[row].numpy()
            parts.setdefault(name, []).append((first, scores[row][known]))
    model.train(was_training)
    return whole_recordings(parts)
