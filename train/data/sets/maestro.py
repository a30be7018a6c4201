"""Recordings of minutes with soft labels, in folds, as MAESTRO Real has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from rich.console import Console
from rich.progress import Progress

from train.augment import AugmentConfig
from train.data.clips import Clip, ClipSet
from train.data.crops import CropBatches, CropShape, SoftCrops
from train.data.feature_cache import FeatureCache
from train.data.inputs import AudioInputs, Inputs
from train.data.kept_audio import KeptAudio
from train.data.labels import LabelGrid
from train.data.maestro import FOLDS, SCENES, read_maestro, scene_of
from train.data.sets.clips import clips_fingerprint, mel_extractor
from train.data.sets.registry import DATA
from train.engine.stage import Sets
from train.models.model import ModelConfig

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class MaestroConfig:
    """Crops of the recordings of a fold: trained on its ``train``, validated on its ``val``.

    Attributes:
        fold: 1 to 5.
        target_s: seconds of a crop that are compared with labels. Context beside them is as much
            as the model attends to: ``before`` and ``after``.
        batch: crops of a batch.
        alpha: how evenly classes are drawn, from 0, as they come, to 1, each alike.
        steps_per_epoch: batches between validations; null for one pass over the recordings.
        scenes: of the recordings; MAESTRO's, or a generated set's.
        kind: names this form.
    """

    yields: ClassVar[Literal["clips", "mixtures", "crops"]] = "crops"
    fold: int = 1
    target_s: float = 1.0
    batch: int = 32
    alpha: float = 0.0
    steps_per_epoch: int | None = None
    scenes: tuple[str, ...] = SCENES
    kind: Literal["maestro"] = "maestro"

    def __post_init__(self) -> None:
        if self.fold not in FOLDS:
            raise ValueError(f"fold {self.fold}; must be 1 to 5")
        if self.batch < 1 or self.target_s <= 0.0:
            raise ValueError("batch must be 1 or more, target_s positive")
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha {self.alpha}; must be from 0 to 1")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch {self.steps_per_epoch}; must be 1 or more")

    @property
    def duration_s(self) -> float:
        """Length of what is compared with labels."""
        return self.target_s


@dataclass(frozen=True)
class MaestroSets(Sets):
    """Recordings of a fold.

    Attributes:
        recipe: of the run.
        training: to learn from.
        validation: to compare checkpoints on.
    """

    recipe: Recipe
    training: ClipSet
    validation: ClipSet

    @cached_property
    def crops(self) -> SoftCrops:
        """What reads crops; what is kept is computed when it is first asked for.

        Raises:
            DataError: a recording cannot be read, or the cache cannot be written.
        """
        data = self.recipe.data
        assert isinstance(data, MaestroConfig)
        clips = (*self.training.clips, *self.validation.clips)
        return soft_crops(
            self.recipe.model,
            clips,
            target_s=data.target_s,
            scenes=data.scenes,
            cache=self.recipe.machine.cache,
            audio=needs_audio(self.recipe),
        )

    @property
    def batch(self) -> int:
        """Crops in a batch."""
        data = self.recipe.data
        assert isinstance(data, MaestroConfig)
        return data.batch

    def batches(self, *, rank: int = 0, ranks: int = 1) -> CropBatches:
        """Return training batches; see the base class."""
        data = self.recipe.data
        assert isinstance(data, MaestroConfig)
        return CropBatches(
            self.crops,
            self.training,
            batch=data.batch,
            alpha=data.alpha,
            seed=self.recipe.seed,
            steps_per_epoch=data.steps_per_epoch,
            rank=rank,
            ranks=ranks,
        )

    def counts(self) -> dict[str, int]:
        """Return the number of recordings by set."""
        sets = {"train": self.training, "validation: val": self.validation}
        return {name: len(clips) for name, clips in sets.items()}

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the names and soft labels of all recordings."""
        clips = (*self.training.clips, *self.validation.clips)
        sure = [str([event.confidence for event in clip.events or ()]) for clip in clips]
        return clips_fingerprint(clips, beside=sure)


@DATA.register(MaestroConfig)
def read_fold(root: Path, recipe: Recipe) -> MaestroSets:
    """Read a fold's recordings to learn from, and those to validate on.

    Raises:
        DataError: a list, an annotation or a recording is missing or wrong.
    """
    data = recipe.data
    assert isinstance(data, MaestroConfig)
    fold, classes, scenes = data.fold, recipe.model.classes, data.scenes
    training = read_maestro(root, fold=fold, part="train", classes=classes, scenes=scenes)
    validation = read_maestro(root, fold=fold, part="val", classes=classes, scenes=scenes)
    return MaestroSets(recipe, training, validation)


def needs_audio(recipe: Recipe) -> bool:
    """Return whether mel bands alone would not do."""
    augment = recipe.augment or AugmentConfig()
    return bool(augment.of_audio) or getattr(recipe.model, "query", None) == "wav2vec2"


def crop_shape(model: ModelConfig, *, target_s: float) -> CropShape:
    """Return the crops of a model: a target, and the frames around it that it attends to."""
    frame_s = model.frame_samples / model.front_end.sample_rate
    target = max(round(target_s / frame_s), 1)
    return CropShape(getattr(model, "before", 0), target, getattr(model, "after", 0))


def soft_crops(
    model: ModelConfig,
    clips: tuple[Clip, ...],
    *,
    target_s: float,
    scenes: tuple[str, ...],
    cache: Path | None,
    audio: bool,
) -> SoftCrops:
    """Return what reads crops of recordings, as audio or as linear mel bands.

    Args:
        model: whose front end and context they are for.
        clips: recordings.
        target_s: of a crop.
        scenes: in the order of their index.
        cache: folder in which what is computed stays; None reads files again and again.
        audio: whether they are audio whatever there is a cache for.
    """
    shape = crop_shape(model, target_s=target_s)
    grid = LabelGrid(
        model.classes,
        sample_rate=model.front_end.sample_rate,
        frame_samples=model.frame_samples,
        duration_s=shape.frames * model.frame_samples / model.front_end.sample_rate,
    )
    inputs: Inputs = AudioInputs(grid)
    if cache is not None:
        if audio:
            kept = KeptAudio(cache, grid, hop_samples=model.front_end.hop_samples)
            inputs, features = kept, kept.cache
        else:
            inputs = features = FeatureCache(cache, mel_extractor(model), grid)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("recordings", total=len(clips))
            features.add(clips, progress=lambda count: bar.advance(task, count))
    return SoftCrops(inputs, shape, scenes=scenes, scene_of=scene_of)
