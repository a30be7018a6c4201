"""A separator and a detector, each trained, become one model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from streamsed.errors import ConfigError
from train.checkpoint import load_model, load_separator, save_model
from train.models.jss import JSS, JSSConfig
from train.models.registry import MODELS
from train.models.ssep_sed import SSepSED, SSepSEDConfig
from train.recipe.schema import Recipe

Joint = Literal["jss", "ssep_sed"]

_JOINT: dict[Joint, tuple[type[JSSConfig], type[JSS]]] = {
    "jss": (JSSConfig, JSS),
    "ssep_sed": (SSepSEDConfig, SSepSED),
}


def join(
    separator: Path,
    detector: Path,
    output: Path,
    *,
    source_norm: Literal["source", "mixture"] = "source",
    into: Joint = "jss",
) -> JSS:
    """Write the checkpoint of the joint model before any joint training, and return the model.

    Args:
        separator: checkpoint.
        detector: checkpoint.
        output: file to write.
        source_norm: see :class:`train.models.jss.JSSConfig`.
        into: kind of the joint model.

    Raises:
        ConfigError: a checkpoint is missing, of another kind, or does not fit the other.
    """
    source, trained = load_separator(separator), load_model(detector)
    if isinstance(trained.model, JSS):
        raise ConfigError(f"{detector}: is a joint model already; give a detector")
    config_type, model_type = _JOINT[into]
    try:
        config = config_type(
            sed=trained.model.config,
            separator=source.config,
            source_norm=source_norm,
        )
    except ValueError as error:
        raise ConfigError(f"{separator} and {detector} do not fit: {error}") from error
    model = model_type(config, separator=source, sed=trained.model)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_model(output, model, step=trained.step)
    return model


def begun_with(recipe: Recipe, checkpoint: Path) -> Recipe:
    """Return a recipe that begins with a checkpoint; of a joint model it takes the sizes, too.

    Raises:
        ConfigError: the checkpoint is missing, or of another kind than a joint model needs.
    """
    model = recipe.model
    how = getattr(MODELS.maker(model.kind), "begins_with", None)
    if how is not None:
        begun = load_model(checkpoint).model.config
        if begun.kind != model.kind:
            raise ConfigError(
                f"--init-from: {checkpoint} is a {begun.kind}; the recipe begins with a "
                f"{model.kind}; {how}"
            )
        model = begun
    return replace(recipe, model=model, init_from=checkpoint)
