"""Training of a tag-conditioned CNN on true and pseudo labels, with tags that may be wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from streamsed.errors import ConfigError
from train.checkpoint import load_model
from train.data.batches import Batch
from train.data.classes import CLASSES
from train.data.targets import WEAK
from train.engine.networks import Learned, Networks, Role
from train.engine.schedules import At
from train.engine.stage import Terms
from train.losses.known import parts_of_mean
from train.models.mlfl import MLFL
from train.models.registry import MODELS
from train.models.tag_cnn import TAGS, TagCNN, TagCNNConfig
from train.stages.detection import STUDENT, Detection, DetectionConfig, model_of
from train.stages.registry import STAGES, AverageConfig

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class TagCNNStageConfig(DetectionConfig):
    """Options of :class:`TagCNNStage`.

    Attributes:
        teacher: null, as in the paper.
        tags: that the network is given in training: the clip's ``labels`` (where there are none,
            the tagger's), the ``tagger``'s, or the ``union`` of both.
        false_tags: probability with which a class that is not among them is added to a clip's.
        tagger: ``trained``, that of ``init_from``; ``random`` is the model's own with random
            weights, whose tags mean nothing.
        clip_targets: none: the clip-level output is the tagger's, which does not learn.
    """

    teacher: AverageConfig | None = None
    tags: Literal["labels", "tagger", "union"] = "union"
    false_tags: float = 0.1
    tagger: Literal["trained", "random"] = "trained"
    clip_targets: tuple[str, ...] = ()
    kind: Literal["tag_cnn"] = "tag_cnn"

    def __post_init__(self) -> None:
        if not 0.0 <= self.false_tags < 1.0:
            raise ValueError(f"false_tags {self.false_tags}; must be from 0 to below 1")

    def check(self, recipe: Recipe) -> None:
        """Refuse models that are given no tags."""
        super().check(recipe)
        if not issubclass(MODELS.maker(recipe.model.kind), TagCNN):
            raise ValueError(f"stage tag_cnn trains a tag_cnn; a {recipe.model.kind} is none")
        if self.clip_targets:
            raise ValueError("stage.clip_targets: the tagger of a tag_cnn does not learn; leave []")


def _example() -> dict[str, Any]:
    return {"model": asdict(MODELS.example("tag_cnn")(CLASSES)), "stage": {"tagger": "random"}}


@STAGES.register(TagCNNStageConfig, example=_example)
class TagCNNStage(Detection):
    """Cross-entropy of frames under tags, summed over classes."""

    @property
    def config(self) -> TagCNNStageConfig:
        """The stage's own options."""
        assert isinstance(self.recipe.stage, TagCNNStageConfig)
        return self.recipe.stage

    def networks(self) -> dict[str, Role]:
        """Return the network; it begins with the MLFL that tags, or with one like itself.

        Raises:
            ConfigError: neither is named.
        """
        config, begun = self.recipe.model, self.recipe.init_from
        assert isinstance(config, TagCNNConfig)
        if self.config.tagger == "random":
            return {STUDENT: Learned(TagCNN(config))}
        if begun is None:
            raise ConfigError("init_from: a tag_cnn needs the checkpoint of the mlfl that tags")
        tagger = load_model(begun).model
        if not isinstance(tagger, MLFL):
            return super().networks()
        try:
            sized = replace(config, tagger=tagger.config)
        except ValueError as error:
            raise ConfigError(f"init_from: {begun}: {error}") from error
        return {STUDENT: Learned(TagCNN(sized, tagger=tagger))}

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return what each kind of labels adds to the mean of all frames; see the base class."""
        batch, padding = self.prepare(batch, networks, at)
        model = cast(TagCNN, model_of(networks, STUDENT))
        weak = batch.targets[WEAK]
        own = model.own_tags(batch.inputs, padding)
        tags = given_tags(own, weak.values, weak.known, self.config.tags)
        tags = with_false_tags(tags, self.config.false_tags)
        output = self.run(networks, STUDENT, batch, padding, {TAGS: tags})
        losses = {}
        for name in self.config.frame_targets:
            target = batch.targets[name]
            known = target.known[:, None] & ~padding
            known = known if target.frames is None else known & target.frames
            each = F.binary_cross_entropy_with_logits(
                output.frames.float(), target.values, reduction="none"
            )
            losses[name] = each.sum(dim=2), known
        return parts_of_mean(losses)


def given_tags(
    own: Tensor, labels: Tensor, known: Tensor, which: Literal["labels", "tagger", "union"]
) -> Tensor:
    """Return the tags ``(B, C)`` that a network is given in training.

    Args:
        own: the tagger's, in [0, 1].
        labels: of the clips, 0 to 1.
        known: ``(B,)`` bool, clips whose labels are known.
        which: see :class:`TagCNNStageConfig`.
    """
    if which == "tagger":
        return own
    both = labels if which == "labels" else torch.maximum(own, labels)
    return torch.where(known[:, None], both, own)


def with_false_tags(tags: Tensor, probability: float) -> Tensor:
    """Return tags to which wrong ones were added; none is taken away."""
    return torch.where(torch.rand_like(tags) < probability, torch.ones_like(tags), tags)
