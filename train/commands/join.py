"""``streamsed-train join``: a separator and a detector, each trained, become one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from streamsed.errors import ConfigError


def join(
    separator: Annotated[Path, typer.Argument(help="Checkpoint of a separator.")],
    detector: Annotated[Path, typer.Argument(help="Checkpoint of a detector.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint to write.")],
    source_norm: Annotated[
        Literal["source", "mixture"],
        typer.Option(help="By whose extremes a front end that scales each clip scales a source."),
    ] = "source",
) -> None:
    """Join a separator and a detector: the joint model before any joint training (stage 0)."""
    from train.checkpoint import load_model, load_separator, save_model  # noqa: PLC0415
    from train.models.jss import JSS, JSSConfig  # noqa: PLC0415

    heard = load_separator(separator)
    trained = load_model(detector)
    if isinstance(trained.model, JSS):
        raise ConfigError(f"{detector}: is a joint model already; give a detector")
    try:
        config = JSSConfig(
            sed=trained.model.config,
            separator=heard.config,
            source_norm=source_norm,
        )
    except ValueError as error:
        raise ConfigError(f"{separator} and {detector} do not fit: {error}") from error
    model = JSS(config, separator=heard, sed=trained.model)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_model(output, model, step=trained.step)
    parameters = sum(weights.numel() for weights in model.parameters())
    typer.echo(f"{output}: {config.separator.sources} sources, {parameters:,} parameters")
