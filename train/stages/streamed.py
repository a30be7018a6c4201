"""Training of a network with state on clips that go on from each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from train.data.batches import Batch
from train.data.sets.desed import DesedConfig
from train.data.targets import STRONG
from train.engine.networks import Networks
from train.engine.schedules import At
from train.engine.stage import Terms
from train.losses.detection import strong_bce
from train.models.causal_crnn import CausalCRNN
from train.models.registry import MODELS
from train.stages.detection import STUDENT, Detection, DetectionConfig
from train.stages.registry import STAGES

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class StreamedConfig(DetectionConfig):
    """Options of :class:`Streamed`.

    Attributes:
        carry_state: share of clips that begin in the state that another clip left.
    """

    carry_state: float = 0.5
    kind: Literal["streamed"] = "streamed"

    def __post_init__(self) -> None:
        if not 0.0 <= self.carry_state <= 1.0:
            raise ValueError(f"carry_state {self.carry_state}; must be from 0 to 1")

    def check(self, recipe: Recipe) -> None:
        """Refuse clips without events, and models without state."""
        super().check(recipe)
        data = recipe.data
        if isinstance(data, DesedConfig) and (data.weak or data.unlabelled):
            raise ValueError(
                "stage streamed learns from events alone; set data.weak and unlabelled to 0"
            )
        if not issubclass(MODELS.maker(recipe.model.kind), CausalCRNN):
            raise ValueError(
                f"stage streamed wants a causal_crnn; a {recipe.model.kind} has no state"
            )
        if self.frame_targets != (STRONG,):
            raise ValueError("stage streamed has no frame_targets but strong")


@STAGES.register(StreamedConfig, example=lambda: {"data": {"weak": 0, "unlabelled": 0}})
class Streamed(Detection):
    """Cross-entropy of frames, where some clips begin in the state that another clip left.

    So the network meets the middle of streams as well as their beginning. Scores of a clip's last
    frames, which would come after the clip, are not compared.

    Attributes:
        carried: the state in which the clips of the step before ended; None at first.
    """

    carried: tuple[Tensor, ...] | None = None

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the cross-entropy of frames; see the base class."""
        batch, _ = self.prepare(batch, networks, at)
        target, model = batch.targets[STRONG], self.recipe.model
        frames, ahead = target.values.shape[1], model.latency_frames
        whole = frames * model.frame_samples // model.front_end.hop_samples
        logits = self.stream(networks, batch.inputs[:, :whole], at.rng)
        known = target.frames if target.frames is None else target.frames[:, : frames - ahead]
        compared = target.values[:, : frames - ahead]
        return {STRONG: strong_bce(logits[:, ahead:], compared, target.known, known)}

    def stream(self, networks: Networks, features: Tensor, rng: np.random.Generator) -> Tensor:
        """Run the student on ``(B, T, F)`` features that go on from other clips' ends.

        Args:
            networks: of the stage.
            features: without what a clip's look-ahead would add.
            rng: draws which clips, and from whose ends.

        Returns:
            ``(B, T', C)`` logits, as they come: each of a frame as many frames earlier as the
            model looks ahead.
        """
        student, config = networks[STUDENT], self.recipe.stage
        assert isinstance(student, CausalCRNN)
        assert isinstance(config, StreamedConfig)
        batch, device = len(features), features.device
        state = student.initial_state(batch, device)
        carried = torch.from_numpy(rng.random(batch) < config.carry_state).to(device)
        whose = torch.from_numpy(rng.permutation(batch)).to(device)
        if self.carried is not None and len(self.carried[0]) == batch:
            state = tuple(
                torch.where(carried.view(-1, *[1] * (zero.ndim - 1)), left[whose], zero)
                for left, zero in zip(self.carried, state, strict=True)
            )
        logits: Tensor
        logits, after = networks.run(STUDENT, "score", features, state, state[0])
        self.carried = tuple(tensor.detach().float() for tensor in after)
        return logits

    def state_dict(self) -> dict[str, Any]:
        """Return the carried state."""
        return {"carried": self.carried}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.carried = state["carried"]
