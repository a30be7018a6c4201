"""Steps: what a recipe does with a batch. Each returns its loss in named parts, their sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from train.augment import AugmentConfig, augment_audio, augment_features, augment_mels
from train.data.batches import Batch
from train.learning.learner import Learner, linear_mels
from train.learning.losses import strong_bce, strong_consistency, weak_bce, weak_consistency
from train.learning.mixup import draw_partners, mix
from train.learning.recipe import StepName
from train.learning.trainer import Terms
from train.models.model import ClipOutput


@dataclass(frozen=True)
class Moment:
    """Where in a run a step stands.

    Attributes:
        consistency: weight of the squared differences between student and teacher.
        rng: chance of this step alone.
    """

    consistency: float
    rng: np.random.Generator


Step = Callable[[Batch[Tensor], Learner, Moment], Terms]


def supervised(batch: Batch[Tensor], learner: Learner, moment: Moment) -> Terms:
    """Cross-entropy of frames where events are known, and of clips where only tags are."""
    batch, padding = prepare(batch, learner, moment)
    return labelled_terms(learner.clip(batch.inputs, padding), batch)


def mean_teacher(batch: Batch[Tensor], learner: Learner, moment: Moment) -> Terms:
    """The same, and all rows' squared differences to the teacher, who hears the same features."""
    batch, padding = prepare(batch, learner, moment)
    said, taught = learner.clip(batch.inputs, padding), learner.taught(batch.inputs, padding)
    terms = labelled_terms(said, batch)
    weight = moment.consistency
    terms["strong_consistency"] = weight * strong_consistency(said.strong, taught.strong)
    if said.weak is not None and taught.weak is not None:
        terms["weak_consistency"] = weight * weak_consistency(said.weak, taught.weak)
    return terms


def streamed(batch: Batch[Tensor], learner: Learner, moment: Moment) -> Terms:
    """Cross-entropy of frames, where some clips begin in the state that another clip left.

    So the network meets the middle of streams as well as their beginning. What it says of a
    clip's last frames, whose scores would come after the clip, is not compared.
    """
    batch, _ = prepare(batch, learner, moment)
    model = learner.student.config
    frames, ahead = batch.strong.shape[1], model.latency_frames
    heard = frames * model.frame_samples // model.front_end.hop_samples
    logits = learner.stream(batch.inputs[:, :heard], moment.rng)
    said, true = logits[:, ahead:], batch.strong[:, : frames - ahead]
    return {"strong": strong_bce(said, true, batch.has_strong)}


STEPS: Mapping[StepName, Step] = {
    "supervised": supervised,
    "mean_teacher": mean_teacher,
    "streamed": streamed,
}


@torch.no_grad()
def prepare(batch: Batch[Tensor], learner: Learner, moment: Moment) -> tuple[Batch[Tensor], Tensor]:
    """Mix and augment a batch.

    Returns:
        The batch, its inputs now the features ``(B, T, F)`` that a network sees, or the audio if
        it is given that, and ``(B, T')`` bool, True for label frames beyond the end of a clip.
    """
    recipe, student = learner.recipe, learner.student
    changes = recipe.augment or AugmentConfig()
    if changes.of_audio:
        audio = augment_audio(batch.inputs, changes, responses=learner.responses)
        batch = replace(batch, inputs=audio)
    if learner.from_audio:
        return batch, beyond_the_end(batch)
    batch = replace(batch, inputs=linear_mels(student, batch.inputs))
    partners = draw_partners(batch.rows, recipe.mixup, moment.rng)
    if partners is not None:
        batch = mix(batch, partners, labels=recipe.mixup.labels)
    front_end = student.front_end
    mels = augment_mels(batch.inputs, changes, power=front_end.config.power)
    features, strong = augment_features(
        front_end.features(mels),
        batch.strong,
        changes,
        pooling=student.config.frame_samples // front_end.config.hop_samples,
    )
    if changes.frame_shift is not None:  # silence behind a clip is anywhere now
        batch = replace(batch, frames=torch.full_like(batch.frames, strong.shape[1]))
    return replace(batch, inputs=features, strong=strong), beyond_the_end(batch)


def beyond_the_end(batch: Batch[Tensor]) -> Tensor:
    """Return ``(B, T')`` bool, True for label frames beyond the end of a clip."""
    position = torch.arange(batch.strong.shape[1], device=batch.frames.device)
    return position[None] >= batch.frames[:, None]


def labelled_terms(said: ClipOutput, batch: Batch[Tensor]) -> Terms:
    """Cross-entropies with what is known of the rows.

    As in the baseline, the clip-level loss is of rows that have tags and no events.
    """
    terms = {"strong": strong_bce(said.strong, batch.strong, batch.has_strong)}
    if said.weak is not None:
        terms["weak"] = weak_bce(said.weak, batch.weak, batch.has_weak & ~batch.has_strong)
    return terms
