"""Training of paper (d): a teacher and a student that learn tags from each other.

See :mod:`train.losses.focal` for the paper, which stands on guided learning (L. Lin et al. 2020).
The teacher compresses time and tags better; the student keeps time and finds where events are. Eqs.
3 to 6: losses of labels of both, of each with the other's tags, binarised and without gradients
(the student's, with which the teacher is tuned, weigh ``alpha``), and the teacher's embeddings
distilled into the student's (weight ``beta``). Losses of labels change in a second stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from train.data.batches import Batch, OrderedBatches
from train.data.classes import CLASSES
from train.data.sets.clips import ClipSets
from train.data.targets import STRONG, WEAK
from train.engine.networks import Learned, Networks, Role
from train.engine.schedules import Approach, At, Ramp, Schedule
from train.engine.stage import Sets, Terms
from train.losses.distillation import (
    Alignment,
    frame_distance,
    frame_mse,
    norms,
    over_longer_frames,
    over_shorter_frames,
    target_frames,
    unit_length,
)
from train.losses.focal import adaptive_focal, focal
from train.losses.known import mean_known
from train.models.model import ModelConfig, Output
from train.models.registry import MODELS, build
from train.models.two_branch_student import TwoBranchStudentConfig
from train.models.two_branch_teacher import TwoBranchTeacherConfig
from train.stages.beginning import linear_mels
from train.stages.detection import STUDENT, TEACHER, Detection, DetectionConfig, model_of
from train.stages.registry import STAGES, AverageConfig
from train.stages.validation import beyond_the_end

if TYPE_CHECKING:
    from train.recipe.schema import Recipe

TAGS = "tags"
ALPHA, BETA = "alpha", "beta"
GUIDED, GUIDING = "guided", "guiding"
"""Terms of the student's loss under the teacher's tags, and the other way round."""
DISTILLED = "distilled"
LAMBDA, GUIDING_FROM = 0.996, 30.0
"""The paper's lambda and s."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits and targets to the loss of each element."""


@dataclass(frozen=True)
class FocalStageConfig:
    """The second stage's loss of labels; the first stage's is the binary cross-entropy.

    Attributes:
        form: ``adaptive`` weighs by ``1 - p_t^gamma`` (the paper), ``lin`` by ``(1 - p_t)^gamma``.
        gamma: of it.
        from_epoch: tau, the epochs of the first stage; 15 of 200 in the paper.
    """

    form: Literal["adaptive", "lin"] = "adaptive"
    gamma: float = 2.0
    from_epoch: float = 15.0

    def __post_init__(self) -> None:
        if self.gamma <= 0.0 or self.from_epoch < 0.0:
            raise ValueError(
                f"gamma {self.gamma}, from_epoch {self.from_epoch}; must be above 0, and 0 or more"
            )


@dataclass(frozen=True)
class DistillationConfig:
    """Weights of what is distilled, each times beta; 0 leaves one out.

    Attributes:
        mse: DFD-MSE, squared distances of projections in all frames of all clips.
        distances: DFD-D, distances in these.
        targets: TFD, distances in the frames of target events of strongly labelled clips.
        unlabelled_distances: DFD-D(w+u), distances in all frames of the other clips.
        align: how the teacher's frames are spread over the student's.
        scale: ``unit`` compares projections of length 1, ``none`` as they are, which both networks
            may make smaller and smaller. The paper does not say.
        gradients: whether they reach the ``student`` alone, so that the teacher's projections stay
            what its own labels make of them, or ``both``. The paper does not say.
    """

    mse: float = 0.0
    distances: float = 0.0
    targets: float = 0.0
    unlabelled_distances: float = 0.0
    align: Alignment = "repeat"
    scale: Literal["unit", "none"] = "unit"
    gradients: Literal["student", "both"] = "student"

    def __post_init__(self) -> None:
        if min(self.mse, self.distances, self.targets, self.unlabelled_distances) < 0.0:
            raise ValueError("weights of distillation must be 0 or more")


@dataclass(frozen=True)
class BetaConfig(Ramp):
    """Ramp of what is distilled, up to the paper's 1."""

    weight: float = 1.0


