"""Learning from soft labels: each second's agreement of annotators, and the scene it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.augment import AugmentConfig, augment_audio, mask_bands, mask_time
from train.augment.masking import Spare
from train.data.crops import PRESENT, CropBatch, OrderedCrops
from train.data.loading import load
from train.data.sets.maestro import MaestroSets
from train.engine.networks import Learned, Networks, Role
from train.engine.schedules import At
from train.engine.stage import Sets, Stage, Terms
from train.losses.known import mean_known
from train.losses.soft import SoftLoss, soft_focal, squared
from train.models.model import Output, SoundEventModel
from train.models.registry import MODELS
from train.stages.beginning import QUIETEST_DEVIATION_DB, linear_mels, new_model, room_responses
from train.stages.detection import STUDENT, model_of
from train.stages.recordings import score_recordings
from train.stages.registry import STAGES, StageConfig
from train.stages.validation import best_f1, f1_at

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class SoftConfig(StageConfig):
    """Options of :class:`SoftLabels`.

    Attributes:
        loss: of seconds: ``squared`` difference of score and label, the baseline's, or a focal
            loss; see :func:`train.losses.soft.soft_focal`.
        gamma: of the latter.
        focal_alpha: of the latter.
        scene_weight: weight of the cross-entropy of scenes; 0 for none.
        selection: what checkpoints are compared by on the part ``val``: ``loss``, or ``f1mo``.
    """

    loss: SoftLoss = "quality_focal"
    gamma: float = 2.0
    focal_alpha: float | None = None
    scene_weight: float = 0.0
    selection: Literal["loss", "f1mo"] = "loss"
    kind: Literal["soft"] = "soft"

    def __post_init__(self) -> None:
        if self.gamma < 0.0 or self.scene_weight < 0.0:
            raise ValueError(
                f"gamma {self.gamma} and scene_weight {self.scene_weight}; must be 0 or more"
            )
        if self.focal_alpha is not None:
            if self.loss not in ("two_sided_focal", "hard_focal"):
                raise ValueError(f"focal_alpha: loss {self.loss} has none")
            if not 0.0 < self.focal_alpha < 1.0:
                raise ValueError(f"focal_alpha {self.focal_alpha}; must be in (0, 1)")

    def network_names(self) -> tuple[str, ...]:
        """Return the network's name."""
        return (STUDENT,)

    def check(self, recipe: Recipe) -> None:
        """Refuse models and data that fit not this stage, or not each other."""
        if not hasattr(MODELS.maker(recipe.model.kind), "crop"):
            raise ValueError(
                "stage soft trains a network that scores crops, a soft_crnn or a global_attention; "
                f"a {recipe.model.kind} does not"
            )
        if recipe.data.yields != "crops":
            raise ValueError(
                f"stage soft learns from recordings with soft labels, data.kind maestro; "
                f"not from {recipe.data.kind}"
            )
        if recipe.model.front_end.scaler != "statistics":
            raise ValueError("stage soft needs model.front_end.scaler statistics")
        if recipe.mixup.probability:
            raise ValueError("stage soft mixes no clips: set mixup.probability to 0")
        augment = recipe.augment or AugmentConfig()
        if augment.frame_shift is not None or augment.filter is not None:
            raise ValueError("stage soft has no augment.frame_shift and no augment.filter")
        scenes = getattr(recipe.model, "scenes", ())
        if self.scene_weight and not scenes:
            raise ValueError("stage.scene_weight needs model.scenes, the classes of the scene head")
        known = getattr(recipe.data, "scenes", ())
        if scenes and tuple(scenes) != tuple(known):
            raise ValueError(
                f"model.scenes {', '.join(scenes)}; must be data.scenes, {', '.join(known)}"
            )


QUIETEST_MAGNITUDE = 1e-8
"""A band of magnitudes is scaled up no further."""

SMALL_SCENES = ("home", "street")
SMALL_MODEL = {
    "kind": "global_attention",
    "classes": ["Speech", "Frying"],
    "scenes": list(SMALL_SCENES),
    "front_end": {"n_fft": 512, "window_samples": 512, "hop_samples": 256, "n_mels": 16},
    "frame_hops": 4,
    "local": {"filters": [4, 8], "pooling": [2, 2], "rnn_units": 8},
    "context": {"filters": [4, 8], "pooling": [2, 2], "rnn_units": 8},
    "context_hops": 2,
    "before": 5,
    "after": 3,
    "attention_units": 8,
    "chunk_samples": 1024,
}
"""A case for the contract tests."""


