"""``streamsed-train join``: a separator and a detector, each trained, become one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from train.console import echo


def join(
    separator: Annotated[Path, typer.Argument(help="Checkpoint of a separator.")],
    detector: Annotated[Path, typer.Argument(help="Checkpoint of a detector.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint to write.")],
    source_norm: Annotated[
        Literal["source", "mixture"],
        typer.Option(help="By whose extremes a front end that scales each clip scales a source."),
    ] = "source",
    into: Annotated[
        Literal["jss", "ssep_sed"],
        typer.Option(help="Joint model, or the challenge's baseline of two branches."),
    ] = "jss",
) -> None:
    """Join a separator and a detector: the joint model before any joint training (stage 0)."""
    from train.joining import join as join_both  # noqa: PLC0415

    model = join_both(separator, detector, output, source_norm=source_norm, into=into)
    parameters = sum(weights.numel() for weights in model.parameters())
    echo(f"{output}: {model.config.separator.sources} sources, {parameters:,} parameters")