@dataclass(frozen=True)
class GuidedConfig(DetectionConfig):
    """Options of :class:`Guided`.

    Attributes:
        teacher: null; the teacher is a network of its own.
        teacher_model: a two_branch_teacher of the student's front end.
        alpha: weight of the student's tags in the teacher's loss: ``1 - lambda^(e - s)`` in epoch
            e > s. The teacher's weigh 1 in the student's.
        beta: weight of what is distilled, ``exp(-5 (1 - x)^2)``; the paper gives no length of the
            ramp.
        consistency: clips in which each learns the other's tags: ``all`` (the paper), or those
            without tags of their own (guided learning).
        focal: second stage; null for the cross-entropy throughout.
        distillation: of the teacher's embeddings.
    """

    teacher: AverageConfig | None = None
    teacher_model: Annotated[ModelConfig, MODELS] | None = None
    alpha: Approach = field(
        default_factory=lambda: Approach(start_epochs=GUIDING_FROM, base=LAMBDA)
    )
    beta: BetaConfig = field(default_factory=BetaConfig)
    consistency: Literal["all", "unlabelled"] = "all"
    focal: FocalStageConfig | None = None
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    kind: Literal["guided"] = "guided"

    def network_names(self) -> tuple[str, ...]:
        """Return the student's name and the teacher's."""
        return (STUDENT, TEACHER)

    def check(self, recipe: Recipe) -> None:
        """Refuse other models, and a teacher that does not fit its student."""
        super().check(recipe)
        student, teacher = recipe.model, self.teacher_model
        if not isinstance(student, TwoBranchStudentConfig):
            raise ValueError(f"stage guided trains a two_branch_student; a {student.kind} is none")
        if not isinstance(teacher, TwoBranchTeacherConfig):
            named = "is missing" if teacher is None else f"is a {teacher.kind}"
            raise ValueError(f"stage.teacher_model {named}; name a two_branch_teacher")
        if self.teacher is not None:
            raise ValueError("stage.teacher: stage guided averages no weights; set it to null")
        for name in ("classes", "front_end"):
            if getattr(student, name) != getattr(teacher, name):
                raise ValueError(f"stage.teacher_model.{name} differs from the model's")
        if teacher.frame_samples % student.frame_samples:
            raise ValueError(
                f"stage.teacher_model has frames of {teacher.frame_samples} samples; "
                f"must be a multiple of the student's {student.frame_samples}"
            )
        if student.projection != teacher.projection:
            raise ValueError(
                f"model.projection {student.projection}; must be {teacher.projection}, the "
                "teacher's"
            )


def _example() -> dict[str, Any]:
    return {
        "model": asdict(MODELS.example("two_branch_student")(CLASSES)),
        "stage": {
            "teacher_model": asdict(MODELS.example("two_branch_teacher")(CLASSES)),
            "focal": {"from_epoch": 1},
            "distillation": {
                "mse": 0.1, "distances": 0.1, "targets": 0.1, "unlabelled_distances": 0.1
            },
        },
    }  # fmt: skip


