"""A recipe: everything that decides what a training run learns. The defaults are DCASE 2021's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from train.augment import AugmentConfig
from train.data.classes import CLASSES
from train.learning.layering import Plain, delta, laid_over, read_layers
from train.learning.mixup import MixupConfig
from train.learning.schedules import TEACHER_DECAY
from train.models.crnn2021 import CRNN2021Config
from train.models.presets import PRESETS, preset
from train.models.registry import AnyModelConfig

StepName = Literal["supervised", "mean_teacher"]
NetworkName = Literal["student", "teacher"]


@dataclass(frozen=True)
class DataConfig:
    """What of a data set in DESED's shape is trained on.

    Attributes:
        strong: synthetic clips with events in each batch; 0 leaves a part out.
        strong_real: recorded clips with events in each batch. None in 2021.
        weak: clips with tags in each batch.
        unlabelled: clips without labels in each batch.
        duration_s: clips are padded with silence or cropped at random to this.
        weak_validation: share of the weak clips, by recording, that is kept to validate on. The
            baseline's is a tenth of the clips, drawn without regard to recordings.
        split_seed: of that share.
        steps_per_epoch: null ends an epoch with the shortest set, as the baseline: 1420 weak
            clips and 12 a batch make 118 steps.
        missing: ``refuse`` a data set of which a file is missing, or ``leave_out`` the file.
    """

    strong: int = 12
    strong_real: int = 0
    weak: int = 12
    unlabelled: int = 24
    duration_s: float = 10.0
    weak_validation: float = 0.1
    split_seed: int = 42
    steps_per_epoch: int | None = None
    missing: Literal["refuse", "leave_out"] = "refuse"

    def __post_init__(self) -> None:
        counts = (self.strong, self.strong_real, self.weak, self.unlabelled)
        if min(counts) < 0 or not any(counts):
            raise ValueError(f"counts {counts}; must be 0 or more, and not all 0")
        if not 0.0 < self.weak_validation < 1.0:
            raise ValueError(f"weak_validation {self.weak_validation}; must be between 0 and 1")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch {self.steps_per_epoch}; must be 1 or more")


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights are moved.

    Attributes:
        kind: ``adam`` (the baseline, betas 0.9 and 0.999) or ``adamw``.
        learning_rate: its maximum.
        weight_decay: on matrices only.
        clip_norm: gradients are scaled down to this norm; null for none, as the baseline.
        schedule: ``ramp`` rises as ``exp(-5 (1 - k/K)^2)`` and stays (the baseline); ``cosine``
            rises in a line and falls as half a cosine.
        rise_epochs: length of the rise: K, 50 epochs in the baseline's code.
    """

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Literal["ramp", "cosine"] = "ramp"
    rise_epochs: float = 50.0


@dataclass(frozen=True)
class TeacherConfig:
    """The network that averages the student's weights.

    Attributes:
        decay: of the average, ``min(1 - 1 / (k + 1), decay)``.
    """

    decay: float = TEACHER_DECAY

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"decay {self.decay}; must be from 0 to below 1")


@dataclass(frozen=True)
class ConsistencyConfig:
    """How much student and teacher are to agree.

    Attributes:
        weight: of the squared differences, of frames and of clips, at the end of the ramp.
        ramp_epochs: until then it is ``weight * exp(-5 (1 - k/K)^2)``. The baseline has one ramp
            for this and the learning rate.
    """

    weight: float = 2.0
    ramp_epochs: float = 50.0


@dataclass(frozen=True)
class ValidationConfig:
    """How checkpoints are compared: clip-level macro F1 plus intersection macro F1, at 0.5.

    Attributes:
        part: clips with events that the intersection F1 is of. The baseline's are synthetic.
        selection: whose figure decides which checkpoint is ``best.pt``, and which network that
            holds: the student's (the baseline) or the teacher's. Both are logged, and the best of
            each is kept.
        every_epochs: between validations.
        median_s: length of the median filter before the threshold, rounded to an odd number of
            frames; the baseline's is 7 frames of 64 ms.
        patience: validations without improvement after which the run ends; null for none, as the
            baseline.
        batch: clips at a time.
    """

    part: Literal["strong_validation", "validation"] = "strong_validation"
    selection: NetworkName = "student"
    every_epochs: int = 1
    median_s: float = 0.45
    patience: int | None = None
    batch: int = 24

    def __post_init__(self) -> None:
        if self.every_epochs < 1 or self.batch < 1:
            raise ValueError("every_epochs and batch must be 1 or more")