@STAGES.register(
    SoftConfig,
    example=lambda: {
        "model": SMALL_MODEL,
        "stage": {"scene_weight": 0.1},
        "data": {"kind": "maestro", "target_s": 0.256, "scenes": list(SMALL_SCENES)},
        "mixup": {"probability": 0.0},
    },
)
class SoftLabels(Stage):
    """One network, compared with soft labels.

    Attributes:
        responses: ``(R, L)`` of the rooms that crops are put into; None if they are not.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        self.responses: Tensor | None = None
        if recipe.augment is not None and recipe.augment.reverberation is not None:
            rooms = recipe.augment.reverberation.rooms
            self.responses = room_responses(rooms, recipe).to(device)

    @property
    def options(self) -> SoftConfig:
        """This stage's own options."""
        return cast(SoftConfig, self.recipe.stage)

    def networks(self) -> dict[str, Role]:
        """Return the recipe's model.

        Raises:
            ConfigError: the checkpoint that it begins with is missing or of another model.
        """
        return {STUDENT: Learned(new_model(self.recipe.model, init_from=self.recipe.init_from))}

    def begin(self, networks: Networks, sets: Sets) -> None:
        """Fix the front end's scaling, unless the run begins with a checkpoint's."""
        if self.recipe.init_from is not None:
            return
        model = model_of(networks, STUDENT)
        decibels = []
        for batch in load(sets.batches(), range(self.recipe.statistics_batches)):
            moved = batch.map(lambda tensor: tensor.to(self.device))
            mels = model.front_end.logarithm(linear_mels(model, moved.inputs))
            rows = mels.shape[1] // moved.inside.shape[1]
            decibels.append(mels[moved.inside.repeat_interleave(rows, dim=1) > 0.0])
        every = torch.cat(decibels)
        logarithmic = self.recipe.model.front_end.logarithmic
        quietest = QUIETEST_DEVIATION_DB if logarithmic else QUIETEST_MAGNITUDE
        model.front_end.set_statistics(every.mean(0), every.std(0).clamp(min=quietest))

    @torch.no_grad()
    def prepare(
        self, batch: CropBatch[Tensor], model: SoundEventModel
    ) -> tuple[Tensor | None, Tensor]:
        """Return the audio, None without, and the features of a training batch, both changed."""
        changes = self.recipe.augment or AugmentConfig()
        audio = batch.inputs if batch.inputs.ndim == 2 else None
        if audio is not None and changes.of_audio:
            audio = augment_audio(audio, changes, responses=self.responses)
        mels = linear_mels(model, batch.inputs if audio is None else audio)
        features = model.front_end.features(mels)
        if changes.time_masks is not None:
            rows = features.shape[1] // batch.inside.shape[1]
            before = self.recipe.model.before if hasattr(self.recipe.model, "before") else 0
            first = before * rows
            spare = Spare(first, first + batch.values.shape[1] * rows, rows)
            features = mask_time(features, changes.time_masks, spare=spare)
        if changes.band_masks is not None:
            features = mask_bands(features, changes.band_masks)
        return audio, features

    def terms(self, batch: CropBatch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the loss of seconds, and of scenes; see the base class."""
        del at
        audio, features = self.prepare(batch, model_of(networks, STUDENT))
        output: Output = networks.run(STUDENT, "crop", features, batch.inside, audio)
        terms = {"labels": self._of_labels(output, batch)}
        if self.options.scene_weight:
            count = batch.values.shape[1]
            scenes = output.extra["scenes"].float()
            known = batch.known & (batch.scene >= 0)[:, None]
            wanted = batch.scene.clamp(min=0)[:, None].expand(-1, count)
            losses = F.cross_entropy(scenes.flatten(0, 1), wanted.flatten(), reduction="none")
            entropy = mean_known(losses.view(known.shape), known)
            terms["scenes"] = self.options.scene_weight * entropy
        return terms

    def _of_labels(self, output: Output, batch: CropBatch[Tensor]) -> Tensor:
        values, options = batch.values, self.options
        if options.loss == "squared" and "linear" in output.extra:
            return mean_known(squared(output.extra["linear"], values), batch.known)
        logits = output.frames
        if "hops" in output.extra:  # each hop is compared with its second's labels
            logits = output.extra["hops"]
            values = values[:, :, None].expand_as(logits)
        if options.loss == "squared":
            losses = squared(torch.sigmoid(logits.float()), values)
        else:
            losses = soft_focal(
                logits,
                values,
                form=options.loss,
                gamma=options.gamma,
                alpha=options.focal_alpha,
            )
        return mean_known(losses, batch.known)

    def figures(self, name: str, networks: Networks, sets: Sets) -> dict[str, float]:
        """Score the recordings to validate on.

        Returns:
            ``loss``, of labels; ``f1mo``, macro, at each class's best threshold; ``f1``, macro, of
            seconds above 0.5; and ``objective``, the negative loss or ``f1mo``.
        """
        assert isinstance(sets, MaestroSets)
        model = model_of(networks, name)
        batches = OrderedCrops(sets.crops, sets.validation, batch=sets.batch)
        loaded = load(batches, range(len(batches)), workers=self.recipe.machine.workers)
        losses: list[tuple[float, int]] = []

        def note(output: Output, batch: CropBatch[Tensor]) -> None:
            losses.append((float(self._of_labels(output, batch)), int(batch.known.sum())))

        scores = score_recordings(model, loaded, device=self.device, note=note)
        true = np.concatenate([sets.crops.labels(clip) for clip in sets.validation.clips])
        found = np.concatenate([scores[clip.name] for clip in sets.validation.clips])
        loss = sum(value * count for value, count in losses) / sum(count for _, count in losses)
        figures = {"loss": loss, "f1mo": best_f1(found, true), "f1": f1_at(found, true, PRESENT)}
        wanted = -loss if self.options.selection == "loss" else figures["f1mo"]
        return {**figures, "objective": float(np.nan_to_num(wanted))}
