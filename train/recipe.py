"""A recipe: one YAML file that says everything about a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from train.augment import AugmentConfig
from train.data.classes import CLASSES
from train.data.soundscape import SoundscapeConfig
from train.models.causal_crnn import CausalCRNNConfig


@dataclass(frozen=True)
class TrainingConfig:
    """How a run is trained.

    Attributes:
        steps: optimiser steps; the learning rate follows one warm-up and one cosine over them.
        batch: scenes a step.
        learning_rate: its maximum.
        warmup_steps: linear rise from zero.
        weight_decay: of AdamW, on matrices only.
        clip_norm: gradients are scaled down to this norm.
        ema_decay: of the averaged weights that are validated and exported.
        carry_state: share of clips that start from the state the clip before them left, so that
            the model has met a stream's middle as well as its beginning.
        statistics_scenes: scenes from which the front end's mean and deviation are fixed.
        validate_every: steps between validations; also between checkpoints.
        validation_scenes: size of the fixed validation set, all of the split ``valid``.
        patience: validations without improvement of any model after which the run stops.
        seed: of the weights and of the training scenes; validation scenes have their own.
    """

    steps: int = 10000
    batch: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 500
    weight_decay: float = 1e-2
    clip_norm: float = 2.0
    ema_decay: float = 0.999
    carry_state: float = 0.5
    statistics_scenes: int = 256
    validate_every: int = 500
    validation_scenes: int = 512
    patience: int = 8
    seed: int = 1


@dataclass(frozen=True)
class Recipe:
    """A training run: what is heard, which models hear it, and how they learn.

    Attributes:
        name: for the run's folder.
        models: every model is trained on the same stream of scenes, which costs more to mix than
            small models cost to train; validation picks among them.
        soundscape: the scenes that are trained on.
        validation: the scenes that are validated, calibrated and reported on; as natural as can
            be, where training may go to extremes.
        augment: changes to the features of each clip.
        training: optimisation and validation.
        false_alarm_price: in calibration, F1 given up for one false alarm an hour less.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    models: dict[str, CausalCRNNConfig] = field(
        default_factory=lambda: {"crnn": CausalCRNNConfig(CLASSES)}
    )
    soundscape: SoundscapeConfig = field(default_factory=SoundscapeConfig)
    validation: SoundscapeConfig = field(default_factory=SoundscapeConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    false_alarm_price: float = 0.001

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models is empty; name at least one")
        resolutions = {(m.frame_samples, m.front_end.sample_rate) for m in self.models.values()}
        if len(resolutions) > 1:
            raise ValueError("models differ in frame_samples or sample rate; train them apart")


_RECIPE = TypeAdapter(Recipe)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; unknown keys and wrong values are a ConfigError that names them."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read as YAML: {reason}") from error
    return parse_recipe(content, where=str(path))


def parse_recipe(content: object, *, where: str) -> Recipe:
    """Build a recipe from plain data, as YAML or a checkpoint holds it."""
    try:
        return _RECIPE.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {key or 'recipe'}: {first['msg']}") from error


def dump_recipe(recipe: Recipe) -> dict[str, object]:
    """Return plain data from which :func:`parse_recipe` builds an equal recipe."""
    plain: dict[str, object] = _RECIPE.dump_python(recipe, mode="json")
    return plain
