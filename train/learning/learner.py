"""Networks that learn to detect events: what they are given, and what they begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from streamsed.errors import ConfigError
from train.checkpoint import load_model
from train.data.batches import Batch
from train.data.rooms import simulate_rooms
from train.learning.networks import Networks
from train.learning.recipe import LearningRecipe
from train.models.causal_crnn import CausalCRNN
from train.models.jss import JSS
from train.models.model import ClipOutput, SoundEventModel
from train.models.registry import build

QUIETEST_DEVIATION_DB = 1e-3


class Learner(Networks[SoundEventModel]):
    """Networks that detect events.

    Attributes:
        responses: ``(R, L)`` of the rooms that clips are put into; None if they are not.
        carried: the state in which the clips of the step before ended; None at first.
    """

    def __init__(self, recipe: LearningRecipe, fabric: Fabric) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        super().__init__(
            make_student(recipe, fabric.device),
            recipe,
            fabric,
            methods=("hear", "score" if recipe.step == "streamed" else "clip"),
            teacher_hears=recipe.step == "mean_teacher",
        )
        self.carried: tuple[Tensor, ...] | None = None
        self.responses: Tensor | None = None
        if recipe.augment is not None and recipe.augment.reverberation is not None:
            rooms = recipe.augment.reverberation.rooms
            self.responses = room_responses(rooms, recipe).to(fabric.device)

    @property
    def from_audio(self) -> bool:
        """Whether the networks are given audio, not features of it."""
        return isinstance(self.student, JSS)

    def clip(self, inputs: Tensor, padding: Tensor) -> ClipOutput:
        """Run the student on ``(B, T, F)`` features, or on ``(B, N)`` audio."""
        run = self.wrapped.hear if self.from_audio else self.wrapped.clip
        with self.fabric.autocast():  # Fabric does so for forward alone
            output: ClipOutput = run(inputs, padding)
        return output

    def stream(self, features: Tensor, rng: np.random.Generator) -> Tensor:
        """Run a causal student on ``(B, T, F)`` features that go on from other clips' ends.

        Args:
            features: without what a clip's look-ahead would add.
            rng: draws which clips, and from whose ends.

        Returns:
            ``(B, T', C)`` logits, as they come: each of a frame as many frames earlier as the
            model looks ahead.
        """
        student = self.student
        assert isinstance(student, CausalCRNN)
        batch, device = len(features), features.device
        state = student.initial_state(batch, device)
        carried = torch.from_numpy(rng.random(batch) < self.recipe.carry_state).to(device)
        whose = torch.from_numpy(rng.permutation(batch)).to(device)
        if self.carried is not None and len(self.carried[0]) == batch:
            state = tuple(
                torch.where(carried.view(-1, *[1] * (zero.ndim - 1)), left[whose], zero)
                for left, zero in zip(self.carried, state, strict=True)
            )
        logits: Tensor
        with self.fabric.autocast():
            logits, after = self.wrapped.score(features, state, state[0])
        self.carried = tuple(tensor.detach().float() for tensor in after)
        return logits

    @torch.no_grad()
    def taught(self, inputs: Tensor, padding: Tensor) -> ClipOutput:
        """Run the teacher on what the student hears, dropout and batch statistics included."""
        assert self.teacher is not None
        run = self.teacher.hear if self.from_audio else self.teacher.clip
        with self.fabric.autocast():
            return run(inputs, padding)

    @torch.no_grad()
    def set_statistics(self, batches: list[Batch[Tensor]]) -> None:
        """Fix the front end's scaling from training batches, padding left out.

        Args:
            batches: of ``(B, N)`` audio or ``(B, T, F)`` linear mel bands.
        """
        front_end = self.student.front_end
        kept = []
        ratio = self.student.config.frame_samples // front_end.config.hop_samples
        for batch in batches:
            decibels = front_end.logarithm(linear_mels(self.student, batch.inputs))
            position = torch.arange(decibels.shape[1], device=decibels.device)
            kept.append(decibels[position[None] < ratio * batch.frames[:, None]])
        heard = torch.cat(kept)
        deviation = heard.std(0).clamp(min=QUIETEST_DEVIATION_DB)
        for network in self.networks.values():
            network.front_end.set_statistics(heard.mean(0), deviation)

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {**super().state_dict(), "carried": self.carried}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        super().load_state_dict(state)
        self.carried = state.get("carried")


def make_student(recipe: LearningRecipe, device: torch.device) -> SoundEventModel:
    """Return the network that a recipe begins with, in training mode.

    Raises:
        ConfigError: the checkpoint that it begins with is missing or of another model.
    """
    student = build(recipe.model)
    if recipe.init_from is not None:
        begin_with(student, recipe.init_from)
    if isinstance(student, JSS):
        if recipe.init_from is None:
            raise ConfigError(
                "init_from: a jss begins with a separator and a detector that were trained; "
                "streamsed-train join makes it of both"
            )
        student.freeze(recipe.freeze)
    if device.type == "cpu":
        # Depthwise convolutions train a fifth faster so on a CPU.
        student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return student.train()


def begin_with(model: SoundEventModel, checkpoint: Path) -> None:
    """Take over the weights and the scaling of a checkpoint.

    Raises:
        ConfigError: it is none, or of a model of another size.
    """
    try:
        model.load_state_dict(load_model(checkpoint).model.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"init_from: {checkpoint} is of another model than the recipe's; "
            f"{' '.join(str(error).split())[:160]}"
        ) from error


def room_responses(count: int, recipe: LearningRecipe) -> Tensor:
    """Return ``(count, L)`` impulse responses of simulated rooms, each from its direct path on."""
    rate = recipe.model.front_end.sample_rate
    rooms = simulate_rooms(count=count, places=1, seed=recipe.seed, sample_rate=rate)
    responses = [torch.from_numpy(response) for room in rooms for response in room.responses]
    return torch.nn.utils.rnn.pad_sequence(responses, batch_first=True)


def linear_mels(model: SoundEventModel, inputs: Tensor) -> Tensor:
    """Return linear mel bands ``(B, T, F)`` of audio ``(B, N)``, or of what are such already."""
    return inputs if inputs.ndim == 3 else model.mels(inputs)
