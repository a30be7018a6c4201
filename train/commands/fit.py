"""``streamsed-train fit``: train the networks of a recipe."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamsed.errors import ConfigError
from train.console import echo
from train.places import find

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32-true", "bf16-mixed"]


def fit(
    recipe: Annotated[
        Path,
        typer.Argument(help="YAML file, or the name of a recipe that ships: domestic."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Data set in DESED's shape, or mixtures in FUSS's."),
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Recording bank, for a recipe of scenes mixed anew."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run; else RUNS/ID.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of all runs; else the user's own.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop, to be resumed, after this.")] = None,
    device: Annotated[Device | None, typer.Option(help="Instead of the recipe's.")] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Number of them, instead of the recipe's.")
    ] = None,
    precision: Annotated[Precision | None, typer.Option(help="Instead of the recipe's.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read or mix clips.")
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="PT",
            help="Begin with it, instead of the recipe's. A joint model's sizes are taken from it.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep mel bands here, computed once; runs may share it."),
    ] = None,
) -> None:
    """Train the networks of a recipe; a run that was stopped goes on where it was.

    The first Ctrl-C stops after the step that is being computed.
    """
    from train.data.sets.scenes import ScenesConfig  # noqa: PLC0415
    from train.engine.fitting import fit_recipe  # noqa: PLC0415
    from train.joining import begun_with  # noqa: PLC0415
    from train.recipe.schema import load_recipe  # noqa: PLC0415

    until = time.monotonic() + minutes * 60 if minutes is not None else None
    recipe = find("recipes", recipe)
    loaded = load_recipe(recipe)
    asked = {
        "device": device,
        "devices": devices,
        "precision": precision,
        "workers": workers,
        "cache": cache,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    if init_from is not None:
        loaded = begun_with(loaded, init_from)
    try:
        loaded = replace(loaded, machine=replace(loaded.machine, **given))  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError(f"{recipe}: {error}") from error
    if isinstance(loaded.data, ScenesConfig):
        source, wanted = bank, "mixes its scenes from a recording bank; give --bank"
    else:
        source, wanted = data, "learns from a data set on disk; give --data"
    if source is None or (data is not None and bank is not None):
        raise ConfigError(f"{recipe}: {wanted}" + (" alone" if source is not None else ""))
    trainer, done = fit_recipe(loaded, data=source, folder=output, runs=runs, until=until)
    if trainer.fabric.is_global_zero:
        outcome = "done" if done else "to be resumed"
        step, steps = trainer.progress.step, trainer.steps
        echo(f"{trainer.folder.path}: step {step} of {steps}, {outcome}")
