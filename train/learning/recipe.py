"""A recipe: everything that decides what a training run learns. The defaults are DCASE 2021's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from train.augment import AugmentConfig
from train.data.classes import CLASSES
from train.layering import Plain, delta, laid_over, read_layers
from train.learning.data_config import AnyDataConfig, DataConfig, ScenesConfig
from train.learning.machine import MachineConfig
from train.learning.mixup import MixupConfig
from train.learning.schedules import TEACHER_DECAY
from train.models.causal_crnn import CausalCRNNConfig
from train.models.crnn2021 import CRNN2021Config
from train.models.jss import Half, JSSConfig
from train.models.presets import PRESETS, preset
from train.models.registry import AnyModelConfig
from train.postprocess.choices import ObjectiveName, WindowMethod

StepName = Literal["supervised", "mean_teacher", "streamed"]
FigureName = Literal["f1", "average_precision"]
NetworkName = Literal["student", "teacher"]
HeldOutPart = Literal["strong_validation", "validation", "public"]


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
    """How checkpoints are compared.

    Attributes:
        part: clips with events that networks are compared on. The baseline's are synthetic.
        objective: ``f1`` is clip-level macro F1 plus intersection macro F1, at 0.5 (the
            baseline); ``average_precision`` the mean of the frames' in each class, which knows no
            threshold.
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

    part: HeldOutPart = "strong_validation"
    objective: FigureName = "f1"
    selection: NetworkName = "student"
    every_epochs: int = 1
    median_s: float = 0.45
    patience: int | None = None
    batch: int = 24

    def __post_init__(self) -> None:
        if self.every_epochs < 1 or self.batch < 1:
            raise ValueError("every_epochs and batch must be 1 or more")


@dataclass(frozen=True)
class PostprocessingConfig:
    """How export fits windows and thresholds. It does not change which run it is.

    Attributes:
        windows: ``event-specific`` and ``average`` make median windows of the durations of
            training events; ``search`` tries some on the part that thresholds are fitted on.
        part: whose events thresholds are fitted on. By default none that results are reported on.
        report: part whose figures stand on the card.
        objective: what is fitted for, as of ``streamsed-train calibrate``.
        limit: of the objective ``false-alarms``.
    """

    windows: WindowMethod = WindowMethod.EVENT_SPECIFIC
    part: HeldOutPart = "strong_validation"
    report: HeldOutPart = "validation"
    objective: ObjectiveName = ObjectiveName.BALANCED
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.windows is WindowMethod.KEEP:
            raise ValueError("windows keep; a new bundle has none to keep")
        if (self.objective is ObjectiveName.FALSE_ALARMS) != (self.limit is not None):
            raise ValueError("limit goes with objective false-alarms, and with no other")
        if self.part == self.report:
            raise ValueError(f"part and report are both {self.part}; results would flatter")


@dataclass(frozen=True)
class LearningRecipe:
    """A training run.

    Attributes:
        name: for the run's folder.
        model: the network; its ``kind`` says which.
        step: what is done with a batch; see :mod:`train.learning.steps`.
        init_from: checkpoint of a model of this size whose weights and scaling are begun with;
            null begins with random ones. A jss always begins with one, joined or trained before.
        freeze: of a jss, the half that stays as it is: ``separator`` in the paper's stage 1,
            ``sed`` in stage 2, null where both are trained jointly.
        data: what is heard.
        mixup: of clips with labels.
        augment: other changes, the same for student and teacher; null for none, as in 2021.
        optimiser: of the student.
        teacher: null for none. But with ``mean_teacher`` it is an average of weights and buffers
            that nothing is learned from.
        consistency: of ``mean_teacher``.
        carry_state: of ``streamed``: share of clips that begin in the state that another clip left.
        validation: how checkpoints are compared.
        postprocessing: how scores become events in a bundle.
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
    init_from: Path | None = None
    freeze: Half | None = None
    data: AnyDataConfig = field(default_factory=DataConfig)
    mixup: MixupConfig = field(default_factory=MixupConfig)
    augment: AugmentConfig | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    teacher: TeacherConfig | None = field(default_factory=TeacherConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    carry_state: float = 0.5
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    postprocessing: PostprocessingConfig = field(default_factory=PostprocessingConfig)
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
        self._check_labels()
        self._check_augment()
        self._check_joint()

    def _check_labels(self) -> None:
        data = self.data
        if isinstance(data, DataConfig):
            if data.weak and not getattr(self.model, "clip_head", True):
                raise ValueError(
                    "data.weak clips cannot be learned from without model.clip_head; "
                    "set it to true, or data.weak to 0"
                )
            if self.step == "streamed" and (data.weak or data.unlabelled):
                raise ValueError(
                    "step streamed learns from events alone; set data.weak and unlabelled to 0"
                )
        if self.step == "streamed" and not isinstance(self.model, CausalCRNNConfig):
            raise ValueError(f"step streamed wants a causal_crnn; a {self.model.kind} has no state")
        if not 0.0 <= self.carry_state <= 1.0:
            raise ValueError(f"carry_state {self.carry_state}; must be from 0 to 1")

    def _check_augment(self) -> None:
        augment, bands = self.augment or AugmentConfig(), self.model.front_end.n_mels
        shape = augment.filter
        if shape is not None and shape.most_ranges * shape.narrowest_bands > bands:
            raise ValueError(
                f"augment.filter: {shape.most_ranges} ranges of {shape.narrowest_bands} bands do "
                f"not fit {bands}"
            )
        if self.machine.cache is None:
            return
        if isinstance(self.data, ScenesConfig):
            raise ValueError("machine.cache: scenes that are mixed anew cannot be kept")
        if augment.of_audio:
            raise ValueError(
                f"augment.{augment.of_audio[0]} needs audio, of which machine.cache keeps "
                "nothing but mel bands; leave one of them out"
            )

    def _check_joint(self) -> None:
        if not isinstance(self.model, JSSConfig):
            if self.freeze is not None:
                raise ValueError(f"freeze: a {self.model.kind} has no halves")
            return
        augment = self.augment or AugmentConfig()
        if self.mixup.probability or self.machine.cache is not None or augment.of_features:
            raise ValueError(
                "a jss separates audio before there are mel bands: set mixup.probability to 0, "
                "and leave out machine.cache and augment of mel bands and features"
            )


KINDS = {"desed", "scenes", "detector", "jss", "causal_crnn", "windowed_crnn", "crnn2021"}
"""What pydantic says of a wrong value beside its keys: which of several forms it has."""
NO_IDENTITY = ("machine", "postprocessing")

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
        key = ".".join(str(part) for part in first["loc"] if part not in KINDS)
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


class NamedRecipe(Protocol):
    """A recipe of any kind: a dataclass whose fields but the name have defaults."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def init_from(self) -> Path | None: ...  # noqa: D102


def dump_recipe(recipe: NamedRecipe) -> Plain:
    """Return plain data from which an equal recipe can be built."""
    plain: dict[str, Any] = TypeAdapter(type(recipe)).dump_python(recipe, mode="json")
    return plain


def identity(recipe: NamedRecipe) -> Plain:
    """Return what differs from a run of all defaults, but for what changes nothing learned."""
    defaults = TypeAdapter(type(recipe)).validate_python({"name": ""})
    changed = delta(dump_recipe(defaults), dump_recipe(recipe))
    return {key: value for key, value in changed.items() if key not in NO_IDENTITY}
