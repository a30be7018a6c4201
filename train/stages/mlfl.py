"""Training of MLFL: three branches, and what two networks learn from unlabelled clips.

The paper trains with a mean teacher. Its released code has guided learning instead, in which a
second network, better at tags for its pooling of time, and the first learn tags from each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from streamsed.errors import ConfigError
from train.data.batches import Batch
from train.data.classes import CLASSES
from train.data.sets.clips import ClipSets
from train.data.targets import STRONG, WEAK
from train.engine.networks import Learned, Networks, Role
from train.engine.schedules import At, Ramp, Schedule
from train.engine.stage import Sets, Terms
from train.losses.detection import strong_consistency, weak_consistency
from train.losses.focal import focal
from train.losses.known import mean_known, parts_of_mean
from train.losses.metric import Adaptation, Frames, domain_adaptation
from train.models.attention_pooling import disentangled_shares
from train.models.mlfl import MLFL
from train.models.model import ModelConfig, Output
from train.models.registry import MODELS, build
from train.stages.detection import STUDENT, TEACHER, Detection, DetectionConfig
from train.stages.registry import STAGES

if TYPE_CHECKING:
    from train.recipe.schema import Recipe

GUIDE = "guide"
REAL = ("weak", "unlabelled", "strong_real")
"""Sets of recorded clips; those of ``strong`` are synthetic."""


@dataclass(frozen=True)
class FocalConfig:
    """Focal loss of the detection branch; the paper gives neither number.

    Attributes:
        gamma: 0 makes it the cross-entropy.
        alpha: weight of positives; null weighs neither.
    """

    gamma: float = 2.0
    alpha: float | None = None


@dataclass(frozen=True)
class AdaptationConfig:
    """Metric learning between synthetic and recorded clips.

    Attributes:
        synthetic_real: weight of pairs of a synthetic and a recorded clip.
        real_real: of two recorded ones.
        synthetic_synthetic: of two synthetic ones.
        near: positive pairs are to be nearer than this.
        far: negative pairs are to be farther apart than this.
        real_labels: frames of recorded clips are those of ``target``, such as FBCRNN's pseudo
            labels (the paper), or the network's ``own`` scores times the clip's tags, above 0.5
            (the released code).
        target: name of the frame labels of recorded clips.
    """

    synthetic_real: float = 1.0
    real_real: float = 1.0
    synthetic_synthetic: float = 0.5
    near: float = 0.4
    far: float = 0.6
    real_labels: Literal["pseudo", "own"] = "pseudo"
    target: str = "pseudo_strong"


@dataclass(frozen=True)
class SharesConfig:
    """Disentangled features, the share of each class computed of the training clips' tags.

    Attributes:
        least: share of a class that no clip counts for.
        most_together: clips of more classes than these do not count.
    """

    least: float = 0.04
    most_together: int = 1


@dataclass(frozen=True)
class BranchWeights:
    """Weights of the branches' losses; the released code's are 1 : 2 : 1."""

    pooling: float = 1.0
    detection: float = 2.0
    adaptation: float = 1.0


@dataclass(frozen=True)
class MLFLStageConfig(DetectionConfig):
    """Options of :class:`MLFLStage`.

    Attributes:
        learning: ``mean_teacher`` (the paper), ``guided`` (the released code), or ``labels``, with
            nothing learned from unlabelled clips but pseudo labels.
        consistency: weight of the squared differences to the mean teacher.
        guide: of ``guided``, the network that tags better; an mlfl of coarser frames.
        guided_epochs: of ``guided``, the epochs over which the weight of the other's tags rises
            to 1.
        focal: loss of the detection branch.
        adaptation: null for none.
        weights: of the branches.
        shares: disentangled features of all networks; null leaves them as their models have them.
    """

    learning: Literal["mean_teacher", "guided", "labels"] = "mean_teacher"
    consistency: Ramp = field(default_factory=Ramp)
    guide: Annotated[ModelConfig, MODELS] | None = None
    guided_epochs: int = 100
    focal: FocalConfig = field(default_factory=FocalConfig)
    adaptation: AdaptationConfig | None = field(default_factory=AdaptationConfig)
    weights: BranchWeights = field(default_factory=BranchWeights)
    shares: SharesConfig | None = None
    kind: Literal["mlfl"] = "mlfl"

    def network_names(self) -> tuple[str, ...]:
        """Return the student's name, and its teacher's or its guide's."""
        if self.learning == "guided":
            return (STUDENT, GUIDE)
        return super().network_names()

    def check(self, recipe: Recipe) -> None:
        """Refuse other models, and learning that lacks its second network."""
        super().check(recipe)
        for kind in (recipe.model.kind, *([self.guide.kind] if self.guide else [])):
            if not issubclass(MODELS.maker(kind), MLFL):
                raise ValueError(f"stage mlfl trains an mlfl; a {kind} is none")
        if (self.learning == "guided") != (self.guide is not None):
            raise ValueError("stage.guide goes with stage.learning guided, and with no other")
        if self.learning == "mean_teacher" and self.teacher is None:
            raise ValueError("stage.learning mean_teacher needs stage.teacher")
        if self.shares is not None and getattr(recipe.model, "shares", None) is not None:
            raise ValueError("stage.shares and model.shares both decide it; leave one of them out")
        adaptation = self.adaptation
        if adaptation and adaptation.real_labels == "pseudo":
            known = getattr(recipe.data, "labels", {})
            if adaptation.target not in known:
                raise ValueError(
                    f"stage.adaptation.target {adaptation.target}: data.labels has no such labels; "
                    "name one of them, or set stage.adaptation.real_labels to own"
                )


