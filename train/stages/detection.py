"""What all stages on clips share: networks that begin alike, batches made ready, and figures."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import torch
from torch import Tensor

from train.augment import AugmentConfig, augment_audio, augment_features, augment_mels
from train.augment.mixup import draw_partners, mix
from train.data.batches import Batch, OrderedBatches
from train.data.clips import ClipSet
from train.data.loading import load
from train.data.sets.clips import ClipSets
from train.data.sets.desed import DesedConfig, LabelsConfig
from train.data.sets.scenes import ScenesConfig
from train.data.targets import STRONG, WEAK, stack_frames, unstack_frames
from train.engine.networks import AverageOf, Learned, Networks, Role
from train.engine.schedules import At
from train.engine.stage import Sets, Stage, Terms
from train.losses.detection import strong_bce, weak_bce
from train.models.model import Given, Output, SoundEventModel
from train.models.registry import MODELS
from train.stages.beginning import linear_mels, new_model, room_responses, set_statistics
from train.stages.registry import AverageConfig, StageConfig
from train.stages.validation import (
    ClipScores,
    average_precision,
    beyond_the_end,
    intersection_f1,
    objective,
    score_clips,
    score_tags,
    weak_f1,
)

if TYPE_CHECKING:
    from train.recipe.schema import Recipe

STUDENT, TEACHER = "student", "teacher"


@dataclass(frozen=True)
class DetectionConfig(StageConfig):
    """Options of all stages on clips.

    Attributes:
        teacher: an average of the student's weights; null for none.
        freeze: part of the model that stays as it is, such as a jss's ``separator`` in the paper's
            stage 1 and ``sed`` in stage 2; null for none.
        frame_targets: names of the targets that frames are compared with.
        clip_targets: names of the targets that clips are compared with.
        clip_labels: rows of ``weak`` that count: ``tags``, those that have tags and no events (the
            baseline), or ``all``, those with events as well.
    """

    teacher: AverageConfig | None = field(default_factory=AverageConfig)
    freeze: str | None = None
    frame_targets: tuple[str, ...] = (STRONG,)
    clip_targets: tuple[str, ...] = (WEAK,)
    clip_labels: Literal["tags", "all"] = "tags"

    def network_names(self) -> tuple[str, ...]:
        """Return the network's name, and its average's."""
        return (STUDENT,) if self.teacher is None else (STUDENT, TEACHER)

    def check(self, recipe: Recipe) -> None:
        """Refuse models and data that fit no stage on clips, or not each other."""
        model = MODELS.maker(recipe.model.kind)
        if not issubclass(model, SoundEventModel):
            raise ValueError(
                f"stage {self.kind} trains a network that detects events; "
                f"a {recipe.model.kind} does not"
            )
        if recipe.data.yields != "clips":
            raise ValueError(
                f"stage {self.kind} learns from clips; data.kind {recipe.data.kind} has none"
            )
        if self.freeze is not None and self.freeze not in model.parts:
            parts = ", ".join(model.parts) or "no halves or other parts"
            raise ValueError(f"stage.freeze {self.freeze}: a {recipe.model.kind} has {parts}")
        self._check_targets(recipe)
        _check_augment(recipe, model)

    def _check_targets(self, recipe: Recipe) -> None:
        labels: dict[str, LabelsConfig] = (
            recipe.data.labels if isinstance(recipe.data, DesedConfig) else {}
        )
        for key, own, form in (("frame", STRONG, "events"), ("clip", WEAK, "tags")):
            known = [own, *(name for name, config in labels.items() if config.form == form)]
            for name in getattr(self, f"{key}_targets"):
                if name not in known:
                    raise ValueError(
                        f"stage.{key}_targets: {name}; the data has {', '.join(known)}"
                    )
        has_weak = isinstance(recipe.data, DesedConfig) and recipe.data.weak
        if has_weak and not getattr(recipe.model, "clip_head", True):
            raise ValueError(
                "data.weak clips cannot be learned from without model.clip_head; "
                "set it to true, or data.weak to 0"
            )


def _check_augment(recipe: Recipe, model: type[SoundEventModel]) -> None:
    """Refuse changes to clips that do not fit the model, or what is kept of clips."""
    augment, bands = recipe.augment or AugmentConfig(), recipe.model.front_end.n_mels
    shape = augment.filter
    if shape is not None and shape.most_ranges * shape.narrowest_bands > bands:
        raise ValueError(
            f"augment.filter: {shape.most_ranges} ranges of {shape.narrowest_bands} bands do "
            f"not fit {bands}"
        )
    cached = recipe.machine.cache is not None
    if model.from_audio and (recipe.mixup.probability or cached or augment.of_features):
        raise ValueError(
            f"a {recipe.model.kind} is given audio, not mel bands: set mixup.probability to 0, "
            "and leave out machine.cache and augment of mel bands and features"
        )
    if cached and isinstance(recipe.data, ScenesConfig):
        raise ValueError("machine.cache: scenes that are mixed anew cannot be kept")
    if cached and augment.of_audio:
        raise ValueError(
            f"augment.{augment.of_audio[0]} needs audio, of which machine.cache keeps "
            "nothing but mel bands; leave one of them out"
        )


class Detection(Stage):
    """A stage on clips.

    Attributes:
        averages_run: whether the average has forward passes of its own in training. Without them
            its buffers would stand still, and follow the student's.
        responses: ``(R, L)`` of the rooms that clips are put into; None if they are not.
    """

    averages_run: ClassVar[bool] = False

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        self.responses: Tensor | None = None
        if recipe.augment is not None and recipe.augment.reverberation is not None:
            rooms = recipe.augment.reverberation.rooms
            self.responses = room_responses(rooms, recipe).to(device)

    @property
    def options(self) -> DetectionConfig:
        """The options that all stages on clips have."""
        return cast(DetectionConfig, self.recipe.stage)

    def networks(self) -> dict[str, Role]:
        """Return the recipe's model as the student, and its average if there is one.

        Raises:
            ConfigError: the checkpoint that it begins with is missing or of another model.
        """
        model = new_model(self.recipe.model, init_from=self.recipe.init_from)
        model.freeze(self.options.freeze)
        roles: dict[str, Role] = {STUDENT: Learned(model)}
        if self.options.teacher is not None:
            decay = self.options.teacher.decay
            roles[TEACHER] = AverageOf(STUDENT, decay, with_buffers=not self.averages_run)
        return roles

    def begin(self, networks: Networks, sets: Sets) -> None:
        """Fix the front ends' scaling, unless the run begins with a checkpoint's."""
        if self.recipe.model.front_end.scaler != "statistics" or self.recipe.init_from is not None:
            return
        steps = range(self.recipe.statistics_batches)
        whole = load(sets.batches(), steps)  # every process sees the same
        batches = [batch.map(lambda tensor: tensor.to(self.device)) for batch in whole]
        set_statistics([model_of(networks, name) for name in networks.kept], batches)

    def given(self, batch: Batch[Tensor]) -> Given | None:
        """Return what networks take beside the features of a batch to validate on."""
        del batch
        return None

    def run(
        self,
        networks: Networks,
        name: str,
        batch: Batch[Tensor],
        padding: Tensor | None,
        given: Given | None = None,
    ) -> Output:
        """Run a network on a batch that :meth:`prepare` returned."""
        method = "detect" if model_of(networks, name).from_audio else "clip"
        output: Output = networks.run(name, method, batch.inputs, padding, given)
        return output

    @torch.no_grad()
    def prepare(
        self,
        batch: Batch[Tensor],
        networks: Networks,
        at: At,
        *,
        name: str = STUDENT,
        mixing: bool = True,
    ) -> tuple[Batch[Tensor], Tensor]:
        """Mix and augment a batch, its targets with it.

        Args:
            batch: as it was read.
            networks: of the stage.
            at: the step.
            name: of the network whose front end makes features.
            mixing: whether clips are mixed up at all.

        Returns:
            The batch, its inputs now the features ``(B, T, F)`` that a network is given, or the
            audio if it is given that, and ``(B, T')`` bool, True for score frames beyond the end
            of a clip.
        """
        changes, model = self.recipe.augment or AugmentConfig(), model_of(networks, name)
        if changes.of_audio:
            audio = augment_audio(batch.inputs, changes, responses=self.responses)
            batch = replace(batch, inputs=audio)
        if model.from_audio:
            return batch, beyond_the_end(batch)
        batch = replace(batch, inputs=linear_mels(model, batch.inputs))
        partners = draw_partners(batch.rows, self.recipe.mixup, at.rng) if mixing else None
        if partners is not None:
            batch = mix(batch, partners, labels=self.recipe.mixup.labels)
        front_end = model.front_end
        mels = augment_mels(batch.inputs, changes, power=front_end.config.power)
        labels = stack_frames(batch.targets)
        features, moved = augment_features(
            front_end.features(mels),
            labels,
            changes,
            pooling=model.config.frame_samples // front_end.config.hop_samples,
        )
        if moved is not labels:  # silence behind a clip is anywhere now
            every = torch.full_like(batch.frames, labels.shape[1])
            batch = replace(batch, targets=unstack_frames(batch.targets, moved), frames=every)
        return replace(batch, inputs=features), beyond_the_end(batch)

    def prepare_each(
        self, batch: Batch[Tensor], networks: Networks, at: At, names: Sequence[str]
    ) -> dict[str, tuple[Batch[Tensor], Tensor]]:
        """Prepare a batch for networks of different front ends, mixed and changed alike."""
        drawn, step = torch.get_rng_state(), at.rng.bit_generator.state
        prepared = {}
        for name in names:
            torch.set_rng_state(drawn)
            at.rng.bit_generator.state = step
            prepared[name] = self.prepare(batch, networks, at, name=name)
        return prepared

    def labelled_terms(self, output: Output, batch: Batch[Tensor]) -> Terms:
        """Return the cross-entropies with what is known of the rows, one a target, by its name."""
        terms: Terms = {}
        for name in self.options.frame_targets:
            target = batch.targets[name]
            terms[name] = strong_bce(output.frames, target.values, target.known, target.frames)
        for name in self.options.clip_targets if output.clip is not None else ():
            assert output.clip is not None
            target, known = batch.targets[name], batch.targets[name].known
            if name == WEAK and self.options.clip_labels == "tags":
                known = known & ~batch.targets[STRONG].known
            terms[name] = weak_bce(output.clip, target.values, known)
        return terms

    @abstractmethod
    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the parts of the loss of a batch; see the base class."""

    def figures(self, name: str, networks: Networks, sets: Sets) -> dict[str, float]:
        """Score the clips to validate on.

        Returns:
            ``weak_f1``, macro, of tags, NaN without any to compare with; ``intersection_f1``,
            macro, at 0.5, dtc 0.5, gtc 0.5, cttc 0.3; ``average_precision``, macro, of frames;
            and ``objective``, as the recipe's validation has it.
        """
        assert isinstance(sets, ClipSets)
        config = self.recipe.validation

        def scored(clips: ClipSet) -> ClipScores:
            batches = OrderedBatches(sets.inputs, clips, batch=config.batch)
            loaded = load(batches, range(len(batches)), workers=self.recipe.machine.workers)
            model = model_of(networks, name)
            return score_clips(model, loaded, device=self.device, given=self.given)

        grid, frames = sets.inputs.grid, scored(sets.strong).frames
        weak = math.nan if sets.weak is None else weak_f1(scored(sets.weak).tags, sets.weak)
        f1 = intersection_f1(frames, sets.strong, frame_s=grid.frame_s, median_s=config.median_s)
        precision = average_precision(frames, sets.strong, grid=grid)
        found = {"weak_f1": weak, "intersection_f1": f1, "average_precision": precision}
        return {**found, "objective": objective(found, config.objective)}

    def tag_figures(self, name: str, networks: Networks, sets: Sets) -> dict[str, float]:
        """Score the tags of clips alone, as of a network whose frames are longer than the labels'.

        Returns:
            ``weak_f1``, macro, and the same as ``objective``; NaN and 0 without any tags.
        """
        assert isinstance(sets, ClipSets)
        if sets.weak is None:
            return {"weak_f1": math.nan, "objective": 0.0}
        batches = OrderedBatches(sets.inputs, sets.weak, batch=self.recipe.validation.batch)
        loaded = load(batches, range(len(batches)), workers=self.recipe.machine.workers)
        figure = weak_f1(score_tags(model_of(networks, name), loaded, self.device), sets.weak)
        return {"weak_f1": figure, "objective": objective({"weak_f1": figure}, "weak_f1")}


def model_of(networks: Mapping[str, torch.nn.Module], name: str) -> SoundEventModel:
    """Return a network that detects events."""
    return cast(SoundEventModel, networks[name])
