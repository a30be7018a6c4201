"""A recipe of separation: what a separator learns, and from what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from train.learning.machine import MachineConfig
from train.learning.recipe import NetworkName, OptimiserConfig, TeacherConfig
from train.models.conv_tasnet import ConvTasNetConfig

SeparationStep = Literal["pit", "mixit"]


@dataclass(frozen=True)
class SeparationData:
    """What is heard.

    Attributes:
        batch: mixtures in each batch; of ``mixit`` each is the sum of two clips.
        duration_s: clips are padded with silence or cropped at random to this.
        steps_per_epoch: null ends an epoch with the clips.
        gain_db: of ``mixit``, by how much either clip is made louder or softer at the most.
    """

    batch: int = 8
    duration_s: float = 10.0
    steps_per_epoch: int | None = None
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.duration_s <= 0.0 or self.gain_db < 0.0:
            raise ValueError("batch must be 1 or more, duration_s positive, gain_db 0 or more")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch {self.steps_per_epoch}; must be 1 or more")


@dataclass(frozen=True)
class SeparationValidation:
    """How checkpoints are compared: by the loss on validation mixtures.

    Attributes:
        selection: whose loss decides which checkpoint is ``best.pt``.
        every_epochs: between validations.
        patience: validations without improvement after which the run ends; null for none.
        batch: mixtures at a time.
    """

    selection: NetworkName = "student"
    every_epochs: int = 1
    patience: int | None = None
    batch: int = 8

    def __post_init__(self) -> None:
        if self.every_epochs < 1 or self.batch < 1:
            raise ValueError("every_epochs and batch must be 1 or more")


@dataclass(frozen=True)
class SeparationRecipe:
    """A training run of a separator. The optimiser's defaults are asteroid's.

    Attributes:
        name: for the run's folder.
        step: ``pit`` learns from mixtures with their sources, in FUSS's shape; ``mixit`` from
            clips of a data set in DESED's shape, two at a time: synthetic and unlabelled ones to
            train on, weak ones to validate on.
        model: the separator.
        init_from: checkpoint of a separator of this size that is begun with; null begins with
            random weights.
        data: what is heard.
        optimiser: of the student.
        teacher: an average of the student's weights that is validated beside it; null for none.
        validation: how checkpoints are compared.
        epochs: length of the run.
        seed: of weights, batches and all chance.
        machine: what it is computed with.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    step: SeparationStep = "pit"
    model: ConvTasNetConfig = field(default_factory=ConvTasNetConfig)
    init_from: Path | None = None
    data: SeparationData = field(default_factory=SeparationData)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(clip_norm=5.0, rise_epochs=0.0)
    )
    teacher: TeacherConfig | None = None
    validation: SeparationValidation = field(default_factory=SeparationValidation)
    epochs: int = 100
    seed: int = 42
    machine: MachineConfig = field(default_factory=MachineConfig)

    def __post_init__(self) -> None:
        if self.validation.selection == "teacher" and self.teacher is None:
            raise ValueError("validation.selection is teacher, but there is none")
        if self.epochs < 1:
            raise ValueError(f"epochs {self.epochs}; must be 1 or more")
        if self.machine.cache is not None:
            raise ValueError("machine.cache keeps mel bands, of which a separator hears nothing")


_RECIPE = TypeAdapter(SeparationRecipe)


def is_separation(content: Mapping[str, object]) -> bool:
    """Return whether plain data is a recipe of separation."""
    return content.get("step") in get_args(SeparationStep)


def parse_separation(content: object, *, where: str) -> SeparationRecipe:
    """Build a recipe from plain data.

    Raises:
        ConfigError: an unknown key or a wrong value; the line names it.
    """
    try:
        return _RECIPE.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "recipe"
        raise ConfigError(f"{where}: {key}: {first['msg']}") from error