def _example() -> dict[str, Any]:
    return {
        "model": asdict(MODELS.example("mlfl")(CLASSES)),
        "stage": {"adaptation": {"real_labels": "own"}},
    }


@STAGES.register(MLFLStageConfig, example=_example)
class MLFLStage(Detection):
    """Tags by the pooling branch, focal loss of the detection branch, metric learning."""

    averages_run = True

    @property
    def config(self) -> MLFLStageConfig:
        """The stage's own options."""
        assert isinstance(self.recipe.stage, MLFLStageConfig)
        return self.recipe.stage

    def networks(self) -> dict[str, Role]:
        """Return the student, and its teacher or its guide."""
        roles = super().networks()
        if self.config.learning == "guided":
            roles.pop(TEACHER, None)
            assert self.config.guide is not None
            roles[GUIDE] = Learned(build(self.config.guide))
        return roles

    def begin(self, networks: Networks, sets: Sets) -> None:
        """Fix what the base class does, and the features that each class sees.

        Raises:
            ConfigError: no training clip has tags of so few classes.
        """
        super().begin(networks, sets)
        config = self.config.shares
        if config is None:
            return
        assert isinstance(sets, ClipSets)
        clips = [clip for part, _ in sets.training for clip in part.clips]
        tags = [clip.labels for clip in clips if clip.kind != "unlabelled"]
        try:
            shares = disentangled_shares(
                tags,
                self.recipe.model.classes,
                least=config.least,
                most_together=config.most_together,
            )
        except ValueError as error:
            raise ConfigError(f"stage.shares: {error}") from error
        for name in networks.kept:
            cast(MLFL, networks[name]).pooling.disentangle(shares)

    def figures(self, name: str, networks: Networks, sets: Sets) -> dict[str, float]:
        """Score the clips to validate on; of a guide, whose frames are coarser, their tags alone.

        See the base class.
        """
        if name == GUIDE:
            return self.tag_figures(name, networks, sets)
        return super().figures(name, networks, sets)

    def schedules(self) -> dict[str, Schedule]:
        """Return the weight of consistency."""
        return {"consistency": self.config.consistency}

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the branches' losses and what the second network adds; see the base class."""
        config, raw = self.config, batch
        batch, padding = self.prepare(raw, networks, at)
        student = self.run(networks, STUDENT, batch, padding)
        terms = self._labelled(student, batch, padding)
        if config.learning == "mean_teacher":
            terms |= self._consistent(student, networks, batch, padding, at.weight("consistency"))
        elif config.learning == "guided":
            terms |= self._guided(student, networks, batch, at)
        if config.adaptation is not None:
            terms["adaptation"] = config.weights.adaptation * self._adapted(
                student, raw, batch, networks, at, config.adaptation
            )
        return terms

    def _labelled(self, output: Output, batch: Batch[Tensor], padding: Tensor) -> Terms:
        """Return what labels of each origin add to the means of the first two branches' losses.

        A branch has one mean, of all clips: labels of two origins do not make it count twice.
        """
        config = self.config
        clips, frames = {}, {}
        for name in config.clip_targets:
            target, known = batch.targets[name], batch.targets[name].known
            if name == WEAK and config.clip_labels == "tags":
                known = known & ~batch.targets[STRONG].known
            clips[name] = _tags(output, target.values), known
        for name in config.frame_targets:
            target = batch.targets[name]
            known = target.known[:, None] & ~padding
            known = known if target.frames is None else known & target.frames
            losses = focal(
                output.extra["branch"],
                target.values,
                gamma=config.focal.gamma,
                alpha=config.focal.alpha,
            )
            frames[name] = losses, known
        branches = (config.weights.pooling, clips), (config.weights.detection, frames)
        return {
            name: weight * part
            for weight, losses in branches
            for name, part in parts_of_mean(losses).items()
        }

    def _consistent(
        self,
        student: Output,
        networks: Networks,
        batch: Batch[Tensor],
        padding: Tensor,
        weight: float,
    ) -> Terms:
        teacher = self.run(networks, TEACHER, batch, padding)
        assert student.clip is not None
        assert teacher.clip is not None
        frames = [
            strong_consistency(student.extra[name], teacher.extra[name])
            for name in ("surface", "branch")
        ]
        return {
            "strong_consistency": weight * torch.stack(frames).mean(),
            "weak_consistency": weight * weak_consistency(student.clip, teacher.clip),
        }

    def _guided(self, student: Output, networks: Networks, batch: Batch[Tensor], at: At) -> Terms:
        """Return the guide's loss of tags, and what each learns from the other's tags."""
        config = self.config
        guide = self.run(networks, GUIDE, batch, None)
        assert student.clip is not None
        assert guide.clip is not None
        weak = batch.targets[WEAK]
        known = weak.known & ~batch.targets[STRONG].known
        rise = min(1.0, (at.epoch + 1) / config.guided_epochs)
        theirs, mine = ((of.clip.detach() > 0.5).float() for of in (guide, student))  # type: ignore[union-attr]
        return {
            "guide": config.weights.pooling * mean_known(_tags(guide, weak.values), known),
            "guided": rise * mean_known(_tags(student, theirs), ~weak.known),
            "guiding": rise * mean_known(_tags(guide, mine), ~weak.known),
        }

    def _adapted(
        self,
        student: Output,
        raw: Batch[Tensor],
        batch: Batch[Tensor],
        networks: Networks,
        at: At,
        config: AdaptationConfig,
    ) -> Tensor:
        """Return the metric loss of unmixed clips, in a pass of their own if these were mixed."""
        if batch.targets is not raw.targets:
            batch, padding = self.prepare(raw, networks, at, mixing=False)
            student = self.run(networks, STUDENT, batch, padding)
        synthetic, real = self._frames(student, batch, config)
        weights = Adaptation(config.synthetic_real, config.real_real, config.synthetic_synthetic)
        return domain_adaptation(synthetic, real, weights=weights, near=config.near, far=config.far)

    def _frames(
        self, student: Output, batch: Batch[Tensor], config: AdaptationConfig
    ) -> tuple[Frames, Frames]:
        """Return the synthetic and the recorded frames of a batch, and what is known of them."""
        points, strong, weak = (
            student.extra["projection"],
            batch.targets[STRONG],
            batch.targets[WEAK],
        )
        recorded = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        for name in REAL:
            if name in batch.rows:
                recorded[batch.rows[name]] = True
        inside = torch.arange(points.shape[1], device=points.device)[None] < batch.frames[:, None]
        synthetic = Frames(points, strong.values, weak.values, inside & strong.known[:, None])
        if config.real_labels == "own":
            known = weak.known
            own = torch.sigmoid(student.extra["branch"].detach().float())
            frames, tags = own * weak.values[:, None], weak.values
        else:
            pseudo = batch.targets[config.target]
            known = pseudo.known
            frames = pseudo.values
            tags = torch.where(weak.known[:, None], weak.values, frames.amax(dim=1))
        real = Frames(points, frames, tags, inside & known[:, None])
        return synthetic.rows(~recorded & strong.known), real.rows(recorded & known)


def _tags(output: Output, targets: Tensor) -> Tensor:
    """Return the cross-entropies ``(B, C)`` of tags, from logits."""
    logits = output.extra["tags"].float()
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
