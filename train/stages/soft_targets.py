"""Training of a network that streams, under a trained one that is given what comes later as well.

Such as a causal student of an offline teacher. A student's output for a frame comes with its
look-ahead's delay, and is compared with the teacher's score of that same frame: so what is scored
late is learned from a network that knew more still.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from streamsed.errors import ConfigError
from train.checkpoint import load_model
from train.data.batches import Batch
from train.engine.networks import Frozen, Networks, Role
from train.engine.schedules import At, Ramp, Schedule
from train.engine.stage import Terms
from train.losses.known import mean_known
from train.models.model import SoundEventModel
from train.models.registry import build
from train.shipped import find_checkpoint
from train.stages.detection import STUDENT, TEACHER, Detection, DetectionConfig, model_of
from train.stages.registry import STAGES, AverageConfig

if TYPE_CHECKING:
    from train.recipe.schema import Recipe

SOFT = "soft"


@dataclass(frozen=True)
class SoftTargetsConfig(DetectionConfig):
    """Options of :class:`SoftTargets`.

    Attributes:
        teacher: null; the teacher is a network of its own, which stays as it is.
        checkpoint: of the teacher, any detector of the same classes whose score frames are the
            student's or a whole number of them.
        targets: ``trained``, the checkpoint's; ``random`` is a network like the student with
            random weights, whose scores mean nothing.
        weight: of the cross-entropy with the teacher's scores, of all clips.
    """

    teacher: AverageConfig | None = None
    checkpoint: Path | None = None
    targets: Literal["trained", "random"] = "trained"
    weight: Ramp = field(default_factory=lambda: Ramp(weight=1.0, ramp_epochs=0.0))
    kind: Literal["soft_targets"] = "soft_targets"

    def network_names(self) -> tuple[str, ...]:
        """Return the student's name: the teacher does not change."""
        return (STUDENT,)

    def needs(self) -> Mapping[str, Path]:
        """Return the teacher's checkpoint."""
        return {} if self.checkpoint is None else {"checkpoint": find_checkpoint(self.checkpoint)}

    def check(self, recipe: Recipe) -> None:
        """Refuse a stage without a teacher."""
        super().check(recipe)
        if self.teacher is not None:
            raise ValueError("stage.teacher: stage soft_targets has no average; set it to null")
        if (self.checkpoint is None) != (self.targets == "random"):
            raise ValueError("stage.checkpoint names the teacher of stage.targets trained")


@STAGES.register(SoftTargetsConfig, example=lambda: {"stage": {"targets": "random"}})
class SoftTargets(Detection):
    """What labels give, and the cross-entropy with a frozen network's scores of the same frames."""

    @property
    def config(self) -> SoftTargetsConfig:
        """The stage's own options."""
        return cast(SoftTargetsConfig, self.recipe.stage)

    def networks(self) -> dict[str, Role]:
        """Return the student and the frozen teacher.

        Raises:
            ConfigError: the teacher's checkpoint is missing, or does not fit the student.
        """
        return {**super().networks(), TEACHER: Frozen(self._teacher())}

    def _teacher(self) -> SoundEventModel:
        student, checkpoint = self.recipe.model, self.config.checkpoint
        if checkpoint is None:
            return build(student)
        teacher = load_model(checkpoint).model
        theirs = teacher.config
        problem = None
        if theirs.classes != student.classes:
            problem = "has other classes than the model"
        elif theirs.frame_samples % student.frame_samples:
            problem = (
                f"has frames of {theirs.frame_samples} samples; "
                f"must be a multiple of {student.frame_samples}"
            )
        elif self.recipe.machine.cache is not None and theirs.front_end != student.front_end:
            problem = "has another front end than the model, whose mel bands machine.cache keeps"
        if problem:
            raise ConfigError(f"stage.checkpoint: {checkpoint}: {problem}")
        return teacher

    def schedules(self) -> dict[str, Schedule]:
        """Return the weight of the teacher's scores."""
        return {SOFT: self.config.weight}

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the cross-entropies with labels and with the teacher; see the base class."""
        each = self.prepare_each(batch, networks, at, (STUDENT, TEACHER))
        batch, padding = each[STUDENT]
        student = self.run(networks, STUDENT, batch, padding)
        targets = self.soft_targets(networks, each[TEACHER][0])
        count = min(targets.shape[1], student.frames.shape[1])
        losses = F.binary_cross_entropy_with_logits(
            student.frames[:, :count].float(), targets[:, :count], reduction="none"
        )
        terms = self.labelled_terms(student, batch)
        terms[SOFT] = at.weight(SOFT) * mean_known(losses, ~padding[:, :count])
        return terms

    @torch.no_grad()
    def soft_targets(self, networks: Networks, batch: Batch[Tensor]) -> Tensor:
        """Return the teacher's scores on the student's frames, ``(B, T', C)`` in [0, 1]."""
        frames = self.run(networks, TEACHER, batch, None).frames
        theirs = model_of(networks, TEACHER).config.frame_samples
        scores = torch.sigmoid(frames.float())
        return scores.repeat_interleave(theirs // self.recipe.model.frame_samples, dim=1)
