"""What a run on clips begins with: weights, scaling, rooms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from streamsed.errors import ConfigError
from train.checkpoint import load_model
from train.data.batches import Batch
from train.data.rooms import simulate_rooms
from train.models.model import ModelConfig, SoundEventModel
from train.models.registry import build

if TYPE_CHECKING:
    from train.recipe.schema import Recipe

QUIETEST_DEVIATION_DB = 1e-3


def new_model(config: ModelConfig, *, init_from: Path | None) -> SoundEventModel:
    """Return a model, begun with the weights and the scaling of a checkpoint if one is named.

    Raises:
        ConfigError: the checkpoint is missing or of another model, or the model needs one.
    """
    model = build(config)
    if init_from is None:
        if model.begins_with is not None:
            raise ConfigError(f"init_from: a {config.kind} needs one; {model.begins_with}")
        return model
    try:
        model.load_state_dict(load_model(init_from).model.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"init_from: {init_from} is of another model than the recipe's; "
            f"{' '.join(str(error).split())[:160]}"
        ) from error
    return model


@torch.no_grad()
def set_statistics(models: list[SoundEventModel], batches: list[Batch[Tensor]]) -> None:
    """Fix the scaling of front ends that are alike from training batches, padding left out.

    Args:
        models: whose front ends are given the first's statistics.
        batches: of ``(B, N)`` audio or ``(B, T, F)`` linear mel bands.
    """
    first = models[0]
    kept = []
    ratio = first.config.frame_samples // first.front_end.config.hop_samples
    for batch in batches:
        decibels = first.front_end.logarithm(linear_mels(first, batch.inputs))
        position = torch.arange(decibels.shape[1], device=decibels.device)
        kept.append(decibels[position[None] < ratio * batch.frames[:, None]])
    every = torch.cat(kept)
    deviation = every.std(0).clamp(min=QUIETEST_DEVIATION_DB)
    for model in models:
        model.front_end.set_statistics(every.mean(0), deviation)


def linear_mels(model: SoundEventModel, inputs: Tensor) -> Tensor:
    """Return linear mel bands ``(B, T, F)`` of audio ``(B, N)``, or of what are such already."""
    return inputs if inputs.ndim == 3 else model.mels(inputs)


def room_responses(count: int, recipe: Recipe) -> Tensor:
    """Return ``(count, L)`` impulse responses of simulated rooms, each from its direct path on."""
    rate = recipe.model.front_end.sample_rate
    rooms = simulate_rooms(count=count, places=1, seed=recipe.seed, sample_rate=rate)
    responses = [torch.from_numpy(response) for room in rooms for response in room.responses]
    return torch.nn.utils.rnn.pad_sequence(responses, batch_first=True)