@dataclass(frozen=True)
class MachineConfig:
    """What a run is computed with. It does not change which run it is.

    Attributes:
        device: ``cpu``, ``cuda`` or ``auto``.
        devices: of them; more than one share each batch. Under torchrun it must be its number.
        precision: ``auto`` is bf16-mixed on CUDA and 32-true elsewhere.
        workers: processes that read clips.
        threads: that compute on the CPU; null for torch's choice. Very small networks are faster
            with one.
        cache: folder in which linear mel bands are kept, computed once; null to compute them
            whenever a clip is read.
        log_every: steps between two lines of losses.
        save_every: steps between two states to resume from; every validation leaves one too.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    workers: int = 2
    threads: int | None = None
    cache: Path | None = None
    log_every: int = 20
    save_every: int = 100

    def __post_init__(self) -> None:
        positive = (self.devices, self.log_every, self.save_every, self.threads or 1)
        if min(positive) < 1 or self.workers < 0:
            raise ValueError(
                "devices, log_every, save_every and threads must be 1 or more, workers 0"
            )


@dataclass(frozen=True)
class LearningRecipe:
    """A training run.

    Attributes:
        name: for the run's folder.
        model: the network; its ``kind`` says which.
        step: what is done with a batch; see :mod:`train.learning.steps`.
        data: what is heard.
        mixup: of clips with labels.
        augment: changes to features, the same for student and teacher; null for none, as in 2021.
        optimiser: of the student.
        teacher: null for none. With ``supervised`` it is an average of weights and buffers that
            nothing is learned from.
        consistency: of ``mean_teacher``.
        validation: how checkpoints are compared.
        epochs: length of the run.
        statistics_batches: from which the front end's mean and deviation are fixed, if it is
            scaled by these.
        seed: of weights, batches and all chance.
        machine: what it is computed with.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    model: AnyModelConfig = field(default_factory=lambda: CRNN2021Config(CLASSES))
    step: StepName = "mean_teacher"
    data: DataConfig = field(default_factory=DataConfig)
    mixup: MixupConfig = field(default_factory=MixupConfig)
    augment: AugmentConfig | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    teacher: TeacherConfig | None = field(default_factory=TeacherConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    epochs: int = 200
    statistics_batches: int = 8
    seed: int = 42
    machine: MachineConfig = field(default_factory=MachineConfig)

    def __post_init__(self) -> None:
        if self.step == "mean_teacher" and self.teacher is None:
            raise ValueError("step mean_teacher needs a teacher")
        if self.validation.selection == "teacher" and self.teacher is None:
            raise ValueError("validation.selection is teacher, but there is none")
        if self.epochs < 1 or self.statistics_batches < 1:
            raise ValueError("epochs and statistics_batches must be 1 or more")
        if self.data.weak and not getattr(self.model, "clip_head", True):
            raise ValueError(
                "data.weak clips cannot be learned from without model.clip_head; "
                "set it to true, or data.weak to 0"
            )
        if (
            self.augment is not None
            and self.augment.filter_db
            and self.model.front_end.scaler == "clip"
        ):
            raise ValueError(
                "augment.filter_db needs a front end scaled by statistics; a clip's own scale "
                "says not how many decibels one unit is"
            )


_RECIPE = TypeAdapter(LearningRecipe)


def load_recipe(path: Path) -> LearningRecipe:
    """Read a recipe and what it extends.

    Raises:
        ConfigError: an unknown key or a wrong value; the line names it.
    """
    return parse_recipe(read_layers(path), where=str(path))


def parse_recipe(content: object, *, where: str) -> LearningRecipe:
    """Build a recipe from plain data, as YAML or a run's folder holds it.

    ``model: {preset: NAME}`` stands for all that :mod:`train.models.presets` says under this name,
    under whatever else the model says.

    Raises:
        ConfigError: an unknown key or a wrong value; the line names it.
    """
    try:
        return _RECIPE.validate_python(_with_preset(content, where=where))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {key or 'recipe'}: {first['msg']}") from error


def _with_preset(content: object, *, where: str) -> object:
    """Lay a recipe's model over the preset that it names, if it names one."""
    model = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(content, Mapping) or not isinstance(model, Mapping) or "preset" not in model:
        return content
    said = dict(model)
    name = said.pop("preset")
    if name not in PRESETS:
        raise ConfigError(f"{where}: model.preset: {name!r}; there are {', '.join(PRESETS)}")
    return {**content, "model": laid_over(asdict(preset(name, CLASSES)), said)}


def dump_recipe(recipe: LearningRecipe) -> Plain:
    """Return plain data from which :func:`parse_recipe` builds an equal recipe."""
    plain: dict[str, Any] = _RECIPE.dump_python(recipe, mode="json")
    return plain


def identity(recipe: LearningRecipe) -> Plain:
    """Return what differs from a run of all defaults, ``machine`` left out."""
    changed = delta(dump_recipe(LearningRecipe(name="")), dump_recipe(recipe))
    changed.pop("machine", None)
    return changed