@STAGES.register(GuidedConfig, example=_example)
class Guided(Detection):
    """Labels, each other's tags, and distilled embeddings."""

    @property
    def config(self) -> GuidedConfig:
        """The stage's own options."""
        return cast(GuidedConfig, self.recipe.stage)

    def networks(self) -> dict[str, Role]:
        """Return both networks."""
        assert self.config.teacher_model is not None
        return {**super().networks(), TEACHER: Learned(build(self.config.teacher_model))}

    @property
    def ratio(self) -> int:
        """Frames of the student in one of the teacher."""
        assert self.config.teacher_model is not None
        return self.config.teacher_model.frame_samples // self.recipe.model.frame_samples

    def schedules(self) -> dict[str, Schedule]:
        """Return the weights of the student's tags, and of what is distilled."""
        return {ALPHA: self.config.alpha, BETA: self.config.beta}

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return both networks' losses and what they learn from each other; see the base class."""
        batch, padding = self.prepare(batch, networks, at)
        student = self.run(networks, STUDENT, batch, padding)
        teacher = self.run(networks, TEACHER, batch, self._teachers_padding(batch, padding))
        loss, guided = self._loss(at), ~batch.targets[WEAK].known
        if self.config.consistency == "all":
            guided = torch.ones_like(guided)
        terms = {
            **self._labelled(STUDENT, student, batch, padding, loss),
            **self._labelled(TEACHER, teacher, batch, padding, loss),
            GUIDED: _tags_of_other(student, teacher, guided),
            GUIDING: at.weight(ALPHA) * _tags_of_other(teacher, student, guided),
        }
        found = self._distilled(student, teacher, batch, padding)
        return terms | {name: at.weight(BETA) * loss for name, loss in found.items()}

    def _loss(self, at: At) -> Loss:
        """Return the loss of labels that the stage at a step has."""
        second = self.config.focal
        if second is None or at.step <= second.from_epoch * at.epoch_steps:
            return partial(F.binary_cross_entropy_with_logits, reduction="none")
        form = adaptive_focal if second.form == "adaptive" else focal
        return partial(form, gamma=second.gamma)

    def _labelled(
        self, name: str, output: Output, batch: Batch[Tensor], padding: Tensor, loss: Loss
    ) -> Terms:
        """Return a network's losses of frames and of clips, on frames as long as its own."""
        ratio = 1 if name == STUDENT else self.ratio
        terms: Terms = {}
        for label in self.config.frame_targets:
            target = batch.targets[label]
            known = target.known[:, None] & ~padding
            known = known if target.frames is None else known & target.frames
            values, known = over_longer_frames(target.values, known, ratio)
            count = min(values.shape[1], output.frames.shape[1])
            losses = loss(output.frames[:, :count].float(), values[:, :count])
            terms[f"{name}_{label}"] = mean_known(losses, known[:, :count])
        for label in self.config.clip_targets:
            target, known = batch.targets[label], batch.targets[label].known
            if label == WEAK and self.config.clip_labels == "tags":
                known = known & ~batch.targets[STRONG].known
            losses = loss(output.extra[TAGS].float(), target.values)
            terms[f"{name}_{label}"] = mean_known(losses, known)
        return terms

    def _teachers_padding(self, batch: Batch[Tensor], padding: Tensor) -> Tensor:
        """Return where all of a teacher's frame lies beyond the end of a clip, ``(B, T'')``."""
        hop = self.recipe.model.front_end.hop_samples
        frames = batch.inputs.shape[1] * hop // (self.ratio * self.recipe.model.frame_samples)
        missing = max(frames * self.ratio - padding.shape[1], 0)
        padding = F.pad(padding, (0, missing), value=True)[:, : frames * self.ratio]
        return padding.reshape(len(padding), frames, self.ratio).all(dim=2)

    def _distilled(
        self, student: Output, teacher: Output, batch: Batch[Tensor], padding: Tensor
    ) -> Terms:
        """Return what is distilled, in all frames or in those of target events, by its name."""
        config = self.config.distillation
        mine = student.extra[DISTILLED]
        theirs = over_shorter_frames(teacher.extra[DISTILLED], self.ratio, align=config.align)
        theirs = theirs.detach() if config.gradients == "student" else theirs
        if config.scale == "unit":
            mine, theirs = unit_length(mine), unit_length(theirs)
        count = min(mine.shape[1], theirs.shape[1], padding.shape[1])
        pair, every = (mine[:, :count], theirs[:, :count]), ~padding[:, :count]
        strong = batch.targets[STRONG]
        labelled = strong.known[:, None]
        events = target_frames(strong.values, strong.known, padding)[:, :count]
        terms: Terms = {}
        if config.mse:
            terms["dfd_mse"] = config.mse * frame_mse(*pair, every)
        if config.distances:
            terms["dfd_d"] = config.distances * frame_distance(*pair, every, every)
        if config.targets:
            terms["tfd"] = config.targets * frame_distance(*pair, every & labelled, events)
        if config.unlabelled_distances:
            others = every & ~labelled
            terms["dfd_d_wu"] = config.unlabelled_distances * frame_distance(*pair, others, others)
        return terms

    def figures(self, name: str, networks: Networks, sets: Sets) -> dict[str, float]:
        """Score the clips to validate on; of the teacher, whose frames are long, their tags alone.

        ``embedding_norm`` and ``embedding_spread`` are those of what is distilled, in the first
        batch: a network that all frames are alike to has a spread near 0. See the base class.
        """
        found = (
            super().figures(name, networks, sets)
            if name == STUDENT
            else self.tag_figures(name, networks, sets)
        )
        assert isinstance(sets, ClipSets)
        first = OrderedBatches(sets.inputs, sets.strong, batch=self.recipe.validation.batch)[0]
        batch, model = first.map(lambda x: torch.from_numpy(x).to(self.device)), networks[name]
        with torch.no_grad():
            was_training, model = model.training, model_of(networks, name).eval()
            features = model.front_end.features(linear_mels(model, batch.inputs))
            output = model.clip(features)
            model.train(was_training)
        x, padding = output.extra[DISTILLED], beyond_the_end(batch)
        counts = (
            ~padding
            if name == STUDENT
            else ~self._teachers_padding(replace(batch, inputs=features), padding)
        )
        watched = norms(x[counts])
        return {**found, "embedding_norm": watched.norm, "embedding_spread": watched.spread}


def _tags_of_other(mine: Output, other: Output, rows: Tensor) -> Tensor:
    """Return the cross-entropy ``()`` with another's tags, above 0.5, of some rows ``(B,)``."""
    given = (other.extra[TAGS].detach() > 0.0).float()
    losses = F.binary_cross_entropy_with_logits(mine.extra[TAGS].float(), given, reduction="none")
    return mean_known(losses, rows)
